//! Handlers of typed tasks without macros: any function.

use std::any::type_name;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use asynq_core::{IntoOutcome, Outcome, Task};

use crate::__private::{Extract, undecodable};
use crate::blocking::run_blocking;
use crate::extract::TaskParts;
use crate::policy::Policy;
use crate::task_handler::{AsItIs, IntoTaskHandler, TaskHandler};

/// Makes a handler of an `async fn`, without macros. Its first argument is the payload, the others implement
/// [`FromTask`](crate::FromTask).
///
/// ```
/// use std::time::Duration;
/// use asynq_server::prelude::*;
/// use asynq_server::{FixedBackoff, JsonCodec, Policy, handler_fn};
/// # #[derive(Clone)] struct Mailer;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct WelcomeEmail {
///     username: String,
/// }
///
/// impl Task for WelcomeEmail {
///     const TYPE: &'static str = "email:welcome";
///     type Codec = JsonCodec;
/// }
///
/// async fn send_welcome(email: WelcomeEmail, State(_mailer): State<Mailer>) -> Result<(), TaskError> {
///     println!("welcome, {}", email.username);
///     Ok(())
/// }
///
/// let policy = Policy::new().backoff(FixedBackoff(Duration::from_secs(5))).concurrency(20);
/// let server = Server::builder(MemoryBroker::new())
///     .state(Mailer)
///     .handler(handler_fn(send_welcome).with_policy(policy))
///     .build();
/// ```
pub fn handler_fn<F, A>(function: F) -> HandlerFn<F, A, Async> {
    HandlerFn::new(function)
}

/// As [`handler_fn`], for a function that blocks its thread and is not async. See [`blocking`](crate::blocking) for
/// what holds for such handlers; how many run at once is set with [`Policy::concurrency`]. With a
/// [`timeout_cap`](Policy::timeout_cap) an attempt that took longer counts as failed, but only when the function returns.
pub fn blocking_handler_fn<F, A>(function: F) -> HandlerFn<F, A, Blocking> {
    HandlerFn::new(function)
}

/// Made by [`handler_fn`] and [`blocking_handler_fn`].
pub struct HandlerFn<F, A, M> {
    function: Arc<F>,
    policy: Policy,
    kind: PhantomData<fn(A) -> M>,
}

/// An `async fn`: see [`handler_fn`].
#[derive(Debug)]
pub enum Async {}

/// A `fn` that blocks: see [`blocking_handler_fn`].
#[derive(Debug)]
pub enum Blocking {}

impl<F, A, M> HandlerFn<F, A, M> {
    fn new(function: F) -> Self {
        HandlerFn {
            function: Arc::new(function),
            policy: Policy::new(),
            kind: PhantomData,
        }
    }

    /// The same handler under this policy.
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

impl<F, A, M> IntoTaskHandler<AsItIs> for HandlerFn<F, A, M> {
    type Handler = Self;

    fn into_task_handler(self) -> Self {
        self
    }
}

macro_rules! handler_fn {
    ($($name:ident $value:ident),*) => {
        impl<S, F, R, T, $($name),*> TaskHandler<S> for HandlerFn<F, (T, $($name,)*), Async>
        where
            S: Send + Sync + 'static,
            F: Fn(T, $($name),*) -> R + Send + Sync + 'static,
            R: Future<Output: IntoOutcome> + Send,
            T: Task,
            $($name: Extract<S> + 'static,)*
        {
            type Task = T;

            fn name(&self) -> &'static str {
                type_name::<F>()
            }

            fn policy(&self) -> Policy {
                self.policy.clone()
            }

            #[allow(unused_variables, reason = "a function may take its payload alone")]
            async fn run(&self, task: TaskParts<'_>, state: &S) -> Outcome {
                let payload = match T::decode(&task.task.payload) {
                    Ok(payload) => payload,
                    Err(error) => return undecodable(error),
                };
                $(let $value = match $name::extract(task, state).await {
                    Ok(value) => value,
                    Err(error) => return error.into_outcome(),
                };)*
                (self.function)(payload, $($value),*).await.into_outcome()
            }
        }

        impl<S, F, R, T, $($name),*> TaskHandler<S> for HandlerFn<F, (T, $($name,)*), Blocking>
        where
            S: Send + Sync + 'static,
            F: Fn(T, $($name),*) -> R + Send + Sync + 'static,
            R: IntoOutcome,
            T: Task,
            $($name: Extract<S> + 'static,)*
        {
            type Task = T;

            fn name(&self) -> &'static str {
                type_name::<F>()
            }

            fn policy(&self) -> Policy {
                self.policy.clone()
            }

            #[allow(unused_variables, reason = "a function may take its payload alone")]
            async fn run(&self, task: TaskParts<'_>, state: &S) -> Outcome {
                let payload = match T::decode(&task.task.payload) {
                    Ok(payload) => payload,
                    Err(error) => return undecodable(error),
                };
                $(let $value = match $name::extract(task, state).await {
                    Ok(value) => value,
                    Err(error) => return error.into_outcome(),
                };)*
                let function = self.function.clone();
                run_blocking(task.context, move || function(payload, $($value),*).into_outcome()).await
            }
        }
    };
}

handler_fn!();
handler_fn!(A1 a1);
handler_fn!(A1 a1, A2 a2);
handler_fn!(A1 a1, A2 a2, A3 a3);
handler_fn!(A1 a1, A2 a2, A3 a3, A4 a4);
handler_fn!(A1 a1, A2 a2, A3 a3, A4 a4, A5 a5);
handler_fn!(A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6);
handler_fn!(A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7);
