//! Errors as meanings: what happened, to which queue and task, and what to do about it.

use std::sync::Arc;

use crate::message::TaskState;
use crate::names::{QueueName, TaskId};
use crate::options::InvalidOption;
use crate::task::EncodeError;

/// Any error, as the source of one of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to a broker failed as a whole. Nothing of the call may be trusted.
///
/// Cheap to clone: one failed call may answer for many tasks.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The broker cannot be reached, is starting, failing over, or did not answer in time. Trying again helps.
    #[error("{operation}: the broker is not available")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// The call may have been carried out although no answer came.
        maybe_applied: bool,
        /// What the broker's client said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Wrong password, missing permission. Trying again does not help; check user, password and access rules.
    #[error("{operation}: the broker refused access")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// What the broker said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The broker has no memory or disk left to store anything. Nothing was stored.
    #[error(
        "{operation}: the broker is full; give it more memory or disk, or delete archived and completed tasks"
    )]
    Full {
        /// What was tried.
        operation: &'static str,
        /// What the broker said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Something stored for this queue is not what it should be: another program wrote there, or it was damaged.
    #[error("{operation}: what is stored for queue {queue:?} is damaged: {reason}")]
    Corrupt {
        /// What was tried.
        operation: &'static str,
        /// The queue concerned.
        queue: QueueName,
        /// What is wrong, and where.
        reason: String,
    },
    /// The URL or the options to connect with make no sense.
    #[error("{0}")]
    Config(String),
    /// This broker cannot do that.
    #[error("{operation} is not supported by the {broker} broker")]
    Unsupported {
        /// What was tried.
        operation: &'static str,
        /// Which broker.
        broker: &'static str,
    },
    /// Anything else the broker answered.
    #[error("{operation} failed")]
    Other {
        /// What was tried.
        operation: &'static str,
        /// What the broker said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl BrokerError {
    /// Whether trying the same again later can help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, BrokerError::Unavailable { .. } | BrokerError::Full { .. })
    }

    /// Whether the call may have been carried out although it failed.
    pub fn maybe_applied(&self) -> bool {
        matches!(
            self,
            BrokerError::Unavailable {
                maybe_applied: true,
                ..
            }
        )
    }
}

/// Why a task was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// An option that cannot be honoured. Nothing was sent.
    #[error("task of type {task_type:?} was not enqueued: {reason}")]
    Invalid {
        /// The type of the task.
        task_type: String,
        /// Which option, and what is expected.
        reason: InvalidOption,
    },
    /// The payload could not be turned into bytes. Nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A task of the same type, payload and queue holds the uniqueness lock. Go: `ErrDuplicateTask`.
    #[error(
        "task of type {task_type:?} already exists in queue {queue:?}: {existing:?} holds its uniqueness lock"
    )]
    DuplicateTask {
        /// The queue of both.
        queue: QueueName,
        /// The type of both.
        task_type: String,
        /// The task that holds the lock. It may be gone: a lock can outlive its task.
        existing: TaskId,
    },
    /// A task of this id is in the queue already. Go: `ErrTaskIDConflict`.
    #[error("task {id:?} is already in queue {queue:?}{}", in_state(*.state))]
    TaskIdConflict {
        /// The queue of both.
        queue: QueueName,
        /// The id of both.
        id: TaskId,
        /// The state of the task that is there, if the broker knows it.
        state: Option<TaskState>,
    },
    /// The broker failed. If [`BrokerError::maybe_applied`], the task may have been stored all the same.
    #[error("task {id:?} was not enqueued in queue {queue:?}")]
    Broker {
        /// The queue it was meant for.
        queue: QueueName,
        /// The id it was given.
        id: TaskId,
        /// What the broker said.
        source: BrokerError,
    },
}

fn in_state(state: Option<TaskState>) -> String {
    state
        .map(|state| format!(", in state {state}"))
        .unwrap_or_default()
}

impl EnqueueError {
    /// Refused because a task of the same type, payload and queue is there.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, EnqueueError::DuplicateTask { .. })
    }

    /// Refused because a task of the same id is there.
    pub fn is_id_conflict(&self) -> bool {
        matches!(self, EnqueueError::TaskIdConflict { .. })
    }
}
