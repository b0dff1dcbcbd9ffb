use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::{TaskInfo, TaskState};
use crate::names::{GroupName, QueueName, TaskId};
use crate::options::When;

use super::{Filter, Inspect, Now, Presence, ScheduleStore};

/// Acts on tasks and queues, one by one or many at a time. Asked by the [`Inspector`](crate::Inspector); implemented by
/// brokers.
///
/// Every call does a bounded piece of work, so that nobody else has to wait for long. What takes longer is done in steps:
/// each answers with a [`Cursor`] to go on from. A step that failed, or whose answer was lost, can be repeated.
///
/// Looking never changes anything.
#[async_trait]
pub trait Operate: Inspect + Presence + ScheduleStore + Now {
    /// Goes through a list in the order of [`Inspect::tasks`] and gives up to `limit` tasks that pass the filter: perhaps
    /// none although there are more, since a call looks at no more than some hundreds.
    ///
    /// A task that stays in its list from the first page to the last is in one of them, whatever comes and goes meanwhile.
    /// It may be in two if those beside it go. Undecodable tasks are left out.
    async fn page(
        &self,
        queue: &QueueName,
        list: &TaskList,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TaskPage, BrokerError>;

    /// Looks at up to `limit` tasks of a list and does something to those that pass the filter. Each is done atomically.
    /// Undecodable tasks pass a filter that asks for no more than an id.
    async fn apply(
        &self,
        queue: &QueueName,
        list: &TaskList,
        action: Action,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<StepReport, BrokerError>;

    /// Does something to these tasks, with an answer for each. Each is done atomically. Go: `RunTask`, `ArchiveTask`,
    /// `DeleteTask`.
    async fn apply_to(
        &self,
        queue: &QueueName,
        action: Action,
        ids: &[TaskId],
    ) -> Result<Vec<Applied>, BrokerError>;

    /// Changes a task that waits, atomically. Go: `UpdateTaskPayload`.
    async fn change(&self, queue: &QueueName, id: &TaskId, change: &Change) -> Result<Changed, BrokerError>;

    /// Takes a step towards deleting a queue and all that is stored for it, its name last. Without `force` only if it has
    /// no tasks in whatever state; with it only if none is active. Go: `DeleteQueue`.
    async fn delete_queue(
        &self,
        queue: &QueueName,
        force: bool,
        after: Option<&Cursor>,
    ) -> Result<QueueDeletion, BrokerError>;

    /// About how many bytes a queue takes, from a sample of its tasks. Go: `QueueInfo.MemoryUsage`.
    async fn memory_usage(&self, queue: &QueueName) -> Result<u64, BrokerError>;

    /// What a queue did on each of the last `days` days (UTC), today first; at most ninety are kept. Go: `History`.
    async fn history(&self, queue: &QueueName, days: usize) -> Result<Vec<DayCount>, BrokerError>;

    /// The groups of a queue that have waiting tasks, by name. Go: `Groups`.
    async fn group_sizes(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError>;
}

/// A list of tasks within a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TaskList {
    /// Running.
    Active,
    /// Waiting to be run.
    Pending,
    /// Waiting for their time.
    Scheduled,
    /// Waiting for their next attempt.
    Retry,
    /// Failed for good.
    Archived,
    /// Done and kept.
    Completed,
    /// Waiting in this group.
    Group(GroupName),
}

impl TaskList {
    /// The state of its tasks.
    pub fn state(&self) -> TaskState {
        match self {
            TaskList::Active => TaskState::Active,
            TaskList::Pending => TaskState::Pending,
            TaskList::Scheduled => TaskState::Scheduled,
            TaskList::Retry => TaskState::Retry,
            TaskList::Archived => TaskState::Archived,
            TaskList::Completed => TaskState::Completed,
            TaskList::Group(_) => TaskState::Aggregating,
        }
    }

    /// The group, if it is one.
    pub fn group(&self) -> Option<&GroupName> {
        match self {
            TaskList::Group(group) => Some(group),
            _ => None,
        }
    }
}

impl fmt::Display for TaskList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskList::Group(group) => write!(f, "group {group:?}"),
            list => list.state().fmt(f),
        }
    }
}

/// A place in a list, to go on from. It is text, so it can be kept and given back later, to another process too; what it
/// says is the broker's, and so is refusing one that it does not understand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// Takes the text of a cursor that was kept, or that a broker makes.
    pub fn new(text: impl Into<String>) -> Self {
        Cursor(text.into())
    }

    /// The text, to be kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What [`page`](Operate::page) found.
