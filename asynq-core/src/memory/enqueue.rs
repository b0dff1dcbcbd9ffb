use std::time::Duration;

use async_trait::async_trait;

use crate::broker::{Enqueue, NewTask, Now, Placement, Receipt};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::{TaskMessage, TaskState};

use super::queue::{Place, Queue};
use super::watch::Change;
use super::{MemoryBroker, State};

#[async_trait]
impl Enqueue for MemoryBroker {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Receipt>, BrokerError> {
        let now = self.now();
        let mut state = self.state();
        Ok(tasks
            .iter()
            .map(|task| self.enqueue_one(&mut state, task, now))
            .collect())
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl MemoryBroker {
    pub(super) fn enqueue_one(&self, state: &mut State, task: &NewTask, now: Timestamp) -> Receipt {
        let queue_name = &task.message.queue;
        let receipt = state
            .queues
            .entry(queue_name.clone())
            .or_default()
            .enqueue(task, now);
        match receipt {
            Receipt::Accepted {
                state: TaskState::Pending,
                ..
            } => self.watchers().tell(queue_name, Change::Pending),
            Receipt::Accepted {
                state: TaskState::Scheduled,
                ..
            } => self.watchers().tell(queue_name, Change::Due),
            _ => {}
        }
        receipt
    }
}

impl Queue {
    fn enqueue(&mut self, task: &NewTask, now: Timestamp) -> Receipt {
        let mut message = task.message.clone();
        if let Some(taken) = self.tasks.get(&message.id) {
            return Receipt::IdTaken {
                state: Some(taken.place.state()),
            };
        }
        let due = match task.placement {
            Placement::Now => now,
            Placement::Later(when) => when.resolve(now).max(now),
        };
        message.unique_key = None;
        if let Some(ttl) = task.unique_ttl
            && let Err(refused) = self.lock_for(&mut message, ttl, due, now)
        {
            return refused;
        }
        self.store(message, due, now)
    }

    fn lock_for(
        &mut self,
        message: &mut TaskMessage,
        ttl: Duration,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), Receipt> {
        let unique_key = unique_key(message);
        if let Some(holder) = self.holder(&unique_key, now) {
            return Err(Receipt::Duplicate {
                holder: holder.clone(),
            });
        }
        message.unique_key = Some(unique_key.clone());
        self.lock(unique_key, message.id.clone(), due.saturating_add(ttl));
        Ok(())
    }

    fn store(&mut self, message: TaskMessage, due: Timestamp, now: Timestamp) -> Receipt {
        let (place, slot, next_process_at) = if due > now {
            (Place::Scheduled, self.slot(due), Some(due))
        } else if let Some(group) = message.group.clone() {
            (Place::Group(group), self.slot(now), None)
        } else {
            (Place::Pending { since: now }, self.slot_behind_all(), Some(now))
        };
        let state = place.state();
        self.insert(message, place, slot);
        Receipt::Accepted {
            state,
            next_process_at,
        }
    }
}

/// Names the lock of all tasks of the same type and payload. The quotes keep type and payload apart whatever is in them.
pub(super) fn unique_key(message: &TaskMessage) -> String {
    format!(
        "unique:{:?}:\"{}\"",
        message.task_type,
        message.payload.escape_ascii()
    )
}
