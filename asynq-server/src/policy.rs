//! How a worker treats the tasks of one handler.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::{Context, FailureKind, Handler, Outcome, RawTask, RetryPolicy, TaskError};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::extract::TaskParts;
use crate::task_handler::TaskHandler;

/// How a worker treats the tasks of one handler. What the task itself says, such as its timeout, is in its
/// [`TaskOptions`](crate::TaskOptions).
#[derive(Clone, Default)]
#[must_use]
pub struct Policy {
    backoff: Option<(Arc<dyn RetryPolicy>, &'static str)>,
    concurrency: Option<usize>,
    timeout_cap: Option<Duration>,
    on_decode_error: OnDecodeError,
}

/// What becomes of a task whose payload does not decode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDecodeError {
    /// It is archived: another attempt cannot help.
    #[default]
    Archive,
    /// It is retried: a worker that is being deployed may know the new form.
    Retry,
}

impl Policy {
    /// Nothing set: as the server has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a failed task waits for its next attempt, instead of the server's
    /// [`retry_policy`](crate::ServerBuilder::retry_policy).
    pub fn backoff<P: RetryPolicy>(mut self, policy: P) -> Self {
        self.backoff = Some((Arc::new(policy), short_name::<P>()));
        self
    }

    /// How many tasks of this handler run at once in this process.
    ///
    /// When all are busy, as many again wait for them in slots of the server; any further task is put back for a
    /// second or two, so that one busy handler does not fill the server.
    ///
    /// # Panics
    ///
    /// With zero.
    pub fn concurrency(mut self, tasks: usize) -> Self {
        assert!(tasks > 0, "a handler needs a concurrency of at least 1");
        self.concurrency = Some(tasks.min(Semaphore::MAX_PERMITS));
        self
    }

    /// How long an attempt may run, whatever longer time the task allows. May be below a second, unlike the timeout of
    /// a task. Waiting for others, see [`concurrency`](Policy::concurrency), does not count.
    pub fn timeout_cap(mut self, cap: Duration) -> Self {
        self.timeout_cap = Some(cap);
        self
    }

    /// What becomes of a task whose payload does not decode.
    pub fn on_decode_error(mut self, then: OnDecodeError) -> Self {
        self.on_decode_error = then;
        self
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("backoff", &self.backoff.as_ref().map(|(_, name)| name))
            .field("concurrency", &self.concurrency)
            .field("timeout_cap", &self.timeout_cap)
            .field("on_decode_error", &self.on_decode_error)
            .finish()
    }
}

/// `ExponentialBackoff` of `asynq_core::retry::ExponentialBackoff`.
pub(crate) fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    let end = name.find('<').unwrap_or(name.len());
    let start = name[..end].rfind("::").map_or(0, |place| place + 2);
    &name[start..end]
}

/// A [`TaskHandler`] with its state, under its policy.
pub(crate) struct Registered<H, S> {
    handler: H,
    state: S,
    policy: Policy,
    limit: Option<Limit>,
}

impl<H, S> Registered<H, S> {
    pub(crate) fn new(handler: H, state: S, policy: Policy) -> Self {
        Registered {
            handler,
            state,
            limit: policy.concurrency.map(Limit::new),
            policy,
        }
    }
}

#[async_trait]
impl<S: Send + Sync + 'static, H: TaskHandler<S>> Handler for Registered<H, S> {
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        let _place = match &self.limit {
            None => None,
            Some(limit) => match limit.enter().await {
                Some(place) => Some(place),
                None => return Outcome::Snooze(Limit::delay()),
            },
        };
        let parts = TaskParts::new(&cx, &task);
        let outcome = match self.policy.timeout_cap {
            None => self.handler.run(parts, &self.state).await,
            Some(cap) => within(cap, self.handler.run(parts, &self.state)).await,
        };
        match outcome {
            Outcome::Archive(error)
                if error.kind() == FailureKind::Decode
                    && self.policy.on_decode_error == OnDecodeError::Retry =>
            {
                Outcome::Retry(error)
            }
            outcome => outcome,
        }
    }

    fn retry_policy(&self, _: &RawTask) -> Option<&dyn RetryPolicy> {
        self.policy.backoff.as_ref().map(|(policy, _)| &**policy)
    }
}

async fn within(cap: Duration, run: impl Future<Output = Outcome>) -> Outcome {
    match tokio::time::timeout(cap, run).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Retry(
            TaskError::new(format!("the handler ran longer than its cap of {cap:?}"))
                .with_kind(FailureKind::Timeout),
        ),
    }
}

/// How many run at once, and how many may wait for them.
struct Limit {
    running: Semaphore,
    waiting: Semaphore,
}

impl Limit {
    fn new(tasks: usize) -> Self {
        Limit {
            running: Semaphore::new(tasks),
            waiting: Semaphore::new(tasks),
        }
    }

    /// None when enough are waiting already.
    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(place) = self.running.try_acquire() {
            return Some(place);
        }
        let _waits = self.waiting.try_acquire().ok()?;
        self.running.acquire().await.ok()
    }

    /// Not all back at the same moment.
    fn delay() -> Duration {
        Duration::from_millis(fastrand::u64(1000..3000))
    }
}
