//! How a handler ends: [`Outcome`] by value, and [`TaskError`] for `?`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::error::BoxError;

/// What becomes of a task once its handler has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Done. The result is kept with the task if it has a retention.
    Done(Option<Bytes>),
    /// Failed: retried after the delay of the retry policy, or archived when its retries are used up.
    Retry(TaskError),
    /// Failed: retried after this delay, or archived when its retries are used up.
    RetryAfter(Duration, TaskError),
    /// Not now: run again after this delay. Counts neither as done nor as failed.
    Snooze(Duration),
    /// Failed for good: archived without further attempts. Go: `SkipRetry`.
    Archive(TaskError),
    /// Not wanted any more: deleted, retention or not. Go: `RevokeTask`.
    Drop(TaskError),
}

impl Outcome {
    /// Done without a result.
    pub const fn done() -> Self {
        Outcome::Done(None)
    }
}

/// Why a task failed, and what is to become of it.
///
/// Made from any error by `?`; the functions here say what else than a retry should follow. Like `anyhow::Error` it is
/// not itself an [`Error`](std::error::Error), so that `?` can take every error.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::TaskError;
///
/// fn parse(text: &str) -> Result<u32, TaskError> {
///     if text == "later" {
///         return Err(TaskError::new("not ready").retry_after(Duration::from_secs(5)));
///     }
///     text.parse().map_err(|error| TaskError::new(error).skip_retry())
/// }
/// ```
pub struct TaskError {
    error: BoxError,
    kind: FailureKind,
    then: Then,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// The handler panicked. Go: `IsPanicError`.
    Panic,
    /// Its timeout or deadline passed.
    Timeout,
    /// Somebody cancelled it.
    Cancelled,
    /// Its lease was lost: another worker may run it. Go: `ErrLeaseExpired`.
    LeaseLost,
    /// No handler is registered for its type. Go: `ErrHandlerNotFound`.
    HandlerNotFound,
    /// Its payload is not of the form that the handler expects.
    Decode,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Retry,
    RetryAfter(Duration),
    Snooze(Duration),
    Archive,
    Drop,
}

impl TaskError {
    /// A failure that is retried.
    pub fn new(error: impl Into<BoxError>) -> Self {
        TaskError {
            error: error.into(),
            kind: FailureKind::Error,
            then: Then::Retry,
        }
    }

    /// The same failure, of this kind.
    pub fn with_kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Archive the task at once: another attempt cannot help. Go: `SkipRetry`.
    pub fn skip_retry(mut self) -> Self {
        self.then = Then::Archive;
        self
    }

    /// Delete the task: nobody wants it any more. Go: `RevokeTask`.
    pub fn revoke(mut self) -> Self {
        self.then = Then::Drop;
        self
    }

    /// Retry after this delay instead of that of the retry policy.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.then = Then::RetryAfter(delay);
        self
    }

    /// Run again after this delay without counting a failure.
    pub fn snooze(delay: Duration) -> Self {
        TaskError {
            error: "the task asked to be run later".into(),
            kind: FailureKind::Error,
            then: Then::Snooze(delay),
        }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The handler panicked. Go: `IsPanicError`.
    pub fn is_panic(&self) -> bool {
        self.kind == FailureKind::Panic
    }

    /// The error itself.
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    /// The outcome that this failure asks for.
    pub fn into_outcome(self) -> Outcome {
        match self.then {
            Then::Retry => Outcome::Retry(self),
            Then::RetryAfter(delay) => Outcome::RetryAfter(delay, self),
            Then::Snooze(delay) => Outcome::Snooze(delay),
            Then::Archive => Outcome::Archive(self),
            Then::Drop => Outcome::Drop(self),
        }
    }
}

/// The error and its causes, joined by `: `. This is the text that is stored as the task's last error.
impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let part = error.to_string();
            // Some errors print their source themselves: it is not said twice.
            if !text.ends_with(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskError")
            .field("error", &self.error)
            .field("kind", &self.kind)
            .field("then", &self.then)
            .finish()
    }
}

