//! What runs a task.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
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

#[cfg(test)]
mod tests {
    use super::*;

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
            outcomes.push(handler.process(Context::for_test(), RawTask::new("t", "x")).await);
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
            .process(Context::for_test(), RawTask::new("image:resize", "{}"))
            .await;

        assert!(matches!(outcome, Outcome::Archive(error) if error.kind() == FailureKind::Decode));
    }
}
