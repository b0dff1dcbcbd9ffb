//! What runs a task.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::broker::{Dequeue, LeaseKey};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};
use crate::options::DEFAULT_MAX_RETRY;
use crate::outcome::{FailureKind, IntoOutcome, Outcome, TaskError};
use crate::retry::RetryPolicy;
use crate::task::{RawTask, Task};

/// Runs tasks. Go: `Handler`.
///
/// Any `Fn(Context, RawTask) -> Future` whose output is [`IntoOutcome`] is one; [`typed`] makes one of a function that
/// takes a decoded payload, `blocking` of asynq-server one of a function that is not async. Implement the trait for a
/// handler with state of its own or with its own [`RetryPolicy`].
///
/// # Cancel safety
///
/// The future is dropped when the task's deadline passes, when it is cancelled and does not end within a short grace,
/// when its lease is lost, and at the end of a shutdown. What must not be cut off goes into a task of its own.
///
/// ```
/// use asynq_core::{Context, Handler, RawTask, TaskError};
///
/// fn is_handler<H: Handler>(_: H) {}
///
/// is_handler(|cx: Context, task: RawTask| async move {
///     println!("{} of {} bytes, attempt {}", task.task_type, task.payload.len(), cx.retried() + 1);
///     Ok::<(), TaskError>(())
/// });
/// ```
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt of a task. Go: `ProcessTask`.
    async fn process(&self, cx: Context, task: RawTask) -> Outcome;

    /// The handler's own retry policy for this task, instead of the server's.
    fn retry_policy(&self, _task: &RawTask) -> Option<&dyn RetryPolicy> {
        None
    }
}

#[async_trait]
impl<F, R> Handler for F
where
    F: Fn(Context, RawTask) -> R + Send + Sync + 'static,
    R: Future<Output: IntoOutcome> + Send + 'static,
{
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        self(cx, task).await.into_outcome()
    }
}

#[async_trait]
impl Handler for Arc<dyn Handler> {
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        (**self).process(cx, task).await
    }

    fn retry_policy(&self, task: &RawTask) -> Option<&dyn RetryPolicy> {
        (**self).retry_policy(task)
    }
}

/// A handler with this retry policy, instead of the server's.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::{Context, FixedBackoff, RawTask, with_retry_policy};
///
/// let handler = with_retry_policy(FixedBackoff(Duration::from_secs(5)), |_: Context, _: RawTask| async {});
/// ```
pub fn with_retry_policy(policy: impl RetryPolicy, handler: impl Handler) -> impl Handler {
    WithRetryPolicy { policy, handler }
}

struct WithRetryPolicy<P, H> {
    policy: P,
    handler: H,
}

#[async_trait]
impl<P: RetryPolicy, H: Handler> Handler for WithRetryPolicy<P, H> {
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        self.handler.process(cx, task).await
    }

    fn retry_policy(&self, _: &RawTask) -> Option<&dyn RetryPolicy> {
        Some(&self.policy)
    }
}

/// A handler that gets its payload decoded. A payload that does not decode archives the task at once: another attempt
/// cannot help.
///
/// ```
/// use asynq_core::{Context, JsonCodec, Task, typed};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Resize { width: u32 }
/// impl Task for Resize {
///     const TYPE: &'static str = "image:resize";
///     type Codec = JsonCodec;
/// }
///
/// let handler = typed(|cx: Context, task: Resize| async move { println!("to {}", task.width) });
/// ```
pub fn typed<T, F, R>(function: F) -> Typed<T, F>
where
    T: Task,
    F: Fn(Context, T) -> R + Send + Sync + 'static,
    R: Future<Output: IntoOutcome> + Send + 'static,
{
    Typed {
        function,
        payload: PhantomData,
    }
}

/// Made by [`typed`].
pub struct Typed<T, F> {
    function: F,
    payload: PhantomData<fn() -> T>,
}

