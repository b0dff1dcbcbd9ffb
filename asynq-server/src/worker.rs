//! Runs one attempt of a task and says what becomes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Claim, Finish, Leased, Settlement, cut_error_text};
use asynq_core::{
    CancelReason, Context, ContextBuilder, ContextControl, DEFAULT_TIMEOUT, FailureKind, LeaseKey, Outcome,
    RawTask, TaskError, TaskMessage, Timestamp,
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, error, info, warn};

use crate::config::Failure;
use crate::panic::{guard_future, guard_or};
use crate::runtime::Runtime;

/// Runs a task that was taken out, in a slot. The slot is free when the outcome is in the outbox.
pub(crate) async fn run(runtime: Arc<Runtime>, leased: Leased, slot: OwnedSemaphorePermit) {
    let attempt = Attempt::begin(&runtime, leased);
    let end = attempt.drive().await;
    attempt.settle(end);
    drop(slot);
}

struct Attempt<'a> {
    runtime: &'a Runtime,
    leased: Leased,
    task: RawTask,
    context: Context,
    control: ContextControl,
    /// From now until the handler is stopped.
    time_left: Duration,
}

/// How an attempt ended.
enum End {
    Outcome(Outcome),
    /// Given up before the handler had ended.
    Stopped(CancelReason),
}

impl From<Result<Outcome, TaskError>> for End {
    fn from(ended: Result<Outcome, TaskError>) -> Self {
        End::Outcome(ended.unwrap_or_else(TaskError::into_outcome))
    }
}

impl<'a> Attempt<'a> {
    fn begin(runtime: &'a Runtime, leased: Leased) -> Self {
        let message = &leased.message;
        let deadline = effective_deadline(message, leased.leased_at);
        let (context, control) = ContextBuilder {
            key: leased.key.clone(),
            retried: message.retried,
            max_retry: message.max_retry,
            deadline,
            keeps_result: !message.retention.is_zero(),
            state: runtime.config.state.clone(),
            shutdown: runtime.draining.clone(),
            results: Some(runtime.results.clone()),
        }
        .build();
        runtime.running.add(&leased, control.clone(), deadline);
        let time_left = deadline.saturating_since(leased.leased_at);
        Attempt {
            runtime,
            task: message.to_raw_task(),
            context,
            control,
            time_left,
            leased,
        }
    }

    async fn drive(&self) -> End {
        let handler = self
            .runtime
            .handler
            .process(self.context.clone(), self.task.clone());
        let mut handler = Some(Box::pin(guard_future(handler)));
        let Some(running) = handler.as_mut() else {
            unreachable!("it was just put there")
        };
        let end = tokio::select! {
            // A handler that ends exactly when it is to stop has ended.
            biased;
            outcome = running.as_mut() => End::from(outcome),
            reason = self.told_to_stop() => self.stop(running.as_mut(), reason).await,
        };
        if let Some(handler) = handler.take() {
            // What the handler holds may panic when it is dropped.
            let _ = crate::panic::guard(|| drop(handler));
        }
        if self.control.is_held() {
            // Something of the handler goes on elsewhere: the slot and the lease stay until it is over.
            self.control.released().await;
        }
        end
    }

    async fn told_to_stop(&self) -> CancelReason {
        tokio::select! {
            reason = self.control.cancelled() => reason,
            () = tokio::time::sleep(self.time_left) => {
                self.control.cancel(CancelReason::DeadlineExceeded);
                self.control.cancelled().await
            }
        }
    }

