use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::{TaskMessage, TaskState};
use crate::names::{GroupName, TaskId};
use crate::options::When;

/// Puts tasks in queues. Asked by clients; implemented by brokers.
#[async_trait]
pub trait Enqueue: Send + Sync + 'static {
    /// Stores each task, or says why not. One round trip for all, however many (brokers may cut very large batches).
    ///
    /// For each task, atomically, in this order:
    ///
    /// 1. a task of the same id in the queue, in whatever state, refuses it: [`Receipt::IdTaken`];
    /// 2. with a unique TTL, a task of the same type, payload and queue that holds the lock refuses it:
    ///    [`Receipt::Duplicate`]; nothing is locked when the task is refused;
    /// 3. it becomes scheduled, aggregating or pending, whatever its [`Placement`] says;
    /// 4. idle servers are told.
    ///
    /// When no answer came and the broker tries again by itself, a task that it finds stored as it was sent is
    /// accepted, not a conflict.
    ///
    /// # Errors
    ///
    /// [`BrokerError::maybe_applied`] tells whether tasks may have been stored all the same. Enqueueing the same tasks
    /// again, with the same ids, is safe unless they have been finished meanwhile.
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Receipt>, BrokerError>;

    /// Answers when the broker does.
    async fn ping(&self) -> Result<(), BrokerError>;
}

/// A task to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// What is stored. Its `unique_key` is filled in by the broker.
    pub message: TaskMessage,
    /// Where it goes.
    pub placement: Placement,
    /// How long it locks out tasks of the same type, payload and queue; counted from when it becomes due.
    pub unique_ttl: Option<Duration>,
}

/// Where a new task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// To its group if the message names one, otherwise to the pending tasks.
    Now,
    /// To the scheduled tasks, if that is after the broker's time now; otherwise as [`Placement::Now`]. When it becomes
    /// due it goes to its group or to the pending tasks.
    Later(When),
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Stored.
    Accepted {
        /// Pending, scheduled or aggregating.
        state: TaskState,
        /// When it is run: now for a pending task, its time for a scheduled one, unknown for one in a group.
        next_process_at: Option<Timestamp>,
    },
    /// Not stored: there is a task of this id.
    IdTaken {
        /// Its state, if it has a known one.
        state: Option<TaskState>,
    },
    /// Not stored: this task holds the uniqueness lock.
    Duplicate {
        /// The holder. It may be gone: a lock can outlive its task.
        holder: TaskId,
    },
}

impl NewTask {
    /// The group that the task goes to at once or when it becomes due.
    pub fn group(&self) -> Option<&GroupName> {
        self.message.group.as_ref()
    }
}
