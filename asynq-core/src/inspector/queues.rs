use crate::broker::{
    DayCount, GroupSize, Page, QueueInfo, ScheduleEntry, ScheduleEvent, ServerInfo, WorkerInfo,
};
use crate::error::BrokerError;
use crate::names::QueueName;

use super::{DeleteQueue, InspectError, Inspector};

/// Queues, servers and schedulers.
impl Inspector {
    /// The queues that there are, by name. Go: `Queues`.
    pub async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        self.broker.queues().await
    }

    /// How a queue is doing: tasks in each state, attempts, [latency](QueueInfo::latency). Go: `GetQueueInfo`.
    pub async fn queue_info(&self, queue: &QueueName) -> Result<QueueInfo, InspectError> {
        let info = self.broker.queue_info(queue).await?;
        info.ok_or_else(|| InspectError::QueueNotFound { queue: queue.clone() })
    }

    /// About how many bytes a queue takes, from a sample of its tasks. Go: `QueueInfo.MemoryUsage`.
    pub async fn memory_usage(&self, queue: &QueueName) -> Result<u64, InspectError> {
        self.must_exist(queue).await?;
        Ok(self.broker.memory_usage(queue).await?)
    }

    /// What a queue did on each of the last `days` days (UTC), today first; more than ninety are not kept. Go: `History`.
    pub async fn history(&self, queue: &QueueName, days: usize) -> Result<Vec<DayCount>, InspectError> {
        self.must_exist(queue).await?;
        Ok(self.broker.history(queue, days).await?)
    }

    /// The groups of a queue that have waiting tasks, by name. Go: `Groups`.
    pub async fn groups(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError> {
        self.broker.group_sizes(queue).await
    }

    /// Stops servers from taking tasks out of a queue, which need not exist yet. Everything else goes on. False if it was
    /// paused already. Go: `PauseQueue`.
    pub async fn pause_queue(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.broker.pause(queue).await
    }

    /// Lets servers take tasks out of a queue again. False if it was not paused. Go: `UnpauseQueue`.
    pub async fn unpause_queue(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.broker.resume(queue).await
    }

    /// Deletes a queue that has no tasks, in whatever state, with its counters, uniqueness locks and pause. Go:
    /// `DeleteQueue`.
    ///
    /// # Errors
    ///
    /// [`InspectError::QueueNotEmpty`] if it has tasks. Nothing but remains was deleted then.
    pub fn delete_queue(&self, queue: &QueueName) -> DeleteQueue {
        DeleteQueue::new(self.broker.clone(), queue.clone(), false)
    }

    /// Deletes a queue with all its tasks. Stop its servers and clients before: tasks that come meanwhile are deleted
    /// too. Go: `DeleteQueue` with force.
    ///
    /// # Errors
    ///
    /// [`InspectError::QueueNotEmpty`] when a task is active. What was deleted until then is gone.
    pub fn force_delete_queue(&self, queue: &QueueName) -> DeleteQueue {
        DeleteQueue::new(self.broker.clone(), queue.clone(), true)
    }

    /// The servers that run now, with what they run. Go: `Servers`.
    pub async fn servers(&self) -> Result<Vec<(ServerInfo, Vec<WorkerInfo>)>, BrokerError> {
        self.broker.servers().await
    }

    /// What the schedulers that run now will enqueue. Go: `SchedulerEntries`.
    pub async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        self.broker.schedule_entries().await
    }

    /// What was enqueued for an entry of a scheduler, the latest first. Go: `ListSchedulerEnqueueEvents`.
    pub async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError> {
        self.broker.schedule_events(entry, page).await
    }

    pub(super) async fn must_exist(&self, queue: &QueueName) -> Result<(), InspectError> {
        self.queue_info(queue).await.map(drop)
    }
}