    /// After it was told to stop, a handler has a short grace if somebody asked for it, or none; one that holds on is
    /// waited for.
    async fn stop<F>(&self, mut handler: Pin<&mut F>, reason: CancelReason) -> End
    where
        F: Future<Output = Result<Outcome, TaskError>>,
    {
        let grace = match reason {
            CancelReason::Requested => self.runtime.config.cancel_grace,
            _ => Duration::ZERO,
        };
        let held = self.control.is_held();
        let ended = if held {
            Some(handler.as_mut().await)
        } else {
            // Polled once more even without grace: it may end by itself now that it knows.
            tokio::time::timeout(grace, handler.as_mut()).await.ok()
        };
        match (ended, reason) {
            // Success is success, however late: the broker decides whether the lease still counts.
            (Some(Ok(outcome @ Outcome::Done(_))), _) => End::Outcome(outcome),
            (Some(outcome), CancelReason::Requested) => End::from(outcome),
            // It could not be stopped, so what it says counts.
            (Some(outcome), CancelReason::DeadlineExceeded) if held => End::from(outcome),
            _ => End::Stopped(reason),
        }
    }

    fn settle(self, end: End) {
        let settlement = match end {
            End::Outcome(outcome) => Some(self.settlement(outcome)),
            End::Stopped(CancelReason::LeaseLost) => None,
            End::Stopped(CancelReason::Shutdown) => Some(Settlement::Requeue { lost: false }),
            End::Stopped(CancelReason::DeadlineExceeded) => Some(self.settlement(Outcome::Retry(
                TaskError::new("context deadline exceeded").with_kind(FailureKind::Timeout),
            ))),
            End::Stopped(_) => Some(self.settlement(Outcome::Retry(
                TaskError::new("context canceled").with_kind(FailureKind::Cancelled),
            ))),
        };
        let Leased { key, message, .. } = self.leased;
        match settlement {
            Some(settlement) => {
                self.runtime.running.finishing(&key);
                self.runtime.outbox.push(Finish {
                    key,
                    message,
                    claim: Claim::Holder,
                    settlement,
                });
            }
            None => {
                warn!(queue = %key.queue, task_id = %key.id, "lease lost: the task was stopped and is left to whoever has it now");
                self.runtime.running.remove_all([&key]);
            }
        }
    }

    fn settlement(&self, outcome: Outcome) -> Settlement {
        let (error, delay, then) = match outcome {
            Outcome::Done(result) => return self.done(result),
            Outcome::Snooze(delay) => return Settlement::Snooze { delay },
            Outcome::Retry(error) => (error, None, Then::Retry),
            Outcome::RetryAfter(delay, error) => (error, Some(delay), Then::Retry),
            Outcome::Archive(error) => (error, None, Then::Archive),
            Outcome::Drop(error) => (error, None, Then::Drop),
            // Outcomes that a later version of the vocabulary may add.
            other => (
                TaskError::new(format!("outcome not understood: {other:?}")),
                None,
                Then::Retry,
            ),
        };
        if error.kind() == FailureKind::HandlerNotFound && then == Then::Retry {
            return self.put_back(&error);
        }
        self.report(&error);
        let message = &self.leased.message;
        match then {
            Then::Drop => Settlement::Drop,
            Then::Retry if message.retried < message.max_retry => {
                self.runtime.policies().retry(message, &self.task, &error, delay)
            }
            Then::Retry | Then::Archive => Settlement::Archive {
                error: cut_error_text(&error.to_string()),
            },
        }
    }

    fn done(&self, result: Option<bytes::Bytes>) -> Settlement {
        let message = &self.leased.message;
        if result.is_some() && message.retention.is_zero() {
            debug!(queue = %message.queue, task_id = %message.id, "the result is not kept: the task has no retention");
        }
        Settlement::Done { result }
    }

    /// Another server may have the handler: the task waits a little and is not charged.
    fn put_back(&self, error: &TaskError) -> Settlement {
        let message = &self.leased.message;
        if self.runtime.unknown_types.is_news(&message.task_type) {
            warn!(
                task_type = %message.task_type, queue = %message.queue, task_id = %message.id,
                "no handler for tasks of this type: they are put back; register one, or give them a queue of their own"
            );
        }
        let delay = self.runtime.config.unknown_task_delay;
        Settlement::Retry {
            delay,
            error: error.to_string(),
            is_failure: false,
        }
    }

