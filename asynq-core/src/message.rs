//! What is stored about a task.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::names::{GroupName, QueueName, TaskId};
use crate::options::Headers;
use crate::task::RawTask;

/// Where a task is. At any moment it is in exactly one state. The names are those of Go asynq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// A worker runs it, under a lease.
    Active,
    /// Waiting to be run as soon as a worker is free.
    Pending,
    /// Waiting for its time.
    Scheduled,
    /// Failed, waiting for its next attempt.
    Retry,
    /// Failed for good, kept for inspection.
    Archived,
    /// Done, kept for its retention.
    Completed,
    /// Waiting in a group to be merged with others.
    Aggregating,
}

impl TaskState {
    /// All seven, in the order of their declaration.
    pub const ALL: [TaskState; 7] = [
        TaskState::Active,
        TaskState::Pending,
        TaskState::Scheduled,
        TaskState::Retry,
        TaskState::Archived,
        TaskState::Completed,
        TaskState::Aggregating,
    ];

    /// The stored name, such as `pending`.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskState::Active => "active",
            TaskState::Pending => "pending",
            TaskState::Scheduled => "scheduled",
            TaskState::Retry => "retry",
            TaskState::Archived => "archived",
            TaskState::Completed => "completed",
            TaskState::Aggregating => "aggregating",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is none of the seven states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a task state; expected active, pending, scheduled, retry, archived, completed or aggregating"
)]
pub struct UnknownState(pub String);

impl FromStr for TaskState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        TaskState::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What is stored about a task and travels with it. Brokers keep it whole and rewrite only what a transition changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMessage {
    /// Unique within the queue.
    pub id: TaskId,
    /// The queue it belongs to for all its life.
    pub queue: QueueName,
    /// By which its handler is found.
    pub task_type: Arc<str>,
    /// Opaque bytes; empty means none.
    pub payload: Bytes,
    /// Key and value pairs for handlers and middleware.
    pub headers: Headers,
    /// How often it may be retried.
    pub max_retry: u32,
    /// Failures so far that counted.
    pub retried: u32,
    /// Text of the last failure, empty if none.
    pub last_error: String,
    /// When it failed last, whole seconds.
    pub last_failed_at: Option<Timestamp>,
    /// How long a handler may run, whole seconds.
    pub timeout: Option<Duration>,
    /// When a running handler is stopped, whole seconds.
    pub deadline: Option<Timestamp>,
    /// How long it is kept after success, whole seconds; zero deletes it at once.
    pub retention: Duration,
    /// When it was done, whole seconds.
    pub completed_at: Option<Timestamp>,
    /// The group it was enqueued for.
    pub group: Option<GroupName>,
    /// The uniqueness lock it holds, named by the broker.
    pub unique_key: Option<String>,
    /// Fields that a newer peer stored and this version does not know: kept as they are when the message is rewritten.
    pub unknown_fields: Bytes,
}

impl TaskMessage {
    /// What a handler gets.
    pub fn to_raw_task(&self) -> RawTask {
        RawTask::new(self.task_type.clone(), self.payload.clone()).with_headers(self.headers.clone())
    }
}

/// A task as the outside sees it: the answer to an enqueue, and what inspection shows. Go: `TaskInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// What is stored about the task.
    pub message: TaskMessage,
    /// Where it is.
    pub state: TaskState,
    /// When it runs next: for scheduled and retry their time, for pending now, otherwise nothing.
    pub next_process_at: Option<Timestamp>,
    /// What its handler stored.
    pub result: Option<Bytes>,
    /// Active under a lease that has expired: its worker died or lost its connection.
    pub is_orphaned: bool,
}

impl TaskInfo {
    /// For brokers and clients.
    pub fn new(message: TaskMessage, state: TaskState) -> Self {
        TaskInfo {
            message,
            state,
            next_process_at: None,
            result: None,
            is_orphaned: false,
        }
    }

    /// The task's id.
    pub fn id(&self) -> &TaskId {
        &self.message.id
    }

    /// The task's queue.
    pub fn queue(&self) -> &QueueName {
        &self.message.queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_names_survive_the_way_to_text_and_back() {
        for state in TaskState::ALL {
            assert_eq!(state.as_str().parse::<TaskState>().unwrap(), state);
        }
        assert!("done".parse::<TaskState>().is_err());
    }
}