#[async_trait]
impl<T, F, R> Handler for Typed<T, F>
where
    T: Task,
    F: Fn(Context, T) -> R + Send + Sync + 'static,
    R: Future<Output: IntoOutcome> + Send + 'static,
{
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        match task.decode::<T>() {
            Ok(payload) => (self.function)(cx, payload).await.into_outcome(),
            Err(error) => TaskError::new(error)
                .with_kind(FailureKind::Decode)
                .skip_retry()
                .into_outcome(),
        }
    }
}

/// What a handler knows about its task, and what it can do meanwhile. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    key: LeaseKey,
    retried: u32,
    max_retry: u32,
    deadline: Timestamp,
    keeps_result: bool,
    state: Extensions,
    cancelled: CancellationToken,
    reason: OnceLock<CancelReason>,
    shutdown: CancellationToken,
    results: Option<Arc<dyn ResultStore>>,
    holds: watch::Sender<usize>,
}

/// Why a task is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody asked for it.
    Requested,
    /// Its timeout or deadline passed.
    DeadlineExceeded,
    /// Its lease was lost: another worker may run it.
    LeaseLost,
    /// The server is shutting down and does not wait any longer.
    Shutdown,
}

/// Where intermediate results go: a [`Dequeue`] broker, or whatever a test puts there.
#[async_trait]
pub trait ResultStore: Send + Sync + 'static {
    /// Stores the result of the task under this lease; false if the lease is lost.
    async fn write_result(&self, key: &LeaseKey, result: Bytes) -> Result<bool, BrokerError>;
}

#[async_trait]
impl<B: Dequeue + ?Sized> ResultStore for B {
    async fn write_result(&self, key: &LeaseKey, result: Bytes) -> Result<bool, BrokerError> {
        Dequeue::write_result(self, key, result).await
    }
}

/// Why an intermediate result was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The task has no retention: its result would be deleted with it. Enqueue it with one.
    #[error(
        "task {id:?} in queue {queue:?} has no retention, so its result would not be kept; enqueue it with one"
    )]
    NotRetained {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
    },
    /// The lease is lost: another worker may run the task.
    #[error("task {id:?} in queue {queue:?} is not this worker's any more")]
    LeaseLost {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
    },
    /// The broker failed.
    #[error("the result of task {id:?} in queue {queue:?} was not stored")]
    Broker {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
        /// What the broker said.
        source: BrokerError,
    },
}

impl Context {
    /// The context of a first attempt at a task in the queue `default`, for a test that calls a handler as a function.
    /// [`ContextBuilder`] makes others.
    pub fn for_test() -> Self {
        ContextBuilder::default().build().0
    }

    /// The task's id. Go: `GetTaskID`.
    pub fn task_id(&self) -> &TaskId {
        &self.0.key.id
    }

    /// The task's queue. Go: `GetQueueName`.
    pub fn queue(&self) -> &QueueName {
        &self.0.key.queue
    }

    /// How many attempts failed before this one. Go: `GetRetryCount`.
    pub fn retried(&self) -> u32 {
        self.0.retried
    }

    /// How often the task may be retried. Go: `GetMaxRetry`.
    pub fn max_retry(&self) -> u32 {
        self.0.max_retry
    }

    /// Whether a failure of this attempt is the last one.
    pub fn is_last_attempt(&self) -> bool {
        self.0.retried >= self.0.max_retry
    }

    /// When the handler is stopped, on the broker's clock.
    pub fn deadline(&self) -> Timestamp {
        self.0.deadline
    }

    /// Names this attempt: differs from that of every other attempt of the task (with a chance of one in a million
    /// for attempts in the same second). For writes elsewhere that must not be done by an outdated attempt.
    pub fn attempt_nonce(&self) -> u32 {
        self.0.key.nonce
    }