    fn report(&self, task_error: &TaskError) {
        let LeaseKey { queue, id, .. } = &self.leased.key;
        let (retried, max_retry) = (self.leased.message.retried, self.leased.message.max_retry);
        match task_error.kind() {
            FailureKind::Panic => {
                error!(%queue, task_id = %id, task_type = %self.task.task_type, retried, max_retry, error = %task_error, "task panicked");
            }
            _ => {
                info!(%queue, task_id = %id, task_type = %self.task.task_type, retried, max_retry, error = %task_error, "task failed");
            }
        }
        self.runtime.policies().report(&Failure {
            context: Some(&self.context),
            queue,
            id,
            task: &self.task,
            error: task_error,
        });
    }
}

#[derive(PartialEq)]
enum Then {
    Retry,
    Archive,
    Drop,
}

/// The earlier of timeout and deadline; half an hour when a stored task has neither. Go: `processor.computeDeadline`.
fn effective_deadline(message: &TaskMessage, leased_at: Timestamp) -> Timestamp {
    let by_timeout = message.timeout.map(|timeout| leased_at.saturating_add(timeout));
    match (by_timeout, message.deadline) {
        (Some(timeout), Some(deadline)) => timeout.min(deadline),
        (Some(either), None) | (None, Some(either)) => either,
        (None, None) => leased_at.saturating_add(DEFAULT_TIMEOUT),
    }
}

/// What the user supplied to decide about failures, guarded against panics. Used for attempts that ended here and for
/// those whose worker died.
pub(crate) struct Policies<'a>(&'a Runtime);

impl Runtime {
    pub(crate) fn policies(&self) -> Policies<'_> {
        Policies(self)
    }
}

impl Policies<'_> {
    /// Retried after `delay`, or after that of the handler's or the server's policy.
    pub(crate) fn retry(
        &self,
        message: &TaskMessage,
        task: &RawTask,
        error: &TaskError,
        delay: Option<Duration>,
    ) -> Settlement {
        let config = &self.0.config;
        let is_failure = guard_or("is_failure function", true, || (config.is_failure)(error));
        let delay = delay.unwrap_or_else(|| {
            let (fallback, _) = asynq_core::DefaultBackoff::range(message.retried);
            guard_or("retry policy", fallback, || {
                let of_handler = self.0.handler.retry_policy(task);
                of_handler
                    .unwrap_or(&*config.retry_policy)
                    .delay(message.retried, error, task)
            })
        });
        Settlement::Retry {
            delay,
            error: cut_error_text(&error.to_string()),
            is_failure,
        }
    }

    pub(crate) fn report(&self, failure: &Failure<'_>) {
        if let Some(handler) = &self.0.config.error_handler {
            guard_or("error handler", (), || handler.handle_error(failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asynq_core::{TaskOptions, new_task};

    #[test]
    fn the_earlier_of_timeout_and_deadline_counts() {
        let now = Timestamp::from_unix_seconds(1000);
        let mut message = new_task(RawTask::new("t", ""), TaskOptions::new(), 1)
            .unwrap()
            .message;
        let mut deadline = |timeout: Option<u64>, deadline: Option<i64>| {
            message.timeout = timeout.map(Duration::from_secs);
            message.deadline = deadline.map(Timestamp::from_unix_seconds);
            effective_deadline(&message, now).unix_seconds()
        };

        assert_eq!(deadline(Some(60), None), 1060);
        assert_eq!(deadline(None, Some(1030)), 1030);
        assert_eq!(deadline(Some(60), Some(1030)), 1030);
        assert_eq!(deadline(Some(10), Some(1030)), 1010);
        assert_eq!(deadline(None, None), 1000 + 1800);
        assert_eq!(deadline(None, Some(1)), 1);
    }
}
