//! Looks at queues and tasks and acts on them: what tools, tests and people use of a broker.

mod bulk;
mod delete_queue;
mod error;
mod queues;
mod search;
mod tasks;

use std::fmt;
use std::sync::Arc;

use crate::broker::Operate;

pub use bulk::{Bulk, Progress};
pub use delete_queue::DeleteQueue;
pub use error::InspectError;
pub use search::Search;

/// How many tasks a step looks at unless told otherwise: also the most that brokers look at in one go.
const STEP: usize = 500;

/// Looks at queues and tasks, and acts on them. Go: `Inspector`.
///
/// Cheap to clone. Looking never changes anything, so a user who may only read is enough for it.
///
/// ```
/// use asynq_core::{Client, Configure, Filter, Inspector, MemoryBroker, QueueName, RawTask, TaskList};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = MemoryBroker::new();
/// let client = Client::new(broker.clone());
/// let hour = Duration::from_secs(3600);
/// for user in ["ann", "bob", "ann"] {
///     client.enqueue(RawTask::new("email:welcome", user).process_in(hour)).await?;
/// }
///
/// let inspector = Inspector::new(broker);
/// let queue = QueueName::default_queue();
/// assert_eq!(inspector.queue_info(&queue).await?.scheduled, 3);
///
/// // Many at once is done in steps, which leave the broker time for others.
/// let mut bulk = inspector
///     .run_all(&queue, TaskList::Scheduled)
///     .matching(Filter::new().payload("ann"));
/// while let Some(progress) = bulk.next().await {
///     println!("{} run so far", progress?.done);
/// }
///
/// // Or without looking on.
/// let deleted = inspector.delete_all(&queue, TaskList::Scheduled).finish().await?;
/// assert_eq!(deleted.done, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Names
///
/// | Go | here |
/// |---|---|
/// | `Queues`, `GetQueueInfo`, `History`, `Groups`, `Servers` | [`queues`](Self::queues), [`queue_info`](Self::queue_info) and [`memory_usage`](Self::memory_usage), [`history`](Self::history), [`groups`](Self::groups), [`servers`](Self::servers) |
/// | `ListPendingTasks`, … | [`list`](Self::list) with [`TaskList`](crate::TaskList), or [`search`](Self::search) |
/// | `GetTaskInfo` | [`task`](Self::task) |
/// | `RunTask`, `ArchiveTask`, `DeleteTask`, `CancelProcessing` | [`run_task`](Self::run_task), [`archive_task`](Self::archive_task), [`delete_task`](Self::delete_task), [`cancel_task`](Self::cancel_task); `…_tasks` for several |
/// | `RunAllScheduledTasks`, … | [`run_all`](Self::run_all), [`archive_all`](Self::archive_all), [`delete_all`](Self::delete_all) |
/// | `UpdateTaskPayload` | [`update_payload`](Self::update_payload), [`change_task`](Self::change_task) |
/// | `DeleteQueue(queue, force)` | [`delete_queue`](Self::delete_queue), [`force_delete_queue`](Self::force_delete_queue) |
/// | `PauseQueue`, `UnpauseQueue` | [`pause_queue`](Self::pause_queue), [`unpause_queue`](Self::unpause_queue) |
/// | `SchedulerEntries`, `ListSchedulerEnqueueEvents` | [`schedule_entries`](Self::schedule_entries), [`schedule_events`](Self::schedule_events) |
#[derive(Clone)]
pub struct Inspector {
    broker: Arc<dyn Operate>,
}

impl Inspector {
    /// An inspector of what this broker keeps.
    pub fn new(broker: impl Operate) -> Self {
        Self::from_shared(Arc::new(broker))
    }

    /// An inspector of a broker that others use too.
    pub fn from_shared(broker: Arc<dyn Operate>) -> Self {
        Inspector { broker }
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}
