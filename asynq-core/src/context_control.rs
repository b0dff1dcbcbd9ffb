//! The server's end of a [`Context`]: making one, and steering it.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::broker::LeaseKey;
use crate::clock::Timestamp;
use crate::context::{CancelReason, Context, Extensions, Inner, ResultStore};
use crate::names::{QueueName, TaskId};
use crate::options::DEFAULT_MAX_RETRY;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_to_stop_counts() {
        let (context, control) = ContextBuilder::default().build();

        control.cancel(CancelReason::DeadlineExceeded);
        control.cancel(CancelReason::Requested);

        context.cancelled().await;
        assert_eq!(context.cancel_reason(), Some(CancelReason::DeadlineExceeded));
    }

    #[tokio::test]
    async fn holds_are_counted() {
        let (context, control) = ContextBuilder::default().build();
        let (first, second) = (context.hold(), context.hold());

        drop(first);
        assert!(control.is_held());
        drop(second);
        control.released().await;
        assert!(!control.is_held());
    }
}
