use async_trait::async_trait;

use crate::broker::{Inspect, Now, Page, QueueInfo};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::{TaskInfo, TaskState};
use crate::names::{GroupName, QueueName, TaskId};
use crate::signals::CancelRequest;

use super::MemoryBroker;
use super::queue::{List, Place, Queue, Record};
use super::watch::Change;

#[async_trait]
impl Inspect for MemoryBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let state = self.state();
        Ok(state
            .queues
            .iter()
            .filter(|(_, queue)| queue.exists)
            .map(|(name, _)| name.clone())
            .collect())
    }

    async fn queue_info(&self, queue: &QueueName) -> Result<Option<QueueInfo>, BrokerError> {
        let now = self.now();
        let state = self.state();
        let tasks = state.queues.get(queue).filter(|tasks| tasks.exists);
        Ok(tasks.map(|tasks| tasks.info(queue, now)))
    }

    async fn task(&self, queue: &QueueName, id: &TaskId) -> Result<Option<TaskInfo>, BrokerError> {
        let now = self.now();
        let state = self.state();
        Ok(state
            .queues
            .get(queue)
            .and_then(|tasks| tasks.tasks.get(id))
            .map(|record| task_info(record, now)))
    }

    async fn tasks(
        &self,
        queue: &QueueName,
        state: TaskState,
        group: Option<&GroupName>,
        page: Page,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        let now = self.now();
        let stored = self.state();
        let Some(tasks) = stored.queues.get(queue) else {
            return Ok(Vec::new());
        };
        Ok(tasks
            .listed(state, group)
            .into_iter()
            .skip(page.offset)
            .take(page.limit)
            .filter_map(|id| tasks.tasks.get(id))
            .map(|record| task_info(record, now))
            .collect())
    }

    async fn pause(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        let mut state = self.state();
        let queue = state.queues.entry(queue.clone()).or_default();
        Ok(!std::mem::replace(&mut queue.paused, true))
    }

    async fn resume(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        let mut state = self.state();
        let Some(tasks) = state.queues.get_mut(queue) else {
            return Ok(false);
        };
        let was_paused = std::mem::replace(&mut tasks.paused, false);
        if was_paused {
            self.watchers().tell(queue, Change::Pending);
        }
        Ok(was_paused)
    }

    async fn cancel(&self, queue: Option<&QueueName>, id: &TaskId) -> Result<(), BrokerError> {
        let mut state = self.state();
        for (name, tasks) in &mut state.queues {
            if queue.is_none_or(|queue| queue == name)
                && let Some(record) = tasks.tasks.get_mut(id)
                && let Place::Active(lease) = &mut record.place
            {
                lease.cancel = true;
            }
        }
        self.watchers().cancel(&CancelRequest {
            queue: queue.cloned(),
            id: id.as_str().to_owned(),
        });
        Ok(())
    }
}

impl Queue {
    fn info(&self, queue: &QueueName, now: Timestamp) -> QueueInfo {
        let today = self.counters.today(now);
        QueueInfo {
            paused: self.paused,
            pending: count(&self.pending),
            active: count(&self.active),
            scheduled: count(&self.scheduled),
            retry: count(&self.retry),
            archived: count(&self.archived),
            completed: count(&self.completed),
            aggregating: self.groups.values().map(count).sum(),
            groups: self.groups.len() as u64,
            processed: today.processed,
            failed: today.failed,
            processed_total: self.counters.total.processed,
            failed_total: self.counters.total.failed,
            oldest_pending_since: self.next_pending_since(),
            ..QueueInfo::empty(queue.clone(), now)
        }
    }

    fn next_pending_since(&self) -> Option<Timestamp> {
        let (_, next) = self.pending.first_key_value()?;
        match self.tasks.get(next)?.place {
            Place::Pending { since } => Some(since),
            _ => None,
        }
    }

    fn listed(&self, state: TaskState, group: Option<&GroupName>) -> Vec<&TaskId> {
        let list = match state {
            TaskState::Pending => &self.pending,
            TaskState::Active => return self.active_oldest_first(),
            TaskState::Scheduled => &self.scheduled,
            TaskState::Retry => &self.retry,
            TaskState::Archived => &self.archived,
            TaskState::Completed => &self.completed,
            TaskState::Aggregating => match group.and_then(|group| self.groups.get(group)) {
                Some(list) => list,
                None => return Vec::new(),
            },
        };
        list.values().collect()
    }

    // Their list is in the order of their leases' ends, which extensions change.
    fn active_oldest_first(&self) -> Vec<&TaskId> {
        let mut active: Vec<_> = self.active.iter().collect();
        active.sort_by_key(|(slot, _)| slot.order());
        active.into_iter().map(|(_, id)| id).collect()
    }
}

fn count(list: &List) -> u64 {
    list.len() as u64
}

pub(super) fn task_info(record: &Record, now: Timestamp) -> TaskInfo {
    let state = record.place.state();
    let mut info = TaskInfo::new(record.message.as_ref().clone(), state);
    info.next_process_at = match state {
        TaskState::Pending => Some(now),
        TaskState::Scheduled | TaskState::Retry => Some(record.slot.at),
        _ => None,
    };
    info.result = record.result.clone().filter(|result| !result.is_empty());
    info.is_orphaned = state == TaskState::Active && record.slot.at <= now;
    info
}
