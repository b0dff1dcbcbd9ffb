//! Tower layers as middleware.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as PollContext, Poll};

use async_trait::async_trait;
use asynq_core::{BoxError, Context, Outcome, RawTask, TaskError};
use tower::util::ServiceExt;
use tower::{Layer, Service};

use crate::mux::{Middleware, Next};

/// The request that tower layers see: one attempt at a task, and what runs it. Cheap to clone, so layers may retry it.
#[derive(Clone)]
#[non_exhaustive]
pub struct TaskCall {
    /// The context of the attempt.
    pub context: Context,
    /// The task.
    pub task: RawTask,
    next: Next,
}

/// Makes a [`Middleware`] of a tower layer, whose service takes a [`TaskCall`] and answers with an [`Outcome`].
///
/// The layer is applied once: what its service shares between clones, such as a limit, counts for all tasks. An error
/// of the service fails the task, which is retried.
///
/// ```
/// use std::time::Duration;
/// use asynq_server::prelude::*;
/// use asynq_server::TowerLayer;
/// use tower::ServiceBuilder;
///
/// let layers = ServiceBuilder::new()
///     .concurrency_limit(100)
///     .timeout(Duration::from_secs(60));
/// let mux = ServeMux::new().layer(TowerLayer::new(layers));
/// ```
pub struct TowerLayer<S> {
    service: S,
}

impl<S> TowerLayer<S> {
    /// Applies a layer, or a `ServiceBuilder` of many.
    pub fn new<L: Layer<RunNext, Service = S>>(layer: L) -> Self {
        TowerLayer {
            service: layer.layer(RunNext(())),
        }
    }
}

#[async_trait]
impl<S> Middleware for TowerLayer<S>
where
    S: Service<TaskCall, Response = Outcome> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    async fn process(&self, cx: Context, task: RawTask, next: Next) -> Outcome {
        let call = TaskCall {
            context: cx,
            task,
            next,
        };
        match self.service.clone().oneshot(call).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Retry(TaskError::new(error)),
        }
    }
}

/// The innermost service: runs what the middleware wraps.
#[derive(Debug, Clone)]
pub struct RunNext(());

impl Service<TaskCall> for RunNext {
    type Response = Outcome;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Outcome, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut PollContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: TaskCall) -> Self::Future {
        let TaskCall { context, task, next } = call;
        Box::pin(async move { Ok(next.run(context, task).await) })
    }
}