    /// What was given to the server as shared state of this type.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.state.get()
    }

    /// Completes when the task is to stop: cancelled, past its deadline, or its lease lost. See
    /// [`Context::cancel_reason`]. After that the handler has a short grace, or none, before it is dropped.
    pub async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether the task is to stop. For handlers that are not async.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Why the task is to stop.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.0.reason.get().copied()
    }

    /// Completes when the server begins to shut down. The handler may go on until the server's shutdown timeout; one
    /// that can stop early and be run again returns [`Outcome::Snooze`].
    pub async fn shutting_down(&self) {
        self.0.shutdown.cancelled().await;
    }

    /// Stores a result while the task runs, in place of an earlier one. Go: `ResultWriter.Write`.
    ///
    /// To store one at the end, return it instead.
    pub async fn write_result(&self, result: impl Into<Bytes>) -> Result<(), ResultError> {
        let LeaseKey { queue, id, .. } = &self.0.key;
        let Some(results) = self.0.results.as_ref().filter(|_| self.0.keeps_result) else {
            return Err(ResultError::NotRetained {
                queue: queue.clone(),
                id: id.clone(),
            });
        };
        match results.write_result(&self.0.key, result.into()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ResultError::LeaseLost {
                queue: queue.clone(),
                id: id.clone(),
            }),
            Err(source) => Err(ResultError::Broker {
                queue: queue.clone(),
                id: id.clone(),
                source,
            }),
        }
    }

    /// Keeps the attempt from being given up while the guard lives: its slot and its lease are kept, and the handler
    /// is awaited instead of dropped, even past its deadline. For work that goes on when the future is dropped, such as
    /// that of a thread.
    pub fn hold(&self) -> HoldGuard {
        self.0.holds.send_modify(|holds| *holds += 1);
        HoldGuard(self.clone())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("queue", self.queue())
            .field("task_id", self.task_id())
            .field("retried", &self.retried())
            .field("max_retry", &self.max_retry())
            .field("cancel_reason", &self.cancel_reason())
            .finish_non_exhaustive()
    }
}

/// Keeps an attempt from being given up. See [`Context::hold`].
#[must_use = "the hold ends when the guard is dropped"]
pub struct HoldGuard(Context);

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.0.0.holds.send_modify(|holds| *holds -= 1);
    }
}

/// Makes a [`Context`]. For servers and for tests of handlers.
pub struct ContextBuilder {
    /// Names the attempt.
    pub key: LeaseKey,
    /// How many attempts failed before.
    pub retried: u32,
    /// How often the task may be retried.
    pub max_retry: u32,
    /// When the handler is stopped.
    pub deadline: Timestamp,
    /// Whether a result is kept.
    pub keeps_result: bool,
    /// State for handlers.
    pub state: Extensions,
    /// Cancelled when the server begins to shut down.
    pub shutdown: CancellationToken,
    /// Where intermediate results go.
    pub results: Option<Arc<dyn ResultStore>>,
}

/// A first attempt at a task of a random id in the queue `default`, without a deadline and without anywhere to write
/// results.
impl Default for ContextBuilder {
    fn default() -> Self {
        ContextBuilder {
            key: LeaseKey {
                queue: QueueName::default_queue(),
                id: TaskId::random(),
                nonce: 0,
            },
            retried: 0,
            max_retry: DEFAULT_MAX_RETRY,
            deadline: Timestamp::MAX,
            keeps_result: false,
            state: Extensions::default(),
            shutdown: CancellationToken::new(),
            results: None,
        }
    }
}

impl ContextBuilder {
    /// The context, and what steers it.
    pub fn build(self) -> (Context, ContextControl) {
        let context = Context(Arc::new(Inner {
            key: self.key,
            retried: self.retried,
            max_retry: self.max_retry,
            deadline: self.deadline,
            keeps_result: self.keeps_result,
            state: self.state,
            cancelled: CancellationToken::new(),
            reason: OnceLock::new(),
            shutdown: self.shutdown,
            results: self.results,
            holds: watch::Sender::new(0),
        }));
        (context.clone(), ContextControl(context))
    }
}

/// Steers a [`Context`]: the server's end of it.
#[derive(Clone)]
pub struct ContextControl(Context);