impl<E: Into<BoxError>> From<E> for TaskError {
    fn from(error: E) -> Self {
        TaskError::new(error)
    }
}

/// What a handler may return: `()`, an [`Outcome`], or a `Result` of what can be stored and what can become a
/// [`TaskError`].
pub trait IntoOutcome {
    /// The outcome.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::done()
    }
}

impl<T: IntoResult, E: Into<TaskError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => match value.into_result() {
                Ok(result) => Outcome::Done(result),
                Err(error) => error.skip_retry().into_outcome(),
            },
            Err(error) => error.into().into_outcome(),
        }
    }
}

/// What can be stored as the result of a task: nothing, bytes, text, numbers and JSON values, or [`Json`] of anything.
///
/// Bytes and text are stored as they are, the others as JSON.
pub trait IntoResult {
    /// The bytes to store.
    fn into_result(self) -> Result<Option<Bytes>, TaskError>;
}

impl IntoResult for () {
    fn into_result(self) -> Result<Option<Bytes>, TaskError> {
        Ok(None)
    }
}

impl IntoResult for Bytes {
    fn into_result(self) -> Result<Option<Bytes>, TaskError> {
        Ok(Some(self))
    }
}

impl IntoResult for Vec<u8> {
    fn into_result(self) -> Result<Option<Bytes>, TaskError> {
        Ok(Some(self.into()))
    }
}

impl IntoResult for String {
    fn into_result(self) -> Result<Option<Bytes>, TaskError> {
        Ok(Some(self.into()))
    }
}

macro_rules! stored_as_json {
    ($($name:ty)*) => {$(
        impl IntoResult for $name {
            fn into_result(self) -> Result<Option<Bytes>, TaskError> {
                Json(self).into_result()
            }
        }
    )*};
}

stored_as_json!(bool u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 serde_json::Value);

/// A result that is stored as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResult for Json<T> {
    fn into_result(self) -> Result<Option<Bytes>, TaskError> {
        let bytes = serde_json::to_vec(&self.0).map_err(|error| {
            TaskError::new(format!("cannot store the result of the task as JSON: {error}"))
        })?;
        Ok(Some(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_retry() {
        fn handler() -> Result<(), TaskError> {
            "x".parse::<u32>()?;
            Ok(())
        }

        assert!(matches!(handler().into_outcome(), Outcome::Retry(_)));
    }

    #[test]
    fn an_error_says_what_follows() {
        let outcome = |error: TaskError| Err::<(), _>(error).into_outcome();

        assert!(matches!(
            outcome(TaskError::new("x").skip_retry()),
            Outcome::Archive(_)
        ));
        assert!(matches!(outcome(TaskError::new("x").revoke()), Outcome::Drop(_)));
        assert!(matches!(
            outcome(TaskError::snooze(Duration::ZERO)),
            Outcome::Snooze(_)
        ));
        assert!(matches!(
            outcome(TaskError::new("x").retry_after(Duration::from_secs(3))),
            Outcome::RetryAfter(delay, _) if delay.as_secs() == 3
        ));
    }

    #[test]
    fn the_text_holds_all_causes_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot send")]
        struct Send(#[source] std::num::ParseIntError);

        let error = TaskError::new(Send("x".parse::<u32>().unwrap_err()));

        assert_eq!(error.to_string(), "cannot send: invalid digit found in string");
    }

    #[test]
    fn results_become_bytes() {
        let outcome = Ok::<_, TaskError>(Json(7)).into_outcome();

        assert!(matches!(outcome, Outcome::Done(Some(bytes)) if &bytes[..] == b"7"));
        assert!(matches!(
            Ok::<_, TaskError>(()).into_outcome(),
            Outcome::Done(None)
        ));
    }
}
