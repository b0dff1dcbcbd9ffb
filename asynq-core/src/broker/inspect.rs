use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::{TaskInfo, TaskState};
use crate::names::{GroupName, QueueName, TaskId};

/// Looks at queues and tasks, and steers them. Asked by tests, tools and people; implemented by brokers.
///
/// Looking never changes anything.
#[async_trait]
pub trait Inspect: Send + Sync + 'static {
    /// The queues that there are, by name. Go: `Queues`.
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError>;

    /// How many tasks a queue has in each state, and what it has done; none if there is no such queue. Go:
    /// `GetQueueInfo`.
    async fn queue_info(&self, queue: &QueueName) -> Result<Option<QueueInfo>, BrokerError>;

    /// A task; none if there is no such task. Go: `GetTaskInfo`.
    async fn task(&self, queue: &QueueName, id: &TaskId) -> Result<Option<TaskInfo>, BrokerError>;

    /// The tasks of a queue in a state: pending ones in the order they are run, active ones oldest first, scheduled
    /// and retry by their time, archived oldest first, completed by their end, aggregating (of `group`; empty without)
    /// oldest first. Undecodable tasks are left out. Go: `List…Tasks`.
    async fn tasks(
        &self,
        queue: &QueueName,
        state: TaskState,
        group: Option<&GroupName>,
        page: Page,
    ) -> Result<Vec<TaskInfo>, BrokerError>;

    /// Stops taking tasks out of a queue, which need not have any yet. Everything else goes on. False if it was paused
    /// already. Go: `PauseQueue`.
    async fn pause(&self, queue: &QueueName) -> Result<bool, BrokerError>;

    /// Takes tasks out of a queue again. False if it was not paused. Go: `UnpauseQueue`.
    async fn resume(&self, queue: &QueueName) -> Result<bool, BrokerError>;

    /// Asks the worker that runs a task of this id to cancel it; with a queue, a worker that was not listening learns
    /// of it at the next extension of its lease. Without a queue, all running tasks of this id, whatever their queue.
    /// Whether there is any is not known. Go: `CancelProcessing`.
    async fn cancel(&self, queue: Option<&QueueName>, id: &TaskId) -> Result<(), BrokerError>;
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many come before it.
    pub offset: usize,
    /// How many at most.
    pub limit: usize,
}

impl Page {
    /// The first `limit`.
    pub const fn first(limit: usize) -> Self {
        Page { offset: 0, limit }
    }
}

/// How a queue is doing. Go: `QueueInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name.
    pub queue: QueueName,
    /// No tasks are taken out of it.
    pub paused: bool,
    /// Waiting to be run.
    pub pending: u64,
    /// Running.
    pub active: u64,
    /// Waiting for their time.
    pub scheduled: u64,
    /// Waiting for their next attempt.
    pub retry: u64,
    /// Failed for good.
    pub archived: u64,
    /// Done and kept.
    pub completed: u64,
    /// Waiting in groups; those in sealed sets are not counted, as in Go asynq.
    pub aggregating: u64,
    /// How many groups have waiting tasks.
    pub groups: u64,
    /// Attempts today (UTC), failed or not.
    pub processed: u64,
    /// Failed attempts today (UTC).
    pub failed: u64,
    /// Attempts ever, failed or not.
    pub processed_total: u64,
    /// Failed attempts ever.
    pub failed_total: u64,
    /// Since when the task that runs next has been pending, if known.
    pub oldest_pending_since: Option<Timestamp>,
    /// When this was read, on the broker's clock.
    pub timestamp: Timestamp,
}

impl QueueInfo {
    /// A queue without tasks, for brokers to fill in.
    pub fn empty(queue: QueueName, timestamp: Timestamp) -> Self {
        QueueInfo {
            queue,
            paused: false,
            pending: 0,
            active: 0,
            scheduled: 0,
            retry: 0,
            archived: 0,
            completed: 0,
            aggregating: 0,
            groups: 0,
            processed: 0,
            failed: 0,
            processed_total: 0,
            failed_total: 0,
            oldest_pending_since: None,
            timestamp,
        }
    }

    /// How long the task that runs next has been waiting; zero if there is none. Go: `QueueInfo.Latency`.
    pub fn latency(&self) -> Duration {
        self.oldest_pending_since
            .map_or(Duration::ZERO, |since| self.timestamp.saturating_since(since))
    }

    /// Tasks in all states.
    pub fn size(&self) -> u64 {
        self.pending
            + self.active
            + self.scheduled
            + self.retry
            + self.archived
            + self.completed
            + self.aggregating
    }
}
