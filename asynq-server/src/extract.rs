//! What a handler can ask for besides its payload.

use std::future::Future;

use asynq_core::{Context, Headers, QueueName, RawTask, TaskError, TaskId};

/// What is known about one attempt at a task. Cheap to copy.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TaskParts<'a> {
    /// The context of the attempt.
    pub context: &'a Context,
    /// The task as it came.
    pub task: &'a RawTask,
}

impl<'a> TaskParts<'a> {
    /// For tests of extractors.
    pub fn new(context: &'a Context, task: &'a RawTask) -> Self {
        TaskParts { context, task }
    }
}

/// Something that a handler can ask for as an argument.
///
/// Implemented by [`State`], [`Context`], [`TaskId`], [`QueueName`], [`Attempt`], [`Headers`] and [`RawTask`]. With an
/// extractor of your own, what several handlers do first is written once:
///
/// ```
/// use asynq_server::prelude::*;
/// use asynq_server::{FromTask, TaskParts};
///
/// #[derive(Clone)]
/// struct Tenants;
///
/// struct Tenant(String);
///
/// impl FromTask for Tenant {
///     /// What it needs of the server's state; `Nothing` when it needs none.
///     type Needs = Tenants;
///
///     async fn from_task(task: TaskParts<'_>, _tenants: Tenants) -> Result<Self, TaskError> {
///         match task.task.headers.get("tenant") {
///             Some(name) => Ok(Tenant(name.clone())),
///             None => Err(TaskError::new("the header `tenant` is missing").skip_retry()),
///         }
///     }
/// }
/// # #[cfg(feature = "macros")] {
/// # #[derive(serde::Serialize, serde::Deserialize, Task)]
/// # #[task(name = "report")]
/// # struct Report;
///
/// #[task]
/// async fn report(_: Report, #[extract] tenant: Tenant) {
///     println!("for {}", tenant.0);
/// }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task handler",
    label = "does not implement `FromTask`",
    note = "for a shared value take `State<{Self}>`; for an extractor of your own, `impl FromTask for {Self}`"
)]
pub trait FromTask: Sized + Send {
    /// What it needs of the server's state: [`Nothing`], or a value that is there.
    type Needs: Send;

    /// Makes the value. With an error the handler is not run, and the task fails with it.
    fn from_task(
        task: TaskParts<'_>,
        needs: Self::Needs,
    ) -> impl Future<Output = Result<Self, TaskError>> + Send;
}

/// A value that can be had from the state of a server, `S`, or is all of it.
///
/// Derive it to offer the fields of a struct:
///
#[cfg_attr(feature = "macros", doc = "```")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// use asynq_server::FromRef;
/// # #[derive(Clone)] struct Mailer;
/// # #[derive(Clone)] struct Pool;
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     mailer: Mailer,
///     pool: Pool,
/// }
/// ```
///
/// By hand:
///
/// ```
/// use asynq_server::FromRef;
/// # #[derive(Clone)] struct Mailer;
///
/// #[derive(Clone)]
/// struct App {
///     mailer: Mailer,
/// }
///
/// impl FromRef<App> for Mailer {
///     fn from_ref(app: &App) -> Self {
///         app.mailer.clone()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the server's state `{S}` does not provide `{Self}`",
    label = "needs `{Self}`",
    note = "give the server a state before its handlers, `.state(app)`, and derive `FromRef` for a struct with a field of type `{Self}`"
)]
pub trait FromRef<S> {
    /// The value, usually a clone of a cheap handle.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> T {
        state.clone()
    }
}

/// No state. What an extractor [needs](FromTask::Needs) that can do without.
// Must not be `Clone`: it would then be had from itself in two ways.
#[derive(Debug)]
pub struct Nothing;

impl<S> FromRef<S> for Nothing {
    fn from_ref(_: &S) -> Self {
        Nothing
    }
}

/// A value of the server's state: what [`ServerBuilder::state`](crate::ServerBuilder::state) was given, or a part of
/// it, see [`FromRef`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Send> FromTask for State<T> {
    type Needs = T;

    async fn from_task(_: TaskParts<'_>, value: T) -> Result<Self, TaskError> {
        Ok(State(value))
    }
}

/// Which attempt at the task this is; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

macro_rules! extractor {
    ($name:ty, |$task:ident| $value:expr) => {
        impl FromTask for $name {
            type Needs = Nothing;

            async fn from_task($task: TaskParts<'_>, _: Nothing) -> Result<Self, TaskError> {
                Ok($value)
            }
        }
    };
}

extractor!(Context, |task| task.context.clone());
extractor!(TaskId, |task| task.context.task_id().clone());
extractor!(QueueName, |task| task.context.queue().clone());
extractor!(Attempt, |task| Attempt(task.context.retried().saturating_add(1)));
extractor!(Headers, |task| task.task.headers.clone());
extractor!(RawTask, |task| task.task.clone());
