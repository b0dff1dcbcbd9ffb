//! Handlers that are not async.

use std::sync::Arc;

use async_trait::async_trait;
use asynq_core::{Context, Handler, IntoOutcome, Outcome, RawTask, TaskError};
use tokio::sync::Semaphore;

/// Makes a handler of a function that blocks: it runs on a pool of threads, at most `threads` at once.
///
/// A thread cannot be stopped from outside. When the task is to stop, [`Context::is_cancelled`] says so; until the
/// function returns, the task keeps its slot and its lease, and what the function returns counts, even past the
/// deadline.
///
/// ```
/// use asynq_server::prelude::*;
///
/// let handler = blocking(4, |cx: Context, task: RawTask| {
///     for row in task.payload.chunks(1000) {
///         if cx.is_cancelled() {
///             return Err(TaskError::new("stopped"));
///         }
///         std::hint::black_box(row.len());
///     }
///     Ok(())
/// });
/// ```
///
/// # Panics
///
/// When `threads` is zero.
pub fn blocking<F, R>(threads: usize, function: F) -> impl Handler
where
    F: Fn(Context, RawTask) -> R + Send + Sync + 'static,
    R: IntoOutcome + Send + 'static,
{
    assert!(threads > 0, "a blocking handler needs at least one thread");
    Blocking {
        function: Arc::new(function),
        threads: Arc::new(Semaphore::new(threads)),
    }
}

struct Blocking<F> {
    function: Arc<F>,
    threads: Arc<Semaphore>,
}

#[async_trait]
impl<F, R> Handler for Blocking<F>
where
    F: Fn(Context, RawTask) -> R + Send + Sync + 'static,
    R: IntoOutcome + Send + 'static,
{
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        let Ok(thread) = self.threads.clone().acquire_owned().await else {
            return Outcome::Retry(TaskError::new("the pool of threads is closed"));
        };
        let function = self.function.clone();
        let context = cx.clone();
        run_blocking(&context, move || {
            let _until_return = thread;
            function(cx, task).into_outcome()
        })
        .await
    }
}

/// Runs a function that blocks on a thread of its own. The attempt keeps its slot and its lease until it returns.
#[doc(hidden)]
pub async fn run_blocking(cx: &Context, function: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let hold = cx.hold();
    let work = tokio::task::spawn_blocking(move || {
        let _until_return = hold;
        crate::panic::guard(function)
    });
    match work.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => panic.into_outcome(),
        // The runtime is shutting down and did not run it.
        Err(error) => Outcome::Retry(TaskError::new(error)),
    }
}