impl ContextControl {
    /// Tells the handler to stop. Only the first reason counts.
    pub fn cancel(&self, reason: CancelReason) {
        let _ = self.0.0.reason.set(reason);
        self.0.0.cancelled.cancel();
    }

    /// Completes when the handler has been told to stop.
    pub async fn cancelled(&self) -> CancelReason {
        self.0.0.cancelled.cancelled().await;
        // The reason is set before the token is cancelled.
        self.0.0.reason.get().copied().unwrap_or(CancelReason::Requested)
    }

    /// Whether the handler has been told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Whether work goes on that a drop of the future would not stop.
    pub fn is_held(&self) -> bool {
        *self.0.0.holds.borrow() > 0
    }

    /// Completes when no work goes on that a drop of the future would not stop.
    pub async fn released(&self) {
        // Never fails: the sender lives in the context that `self` keeps.
        let _ = self.0.0.holds.subscribe().wait_for(|holds| *holds == 0).await;
    }
}

/// Values shared by all handlers of a server, one of each type. Cheap to clone.
#[derive(Clone, Default)]
pub struct Extensions(Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Extensions {
    /// These values and `value`, in place of an earlier one of the same type.
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        Arc::make_mut(&mut self.0).insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0
            .get(&TypeId::of::<T>())
            .and_then(|value| value.downcast_ref())
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({} values)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> (Context, ContextControl) {
        ContextBuilder {
            key: LeaseKey {
                queue: QueueName::default(),
                id: TaskId::new("1").unwrap(),
                nonce: 7,
            },
            retried: 0,
            max_retry: 25,
            deadline: Timestamp::MAX,
            keeps_result: false,
            state: Extensions::default().with(7u32),
            shutdown: CancellationToken::new(),
            results: None,
        }
        .build()
    }

    #[tokio::test]
    async fn closures_and_functions_are_handlers() {
        async fn function(_: Context, task: RawTask) -> Result<Vec<u8>, TaskError> {
            Ok(task.payload.to_vec())
        }
        let handlers: [Arc<dyn Handler>; 2] = [
            Arc::new(function),
            Arc::new(|_: Context, _: RawTask| async { Err::<(), _>("no") }),
        ];

        let mut outcomes = Vec::new();
        for handler in handlers {
            outcomes.push(handler.process(context().0, RawTask::new("t", "x")).await);
        }

        assert!(matches!(&outcomes[0], Outcome::Done(Some(bytes)) if &bytes[..] == b"x"));
        assert!(matches!(&outcomes[1], Outcome::Retry(error) if error.to_string() == "no"));
    }

    #[tokio::test]
    async fn a_payload_that_does_not_decode_is_archived() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Resize {
            width: u32,
        }
        impl Task for Resize {
            const TYPE: &'static str = "image:resize";
            type Codec = crate::JsonCodec;
        }
        let handler = typed(|_, task: Resize| async move { assert_eq!(task.width, 7) });

        let outcome = handler
            .process(context().0, RawTask::new("image:resize", "{}"))
            .await;

        assert!(matches!(outcome, Outcome::Archive(error) if error.kind() == FailureKind::Decode));
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_counts() {
        let (context, control) = context();

        control.cancel(CancelReason::DeadlineExceeded);
        control.cancel(CancelReason::Requested);

        context.cancelled().await;
        assert_eq!(context.cancel_reason(), Some(CancelReason::DeadlineExceeded));
    }

    #[tokio::test]
    async fn a_result_of_a_task_without_retention_is_refused() {
        let error = context().0.write_result("x").await.unwrap_err();

        assert!(matches!(error, ResultError::NotRetained { .. }));
    }

    #[tokio::test]
    async fn holds_are_counted() {
        let (context, control) = context();
        let (first, second) = (context.hold(), context.hold());

        drop(first);
        assert!(control.is_held());
        drop(second);
        control.released().await;
        assert!(!control.is_held());
    }

    #[test]
    fn state_is_found_by_its_type() {
        assert_eq!(context().0.state::<u32>(), Some(&7));
        assert_eq!(context().0.state::<u64>(), None);
    }
}
