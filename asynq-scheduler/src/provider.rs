use async_trait::async_trait;
use asynq_core::BoxError;

use crate::entry::Entry;

/// Says which periodic tasks there are. Go: `PeriodicTaskConfigProvider`.
///
/// Implemented for every function that gives a future of the list, so that a table of a database, an HTTP answer or a
/// constant will do:
///
/// ```
/// use asynq_core::{BoxError, MemoryBroker, RawTask};
/// use asynq_scheduler::{Entry, PeriodicTasks, Scheduler};
///
/// async fn from_database() -> Result<Vec<Entry>, BoxError> {
///     let rows = [("*/5 * * * *", "feed:poll"), ("0 3 * * *", "report:nightly")];
///     Ok(rows.map(|(spec, task_type)| Entry::new(spec, RawTask::new(task_type, ""))).into())
/// }
///
/// let tasks = PeriodicTasks::new(Scheduler::new(MemoryBroker::new()), from_database);
/// ```
///
/// The example `database_tasks` does so with a table that changes while it runs.
#[async_trait]
pub trait ConfigProvider: Send + Sync + 'static {
    /// All periodic tasks that there are to be now. After an error those that there were stay.
    ///
    /// An entry that cannot be registered is left out with a log, and does not stop the others.
    async fn configs(&self) -> Result<Vec<Entry>, BoxError>;

    /// Returns when [`configs`](Self::configs) may have changed, to be asked before the sync interval is over. Unless
    /// implemented, never.
    ///
    /// # Cancel safety
    ///
    /// Is dropped and called anew at any time.
    async fn changed(&self) {
        std::future::pending().await
    }
}

#[async_trait]
impl<F, Answer, E> ConfigProvider for F
where
    F: Fn() -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Vec<Entry>, E>> + Send,
    E: Into<BoxError>,
{
    async fn configs(&self) -> Result<Vec<Entry>, BoxError> {
        self().await.map_err(Into::into)
    }
}
