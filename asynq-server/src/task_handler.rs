//! Handlers of typed tasks: what `#[task]` implements.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as PollContext, Poll};

use asynq_core::{Outcome, Schedule, Task};

use crate::extract::TaskParts;
use crate::policy::{Policy, short_name};

/// Handles the tasks of one payload type, on a server whose state is `S`.
///
/// `#[task]` on a function implements it; [`handler_fn`](crate::handler_fn) makes one of a function without macros.
/// Implement it yourself for a handler with values of its own, and register it with
/// [`task_handler`](crate::ServerBuilder::task_handler):
///
/// ```
/// use asynq_server::prelude::*;
/// use asynq_server::{JsonCodec, Policy, TaskHandler, TaskParts};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Count(u32);
///
/// impl Task for Count {
///     const TYPE: &'static str = "count";
///     type Codec = JsonCodec;
/// }
///
/// struct Counter {
///     step: u32,
/// }
///
/// impl<S: Send + Sync + 'static> TaskHandler<S> for Counter {
///     type Task = Count;
///
///     fn policy(&self) -> Policy {
///         Policy::new().concurrency(2)
///     }
///
///     async fn run(&self, task: TaskParts<'_>, _state: &S) -> Outcome {
///         match task.task.decode::<Count>() {
///             Ok(Count(n)) => {
///                 println!("{}", n + self.step);
///                 Outcome::done()
///             }
///             Err(error) => TaskError::new(error).skip_retry().into_outcome(),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task handler",
    label = "does not implement `TaskHandler<{S}>`",
    note = "put `#[task]` on the function, or write `handler_fn(function)`; a handler of raw tasks is registered with `.handle(pattern, handler)`"
)]
pub trait TaskHandler<S = ()>: Send + Sync + 'static {
    /// The payload type. The handler gets the tasks of its [type](Task::TYPE) and of its [aliases](Task::ALIASES).
    type Task: Task;

    /// What to call it in logs.
    fn name(&self) -> &'static str {
        type_name::<Self>()
    }

    /// How the worker treats its tasks. Asked once, when the handler is registered.
    fn policy(&self) -> Policy {
        Policy::new()
    }

    /// When the clock enqueues its tasks, if it does: as the payload type says. Asked once, when the handler is registered;
    /// see [`Server::schedules`](crate::Server::schedules).
    fn schedule(&self) -> Option<Schedule> {
        Self::Task::periodic()
    }

    /// Runs one attempt of a task.
    fn run(&self, task: TaskParts<'_>, state: &S) -> impl Future<Output = Outcome> + Send;
}

/// What can be registered by name: a function with `#[task]`, or what [`handler_fn`](crate::handler_fn) makes.
///
/// `M` keeps the ways apart and is never written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task handler",
    label = "neither a function with `#[task]` nor made by `handler_fn`",
    note = "put `#[task]` on the function, or write `handler_fn(function)`; a `TaskHandler` of your own is registered with `.task_handler(value)`, a handler of raw tasks with `.handle(pattern, function)`"
)]
pub trait IntoTaskHandler<M> {
    /// The handler.
    type Handler;

    /// The handler.
    fn into_task_handler(self) -> Self::Handler;
}

/// Marks what is a handler itself, see [`IntoTaskHandler`].
#[derive(Debug)]
pub enum AsItIs {}

/// The future of a handler that is called as a function. Its type names the handler, `H`, which is how a server finds
/// what `#[task]` made of the function.
#[must_use = "futures do nothing unless they are awaited"]
pub struct HandlerCall<H, F> {
    /// In a box, so that the future can be moved and a handler can call itself.
    future: Pin<Box<F>>,
    handler: PhantomData<fn() -> H>,
}

impl<H, F: Future> HandlerCall<H, F> {
    // Without asking for `Send`: the server does, and a second error would say the same.
    #[doc(hidden)]
    pub fn new(future: F) -> Self {
        HandlerCall {
            future: Box::pin(future),
            handler: PhantomData,
        }
    }
}

impl<H, F: Future> Future for HandlerCall<H, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(cx)
    }
}

impl<H, F> fmt::Debug for HandlerCall<H, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerCall({})", short_name::<H>())
    }
}

macro_rules! called_by_name {
    ($($argument:ident)*) => {
        impl<F, H, R, $($argument),*> IntoTaskHandler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> HandlerCall<H, R>,
            H: Default,
        {
            type Handler = H;

            fn into_task_handler(self) -> H {
                H::default()
            }
        }
    };
}

called_by_name!();
called_by_name!(A1);
called_by_name!(A1 A2);
called_by_name!(A1 A2 A3);
called_by_name!(A1 A2 A3 A4);
called_by_name!(A1 A2 A3 A4 A5);
called_by_name!(A1 A2 A3 A4 A5 A6);
called_by_name!(A1 A2 A3 A4 A5 A6 A7);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15);
called_by_name!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16);