#[derive(Debug, Clone, Default)]
pub struct TaskPage {
    /// Those that pass the filter.
    pub tasks: Vec<TaskInfo>,
    /// How many were looked at.
    pub examined: usize,
    /// How many there are in the list now; or were when the first page was read, if the broker would have to count them.
    pub total: u64,
    /// Where to go on; nothing at the end.
    pub next: Option<Cursor>,
}

/// What can be done to many tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Makes them pending, whatever they wait for. Counts of retries and errors stay. Go: `RunTask`.
    Run,
    /// Archives them; how often their workers were lost is forgotten. Go: `ArchiveTask`.
    Archive,
    /// Deletes them and releases their uniqueness locks. Go: `DeleteTask`.
    Delete,
    /// Asks their workers to cancel them, as [`Inspect::cancel`] does. Go: `CancelProcessing`.
    Cancel,
}

impl Action {
    /// Whether it can be done to tasks in this state: to active ones nothing but cancelling, and nothing to tasks that
    /// are what it makes of them.
    pub fn is_for(self, state: TaskState) -> bool {
        match self {
            Action::Run => !matches!(state, TaskState::Active | TaskState::Pending),
            Action::Archive => !matches!(state, TaskState::Active | TaskState::Archived),
            Action::Delete => state != TaskState::Active,
            Action::Cancel => state == TaskState::Active,
        }
    }

    /// Its name: `run`, `archive`, `delete` or `cancel`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Run => "run",
            Action::Archive => "archive",
            Action::Delete => "delete",
            Action::Cancel => "cancel",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was done.
    Done,
    /// There is no such task.
    NotFound,
    /// Not done: the task is in this state.
    WrongState(TaskState),
    /// Not done: the task is in a sealed set, to be merged.
    BeingMerged,
}

/// What [`apply`](Operate::apply) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepReport {
    /// How many tasks were looked at.
    pub examined: usize,
    /// To how many of them it was done.
    pub done: usize,
    /// How many passed the filter and were left as they are: they were gone or in another state by then.
    pub refused: usize,
    /// How many there were in the list before; or before the first step, if the broker would have to count them.
    pub total: u64,
    /// Where to go on; nothing at the end.
    pub next: Option<Cursor>,
}

/// What to change about a task that waits; nothing unless set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Change {
    /// What its handler gets. Its uniqueness lock, if it holds one, moves along.
    pub payload: Option<Bytes>,
    /// When it runs: a pending or grouped task becomes scheduled, if that is after now.
    pub process_at: Option<When>,
    /// How often it may be retried.
    pub max_retry: Option<u32>,
    /// The queue it belongs to. Its state and, unless changed too, its time stay.
    pub queue: Option<QueueName>,
}

impl Change {
    /// Whether this can be changed of tasks in this state: of all but active and completed ones; the time not of archived
    /// ones, which have none.
    pub fn is_for(&self, state: TaskState) -> bool {
        match state {
            TaskState::Active | TaskState::Completed => false,
            TaskState::Archived => self.process_at.is_none(),
            _ => true,
        }
    }
}

/// What [`change`](Operate::change) did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It was done.
    Done,
    /// There is no such task.
    NotFound,
    /// Not done: the task is in this state.
    WrongState(TaskState),
    /// Not done: the task is in a sealed set, to be merged.
    BeingMerged,
    /// Not done: the other queue has a task of this id.
    IdTaken,
    /// Not done: this task holds the uniqueness lock for the new payload or queue.
    Duplicate {
        /// The holder.
        holder: TaskId,
    },
}

/// How far deleting a queue has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueDeletion {
    /// There is more to do.
    Going {
        /// How many tasks this step deleted.
        deleted: usize,
        /// Where to go on.
        next: Cursor,
    },
    /// The queue is gone.
    Done,
    /// There is no such queue.
    NotFound,
    /// Refused: it has tasks, or active ones if it was to be forced. Earlier steps may have deleted others.
    NotEmpty,
}

/// What a queue did on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayCount {
    /// When the day began (UTC).
    pub day: Timestamp,
    /// Attempts, failed or not.
    pub processed: u64,
    /// Failed attempts.
    pub failed: u64,
}

/// A group and how many tasks wait in it. Go: `GroupInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSize {
    /// Its name.
    pub group: GroupName,
    /// Tasks that wait in it; those in sealed sets are not counted.
    pub size: u64,
}
