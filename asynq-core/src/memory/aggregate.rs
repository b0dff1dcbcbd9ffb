use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::broker::{Aggregate, GroupLimits, NewTask, Now, Receipt, SealedSet, SetKey};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{GroupName, QueueName, TaskId};

use super::MemoryBroker;
use super::queue::{List, Place, Queue, SetName};

/// How long a set may take to be merged, as in Go asynq.
const SET_TIME: Duration = Duration::from_secs(120);

#[async_trait]
impl Aggregate for MemoryBroker {
    async fn groups(&self, queue: &QueueName) -> Result<Vec<GroupName>, BrokerError> {
        let state = self.state();
        Ok(state
            .queues
            .get(queue)
            .map(|tasks| tasks.groups.keys().cloned().collect())
            .unwrap_or_default())
    }

    async fn seal(
        &self,
        queue: &QueueName,
        group: &GroupName,
        limits: &GroupLimits,
    ) -> Result<Option<SealedSet>, BrokerError> {
        let now = self.now();
        let mut state = self.state();
        Ok(state
            .queues
            .get_mut(queue)
            .and_then(|tasks| tasks.seal(queue, group, limits, now)))
    }

    async fn finish_set(&self, set: &SetKey, merged: &NewTask) -> Result<Option<Receipt>, BrokerError> {
        if merged.message.queue != set.queue {
            return Err(BrokerError::Config(format!(
                "the merged task of group {:?} is for queue {:?}, but must stay in queue {:?}",
                set.group, merged.message.queue, set.queue
            )));
        }
        let now = self.now();
        let mut state = self.state();
        let Some(members) = state.queues.get(&set.queue).and_then(|tasks| tasks.members(set)) else {
            return Ok(None);
        };
        let receipt = self.enqueue_one(&mut state, merged, now);
        if matches!(receipt, Receipt::Accepted { .. })
            && let Some(tasks) = state.queues.get_mut(&set.queue)
        {
            members.iter().for_each(|id| tasks.delete(id));
        }
        Ok(Some(receipt))
    }

    async fn reclaim(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        let now = self.now();
        let mut state = self.state();
        Ok(state.queues.get_mut(queue).map_or(0, |tasks| tasks.reclaim(now)))
    }
}

impl Queue {
    fn seal(
        &mut self,
        queue: &QueueName,
        group: &GroupName,
        limits: &GroupLimits,
        now: Timestamp,
    ) -> Option<SealedSet> {
        let waiting = self.groups.get(group)?;
        if !is_ready(waiting, limits, now) {
            return None;
        }
        let most = limits.max_size.filter(|size| *size > 0).unwrap_or(usize::MAX);
        let ids: Vec<TaskId> = waiting.values().take(most).cloned().collect();
        let set = Arc::new(SetName {
            deadline: now.saturating_add(SET_TIME),
            group: group.clone(),
            id: uuid::Uuid::new_v4().to_string(),
        });
        let mut tasks = Vec::with_capacity(ids.len());
        for id in &ids {
            let Some(record) = self.tasks.get(id) else {
                continue;
            };
            tasks.push(record.message.as_ref().clone());
            // They keep their slot: a set that comes back finds its old place in the group.
            let slot = record.slot;
            self.place(id, Place::Set(set.clone()), slot);
        }
        Some(SealedSet {
            key: SetKey {
                queue: queue.clone(),
                group: group.clone(),
                id: set.id.clone(),
            },
            tasks,
            deadline: set.deadline,
        })
    }

    fn members(&self, key: &SetKey) -> Option<Vec<TaskId>> {
        self.sets
            .iter()
            .find(|(set, _)| set.id == key.id && set.group == key.group)
            .map(|(_, members)| members.values().cloned().collect())
    }

    fn reclaim(&mut self, now: Timestamp) -> usize {
        let mut reclaimed = 0;
        while let Some((set, members)) = self.sets.first_key_value()
            && set.deadline <= now
        {
            let group = set.group.clone();
            for (slot, id) in members.clone() {
                self.place(&id, Place::Group(group.clone()), slot);
            }
            reclaimed += 1;
        }
        reclaimed
    }
}

fn is_ready(waiting: &List, limits: &GroupLimits, now: Timestamp) -> bool {
    let (Some((oldest, _)), Some((newest, _))) = (waiting.first_key_value(), waiting.last_key_value()) else {
        return false;
    };
    let full = limits
        .max_size
        .is_some_and(|size| size > 0 && waiting.len() >= size);
    let overdue = limits
        .max_delay
        .is_some_and(|delay| oldest.at <= now.saturating_sub(delay));
    full || overdue || newest.at <= now.saturating_sub(limits.grace_period)
}
