//! What can be set for a server, with the defaults of Go asynq.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::GroupLimits;
use asynq_core::{
    BrokerError, Context, DEFAULT_MAX_PAYLOAD, DefaultBackoff, Extensions, GroupName, NameError, QueueName,
    RawTask, RetryPolicy, TaskBuilder, TaskError,
};

use crate::mux::PatternError;

/// Everything set for a server, checked.
pub(crate) struct Config {
    pub(crate) concurrency: usize,
    pub(crate) queues: BTreeMap<QueueName, u32>,
    pub(crate) strict_priority: bool,
    pub(crate) state: Extensions,
    pub(crate) lease: Duration,
    pub(crate) task_check_interval: Duration,
    pub(crate) delayed_task_check_interval: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) retry_policy: Arc<dyn RetryPolicy>,
    pub(crate) is_failure: Arc<dyn Fn(&TaskError) -> bool + Send + Sync>,
    pub(crate) error_handler: Option<Arc<dyn ErrorHandler>>,
    pub(crate) health_check: Option<Arc<HealthCheck>>,
    pub(crate) health_check_interval: Duration,
    pub(crate) group_limits: GroupLimits,
    pub(crate) group_aggregator: Option<Arc<dyn GroupAggregator>>,
    pub(crate) janitor_interval: Duration,
    pub(crate) janitor_batch_size: usize,
    pub(crate) recover_interval: Duration,
    pub(crate) reconcile_interval: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) unknown_task_delay: Duration,
    pub(crate) max_payload: usize,
}

/// Is given the error of a ping, or nothing when the broker answered.
pub(crate) type HealthCheck = dyn Fn(Option<&BrokerError>) + Send + Sync;

impl Default for Config {
    fn default() -> Self {
        Config {
            concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            queues: BTreeMap::from([(QueueName::default_queue(), 1)]),
            strict_priority: false,
            state: Extensions::default(),
            lease: Duration::from_secs(30),
            task_check_interval: Duration::from_secs(1),
            delayed_task_check_interval: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(8),
            cancel_grace: Duration::from_secs(1),
            retry_policy: Arc::new(DefaultBackoff),
            is_failure: Arc::new(|_| true),
            error_handler: None,
            health_check: None,
            health_check_interval: Duration::from_secs(15),
            group_limits: GroupLimits {
                grace_period: Duration::from_secs(60),
                max_delay: None,
                max_size: None,
            },
            group_aggregator: None,
            janitor_interval: Duration::from_secs(8),
            janitor_batch_size: 100,
            recover_interval: Duration::from_secs(15),
            reconcile_interval: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(5),
            unknown_task_delay: Duration::from_secs(10),
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }
}

/// A server that cannot be built as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A queue name that cannot be used.
    #[error(transparent)]
    Queue(#[from] NameError),
    /// A pattern that cannot be registered.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// No handler: every task would be put back.
    #[error("the server has no handler; register one with handle, handle_typed or handler")]
    NoHandler,
    /// A number or a duration that makes no sense.
    #[error("{option} {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// What is expected.
        expected: &'static str,
    },
}

/// Told of every failed attempt: with an error, a panic, a timeout, a cancellation, or a worker that died. Go:
/// `ErrorHandler`.
///
/// Any `Fn(&Failure<'_>)` is one. It is called on the way, so it should be quick. A panic in it is logged.
pub trait ErrorHandler: Send + Sync + 'static {
    /// An attempt failed.
    fn handle_error(&self, failure: &Failure<'_>);
}

impl<F: Fn(&Failure<'_>) + Send + Sync + 'static> ErrorHandler for F {
    fn handle_error(&self, failure: &Failure<'_>) {
        self(failure);
    }
}

/// A failed attempt.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The context of the attempt; none if its worker died.
    pub context: Option<&'a Context>,
    /// The queue of the task.
    pub queue: &'a QueueName,
    /// The id of the task.
    pub id: &'a asynq_core::TaskId,
    /// The task.
    pub task: &'a RawTask,
    /// Why it failed.
    pub error: &'a TaskError,
}

/// Merges the tasks of a group into one. Go: `GroupAggregator`.
///
/// Any `Fn(GroupName, Vec<RawTask>) -> Future` whose output is a task is one. Of the grouped tasks only type, payload
/// and headers are given; the options are those of the merged task, whose queue is that of the group. An error, or a
/// panic, leaves the tasks in their group for another time.
#[async_trait]
pub trait GroupAggregator: Send + Sync + 'static {
    /// One task of many, oldest first.
    async fn aggregate(
        &self,
        group: &GroupName,
        tasks: Vec<RawTask>,
    ) -> Result<TaskBuilder<RawTask>, TaskError>;
}

#[async_trait]
impl<F, R> GroupAggregator for F
where
    F: Fn(GroupName, Vec<RawTask>) -> R + Send + Sync + 'static,
    R: Future<Output: IntoAggregated> + Send + 'static,
{
    async fn aggregate(
        &self,
        group: &GroupName,
        tasks: Vec<RawTask>,
    ) -> Result<TaskBuilder<RawTask>, TaskError> {
        self(group.clone(), tasks).await.into_aggregated()
    }
}

/// What a function that merges tasks may return: a raw task, with options or not, or a `Result` of one.
pub trait IntoAggregated {
    /// The merged task with its options.
    fn into_aggregated(self) -> Result<TaskBuilder<RawTask>, TaskError>;
}

impl IntoAggregated for RawTask {
    fn into_aggregated(self) -> Result<TaskBuilder<RawTask>, TaskError> {
        use asynq_core::Configure;
        Ok(self.configure(|_| {}))
    }
}

impl IntoAggregated for TaskBuilder<RawTask> {
    fn into_aggregated(self) -> Result<TaskBuilder<RawTask>, TaskError> {
        Ok(self)
    }
}

impl<T: IntoAggregated, E: Into<TaskError>> IntoAggregated for Result<T, E> {
    fn into_aggregated(self) -> Result<TaskBuilder<RawTask>, TaskError> {
        self.map_err(Into::into)?.into_aggregated()
    }
}
