use crate::broker::{Action, Applied, Changed, TaskList};
use crate::error::BrokerError;
use crate::message::TaskState;
use crate::names::{QueueName, TaskId};

/// Why an [`Inspector`](super::Inspector) did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no such queue: nothing was ever enqueued in it, or it was deleted. Go: `ErrQueueNotFound`.
    #[error("there is no queue {queue:?}")]
    QueueNotFound {
        /// The one asked for.
        queue: QueueName,
    },
    /// The queue has no such task: it is done, was deleted, or belongs to another queue. Go: `ErrTaskNotFound`.
    #[error("there is no task {id:?} in queue {queue:?}")]
    TaskNotFound {
        /// The queue asked for.
        queue: QueueName,
        /// The task asked for.
        id: TaskId,
    },
    /// That cannot be done to a task in its state.
    #[error("task {id:?} in queue {queue:?} is {state}: {reason}")]
    WrongState {
        /// Its queue.
        queue: QueueName,
        /// The task.
        id: TaskId,
        /// Its state.
        state: TaskState,
        /// Why that is in the way, and what to do.
        reason: &'static str,
    },
    /// That can be done to no task of this list.
    #[error("cannot {action} tasks that are {}: {}", list.state(), why_not(*action, list.state()))]
    WrongList {
        /// What was asked.
        action: Action,
        /// Of which tasks.
        list: TaskList,
    },
    /// The queue has tasks; or active ones, if it was to be forced. Go: `ErrQueueNotEmpty`.
    #[error("queue {queue:?} has {}tasks", if *.forced { "active " } else { "" })]
    QueueNotEmpty {
        /// The queue.
        queue: QueueName,
        /// Whether only active ones are in the way.
        forced: bool,
    },
    /// The queue that a task was to be moved to has one of this id.
    #[error("there is a task {id:?} in queue {queue:?} already")]
    IdTaken {
        /// The queue it was to be moved to.
        queue: QueueName,
        /// The id of both.
        id: TaskId,
    },
    /// With the new payload or queue it would be the second of its kind: another task holds the uniqueness lock.
    #[error("task {id:?} cannot be changed so: {holder:?} holds the uniqueness lock")]
    Duplicate {
        /// The task that was to be changed.
        id: TaskId,
        /// The one that holds the lock.
        holder: TaskId,
    },
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl InspectError {
    /// There is no such queue or task.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            InspectError::QueueNotFound { .. } | InspectError::TaskNotFound { .. }
        )
    }
}

const MERGED: &str = "it is being merged with others";

pub(super) fn of_applied(
    queue: &QueueName,
    id: &TaskId,
    action: Action,
    applied: Applied,
) -> Result<(), InspectError> {
    match applied {
        Applied::Done => Ok(()),
        Applied::NotFound => Err(not_found(queue, id)),
        Applied::WrongState(state) => Err(wrong_state(queue, id, state, why_not(action, state))),
        Applied::BeingMerged => Err(wrong_state(queue, id, TaskState::Aggregating, MERGED)),
    }
}

pub(super) fn of_changed(
    queue: &QueueName,
    id: &TaskId,
    target: &QueueName,
    changed: Changed,
) -> Result<(), InspectError> {
    match changed {
        Changed::Done => Ok(()),
        Changed::NotFound => Err(not_found(queue, id)),
        Changed::WrongState(state) => Err(wrong_state(
            queue,
            id,
            state,
            "it cannot be changed that way any more",
        )),
        Changed::BeingMerged => Err(wrong_state(queue, id, TaskState::Aggregating, MERGED)),
        Changed::IdTaken => Err(InspectError::IdTaken {
            queue: target.clone(),
            id: id.clone(),
        }),
        Changed::Duplicate { holder } => Err(InspectError::Duplicate {
            id: id.clone(),
            holder,
        }),
    }
}

pub(super) fn not_found(queue: &QueueName, id: &TaskId) -> InspectError {
    InspectError::TaskNotFound {
        queue: queue.clone(),
        id: id.clone(),
    }
}

fn wrong_state(queue: &QueueName, id: &TaskId, state: TaskState, reason: &'static str) -> InspectError {
    InspectError::WrongState {
        queue: queue.clone(),
        id: id.clone(),
        state,
        reason,
    }
}

fn why_not(action: Action, state: TaskState) -> &'static str {
    match (action, state) {
        (Action::Cancel, _) => "only a running task can be cancelled",
        (_, TaskState::Active) => "a running task can only be cancelled",
        (Action::Run, TaskState::Pending) => "it is about to be run",
        (Action::Archive, TaskState::Archived) => "it is archived already",
        _ => "it has changed meanwhile",
    }
}
