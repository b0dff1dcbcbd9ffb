//! What a handler knows about its task, and what it can do meanwhile.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::broker::{Dequeue, LeaseKey};
use crate::clock::Timestamp;
use crate::context_control::ContextBuilder;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};

/// What a handler knows about its task, and what it can do meanwhile. Cheap to clone.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) key: LeaseKey,
    pub(crate) retried: u32,
    pub(crate) max_retry: u32,
    pub(crate) deadline: Timestamp,
    pub(crate) keeps_result: bool,
    pub(crate) state: Extensions,
    pub(crate) cancelled: CancellationToken,
    pub(crate) reason: OnceLock<CancelReason>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) results: Option<Arc<dyn ResultStore>>,
    pub(crate) holds: watch::Sender<usize>,
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
    /// that can stop early and be run again returns [`Outcome::Snooze`](crate::Outcome::Snooze).
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

    #[tokio::test]
    async fn a_result_of_a_task_without_retention_is_refused() {
        let error = Context::for_test().write_result("x").await.unwrap_err();

        assert!(matches!(error, ResultError::NotRetained { .. }));
    }

    #[test]
    fn state_is_found_by_its_type() {
        let builder = ContextBuilder {
            state: Extensions::default().with(7_u32),
            ..ContextBuilder::default()
        };
        let (context, _) = builder.build();

        assert_eq!(context.state::<u32>(), Some(&7));
        assert_eq!(context.state::<u64>(), None);
    }
}
