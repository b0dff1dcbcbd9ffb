//! What generated code uses. Not part of the API: anything here may change at any time.

use std::future::Future;
use std::marker::PhantomData;

pub use asynq_core::__private::{Broken, WithoutValues, serde};
use asynq_core::{DecodeError, FailureKind, IntoOutcome, Json, Outcome, Periodic, Task, TaskError};
#[cfg(feature = "linkme")]
pub use linkme;

pub use crate::blocking::run_blocking;
use crate::extract::{FromRef, FromTask, TaskParts};
use crate::handlers::Handlers;
use crate::task_handler::TaskHandler;

/// A [`FromTask`] for a server whose state is `S`.
pub trait Extract<S>: Sized + Send {
    fn extract(task: TaskParts<'_>, state: &S) -> impl Future<Output = Result<Self, TaskError>> + Send;
}

impl<S: Sync, T: FromTask<Needs: FromRef<S>>> Extract<S> for T {
    fn extract(task: TaskParts<'_>, state: &S) -> impl Future<Output = Result<Self, TaskError>> + Send {
        T::from_task(task, T::Needs::from_ref(state))
    }
}

/// The payload of a task, or what becomes of the task when it does not decode.
pub fn decode<H: TaskHandler<S>, S>(task: TaskParts<'_>) -> Result<H::Task, Outcome> {
    H::Task::decode(&task.task.payload).map_err(undecodable)
}

/// Unless the handler's policy says otherwise: another attempt cannot help.
pub(crate) fn undecodable(error: DecodeError) -> Outcome {
    TaskError::new(error)
        .with_kind(FailureKind::Decode)
        .skip_retry()
        .into_outcome()
}

/// Finds, by the type of what a handler returned, how it becomes an outcome. The compiler takes the first of the
/// traits below that fits, because it tries fewer references last.
pub struct Returned<T>(PhantomData<fn() -> T>);

impl<T> Returned<T> {
    pub fn of(_: &T) -> Self {
        Returned(PhantomData)
    }
}

pub trait ReturnedOutcome<T> {
    fn outcome(&self, returned: T) -> Outcome;
}

impl<T: IntoOutcome> ReturnedOutcome<T> for &&Returned<T> {
    fn outcome(&self, returned: T) -> Outcome {
        returned.into_outcome()
    }
}

pub trait ReturnedJson<T> {
    fn outcome(&self, returned: T) -> Outcome;
}

impl<T: serde::Serialize, E: Into<TaskError>> ReturnedJson<Result<T, E>> for &Returned<Result<T, E>> {
    fn outcome(&self, returned: Result<T, E>) -> Outcome {
        returned.map(Json).into_outcome()
    }
}

pub trait ReturnedOther<T> {
    fn outcome(&self, returned: T) -> Outcome
    where
        T: HandlerOutput;
}

impl<T> ReturnedOther<T> for Returned<T> {
    fn outcome(&self, _: T) -> Outcome
    where
        T: HandlerOutput,
    {
        Outcome::done()
    }
}

#[diagnostic::on_unimplemented(
    message = "a task handler cannot return `{Self}`",
    label = "expected `()`, `Outcome`, or `Result<T, E>`",
    note = "in `Result<T, E>`, `T` is stored as the task's result and needs `Serialize`; `E` must be an error that `?` turns into a `TaskError`: `impl std::error::Error for E`"
)]
pub trait HandlerOutput {}

impl HandlerOutput for Outcome {}

/// Whether a type is a payload: an inherent constant is preferred to that of a trait.
pub struct IsTask<T>(PhantomData<T>);

impl<T: Task> IsTask<T> {
    pub const IS_TASK: bool = true;
}

pub trait NoTask {
    const IS_TASK: bool = false;
}

impl<T> NoTask for IsTask<T> {}

/// Whether a payload says itself when it is enqueued, found as above.
pub struct IsPeriodic<T>(PhantomData<T>);

impl<T: Periodic> IsPeriodic<T> {
    pub const IS_PERIODIC: bool = true;
}

pub trait NotPeriodic {
    const IS_PERIODIC: bool = false;
}

impl<T> NotPeriodic for IsPeriodic<T> {}

/// Tells the compiler what the argument of a closure is.
pub fn same<S>(handlers: Handlers<S>) -> Handlers<S> {
    handlers
}
