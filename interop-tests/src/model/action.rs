//! What an inspector can do, in Go and here.

use asynq_core::TaskState;
use asynq_core::broker::Action as Act;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    RunTask,
    ArchiveTask,
    DeleteTask,
    CancelTask,
    UpdateTaskPayload,
    RunAllScheduled,
    RunAllRetry,
    RunAllArchived,
    RunAllAggregating,
    ArchiveAllPending,
    ArchiveAllScheduled,
    ArchiveAllRetry,
    ArchiveAllAggregating,
    DeleteAllPending,
    DeleteAllScheduled,
    DeleteAllRetry,
    DeleteAllArchived,
    DeleteAllCompleted,
    DeleteAllAggregating,
    CancelAll,
    RunSome,
    ArchiveSome,
    DeleteSome,
    RemoveQueue,
    RemoveQueueForced,
}

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One task.
    One(Act),
    /// All tasks of a state, or of a group.
    All(Act, TaskState),
    /// Those that pass a filter, of a state that the operation draws.
    Some(Act),
    /// The payload of one task.
    Payload,
    /// A queue, by force or only if it is empty.
    Queue { force: bool },
}

use Action::{
    ArchiveAllAggregating, ArchiveAllPending, ArchiveAllRetry, ArchiveAllScheduled, ArchiveSome, ArchiveTask,
    CancelAll, CancelTask, DeleteAllAggregating, DeleteAllArchived, DeleteAllCompleted, DeleteAllPending,
    DeleteAllRetry, DeleteAllScheduled, DeleteSome, DeleteTask, RemoveQueue, RemoveQueueForced,
    RunAllAggregating, RunAllArchived, RunAllRetry, RunAllScheduled, RunSome, RunTask, UpdateTaskPayload,
};

/// Every action: how often it is drawn, and what the Go program calls it or, if Go has no such operation, its name here.
const TABLE: [(Action, u8, &str); 25] = [
    (RunTask, 4, "run_task"),
    (ArchiveTask, 3, "archive_task"),
    (DeleteTask, 2, "delete_task"),
    (CancelTask, 2, "publish_cancelation"),
    (UpdateTaskPayload, 3, "update_task_payload"),
    (RunAllScheduled, 1, "run_all_scheduled"),
    (RunAllRetry, 1, "run_all_retry"),
    (RunAllArchived, 1, "run_all_archived"),
    (RunAllAggregating, 2, "run_all_aggregating"),
    (ArchiveAllPending, 1, "archive_all_pending"),
    (ArchiveAllScheduled, 1, "archive_all_scheduled"),
    (ArchiveAllRetry, 1, "archive_all_retry"),
    (ArchiveAllAggregating, 1, "archive_all_aggregating"),
    (DeleteAllPending, 1, "delete_all_pending"),
    (DeleteAllScheduled, 1, "delete_all_scheduled"),
    (DeleteAllRetry, 1, "delete_all_retry"),
    (DeleteAllArchived, 1, "delete_all_archived"),
    (DeleteAllCompleted, 1, "delete_all_completed"),
    (DeleteAllAggregating, 1, "delete_all_aggregating"),
    (CancelAll, 1, "cancel all"),
    (RunSome, 2, "run some"),
    (ArchiveSome, 2, "archive some"),
    (DeleteSome, 1, "delete some"),
    (RemoveQueue, 1, "remove_queue"),
    (RemoveQueueForced, 1, "remove_queue by force"),
];

impl Action {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut left = rng.u8(0..TABLE.iter().map(|(_, weight, _)| weight).sum());
        for (action, weight, _) in TABLE {
            if left < weight {
                return action;
            }
            left -= weight;
        }
        RunTask
    }

    pub(crate) fn name(self) -> &'static str {
        let known = TABLE.iter().find(|(action, ..)| *action == self);
        known.map_or("", |(.., name)| name)
    }

    /// As the Go program calls it.
    pub(super) fn operation(self) -> &'static str {
        match self {
            RemoveQueueForced => "remove_queue",
            action => action.name(),
        }
    }

    /// Whether Go has one operation for it.
    pub(super) fn is_of_go(self) -> bool {
        !matches!(self, CancelAll | RunSome | ArchiveSome | DeleteSome)
    }

    pub(super) fn scope(self) -> Scope {
        use TaskState::{Active, Aggregating, Archived, Completed, Pending, Retry, Scheduled};
        match self {
            RunTask => Scope::One(Act::Run),
            ArchiveTask => Scope::One(Act::Archive),
            DeleteTask => Scope::One(Act::Delete),
            CancelTask => Scope::One(Act::Cancel),
            UpdateTaskPayload => Scope::Payload,
            RunAllScheduled => Scope::All(Act::Run, Scheduled),
            RunAllRetry => Scope::All(Act::Run, Retry),
            RunAllArchived => Scope::All(Act::Run, Archived),
            RunAllAggregating => Scope::All(Act::Run, Aggregating),
            ArchiveAllPending => Scope::All(Act::Archive, Pending),
            ArchiveAllScheduled => Scope::All(Act::Archive, Scheduled),
            ArchiveAllRetry => Scope::All(Act::Archive, Retry),
            ArchiveAllAggregating => Scope::All(Act::Archive, Aggregating),
            DeleteAllPending => Scope::All(Act::Delete, Pending),
            DeleteAllScheduled => Scope::All(Act::Delete, Scheduled),
            DeleteAllRetry => Scope::All(Act::Delete, Retry),
            DeleteAllArchived => Scope::All(Act::Delete, Archived),
            DeleteAllCompleted => Scope::All(Act::Delete, Completed),
            DeleteAllAggregating => Scope::All(Act::Delete, Aggregating),
            CancelAll => Scope::All(Act::Cancel, Active),
            RunSome => Scope::Some(Act::Run),
            ArchiveSome => Scope::Some(Act::Archive),
            DeleteSome => Scope::Some(Act::Delete),
            RemoveQueue => Scope::Queue { force: false },
            RemoveQueueForced => Scope::Queue { force: true },
        }
    }
}

/// What the Go program calls the action on one task.
pub(super) fn operation_on_one(action: Act) -> &'static str {
    match action {
        Act::Run => RunTask.operation(),
        Act::Archive => ArchiveTask.operation(),
        Act::Delete => DeleteTask.operation(),
        Act::Cancel => CancelTask.operation(),
    }
}
