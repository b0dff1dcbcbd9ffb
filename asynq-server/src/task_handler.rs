//! Handlers of typed tasks: what `#[task]` implements, and the same without macros.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll};
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::{
    Context, FailureKind, Handler, IntoOutcome, Outcome, RawTask, RetryPolicy, Task, TaskError, TaskOptions,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::__private::{BoxFuture, Extract, undecodable};
use crate::blocking::run_blocking;
use crate::extract::TaskParts;
use crate::mux::{PatternError, ServeMux};

/// Handles the tasks of one payload type, on a server whose state is `S`.
///
/// `#[task]` on a function implements it; [`handler_fn`] makes one of a function without macros. Implement it yourself
/// for a handler with values of its own, and register it with
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

    /// Runs one attempt of a task.
    fn run(&self, task: TaskParts<'_>, state: &S) -> impl Future<Output = Outcome> + Send;
}

/// What can be registered by name: a function with `#[task]`, or what [`handler_fn`] makes.
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
pub struct HandlerCall<H, T> {
    future: BoxFuture<T>,
    handler: PhantomData<fn() -> H>,
}

impl<H, T> HandlerCall<H, T> {
    #[doc(hidden)]
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        HandlerCall {
            future: Box::pin(future),
            handler: PhantomData,
        }
    }
}

impl<H, T> Future for HandlerCall<H, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<T> {
        self.future.as_mut().poll(cx)
    }
}

impl<H, T> fmt::Debug for HandlerCall<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerCall({})", short_name::<H>())
    }
}

/// How a worker treats the tasks of one handler. What the task itself says, such as its timeout, is in its
/// [`TaskOptions`].
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

/// `ExponentialBackoff` of `asynq_core::retry::ExponentialBackoff`.
fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    let end = name.find('<').unwrap_or(name.len());
    let start = name[..end].rfind("::").map_or(0, |place| place + 2);
    &name[start..end]
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

/// Handlers for a server whose state is `S`, see [`ServerBuilder::handlers`](crate::ServerBuilder::handlers).
///
/// [`tasks!`](crate::tasks) makes a list in place. A module can offer its own:
///
/// ```
/// use asynq_server::prelude::*;
/// use asynq_server::Handlers;
/// # #[derive(Clone)] struct App;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Resize;
/// # impl Task for Resize { const TYPE: &'static str = "resize"; type Codec = asynq_server::JsonCodec; }
/// # async fn resize(_: Resize) {}
///
/// fn images(list: Handlers<App>) -> Handlers<App> {
///     list.handler(handler_fn(resize))
/// }
///
/// let server = Server::builder(MemoryBroker::new()).state(App).handlers(images);
/// ```
#[must_use = "give it to ServerBuilder::handlers"]
pub struct Handlers<S = ()>(pub(crate) Vec<Registration<S>>);

impl<S> Default for Handlers<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Handlers<S> {
    /// None yet.
    pub fn new() -> Self {
        Handlers(Vec::new())
    }
}

impl<S: Clone + Send + Sync + 'static> Handlers<S> {
    /// A handler of raw tasks that finds the right one of these, without a server: to run one with all that belongs to
    /// it in a test, or to give some handlers middleware of their own.
    ///
    /// # Errors
    ///
    /// When two handle the same type.
    pub fn into_mux(self, state: S) -> Result<ServeMux, PatternError> {
        let mut mux = ServeMux::new();
        for registration in self.0 {
            mux.register_typed(registration, state.clone())?;
        }
        Ok(mux)
    }
}

impl<S: Send + Sync + 'static> Handlers<S> {
    /// And this one. See [`ServerBuilder::handler`](crate::ServerBuilder::handler).
    pub fn handler<H, M>(self, handler: H) -> Self
    where
        H: IntoTaskHandler<M>,
        H::Handler: TaskHandler<S>,
    {
        self.task_handler(handler.into_task_handler())
    }

    /// And this one. See [`ServerBuilder::task_handler`](crate::ServerBuilder::task_handler).
    pub fn task_handler<H: TaskHandler<S>>(mut self, handler: H) -> Self {
        self.0.push(Registration::new(handler));
        self
    }
}

impl<S> fmt::Debug for Handlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().map(|registration| &registration.entry);
        f.debug_list().entries(entries).finish()
    }
}

/// A handler to be registered with a server whose state is `S`.
pub(crate) struct Registration<S> {
    pub(crate) entry: HandlerEntry,
    make: Box<dyn FnOnce(S) -> Arc<dyn Handler> + Send>,
}

/// What is known about a registered handler.
#[derive(Debug, Clone)]
pub(crate) struct HandlerEntry {
    pub(crate) name: &'static str,
    pub(crate) task_type: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) options: TaskOptions,
    pub(crate) policy: Policy,
}

impl HandlerEntry {
    /// A line of the table of handlers.
    pub(crate) fn log(&self) {
        tracing::info!(
            task_type = self.task_type,
            aliases = ?self.aliases,
            handler = self.name,
            queue = self.options.queue.as_deref().unwrap_or("default"),
            max_retry = self.options.max_retry.unwrap_or(asynq_core::DEFAULT_MAX_RETRY),
            timeout = ?self.options.timeout.unwrap_or(asynq_core::DEFAULT_TIMEOUT),
            policy = ?self.policy,
            "handles tasks"
        );
    }
}

impl<S: Send + Sync + 'static> Registration<S> {
    fn new<H: TaskHandler<S>>(handler: H) -> Self {
        let policy = handler.policy();
        let entry = HandlerEntry {
            name: handler.name(),
            task_type: H::Task::TYPE,
            aliases: H::Task::ALIASES,
            options: H::Task::options(),
            policy: policy.clone(),
        };
        let make = move |state| -> Arc<dyn Handler> { Arc::new(Registered::new(handler, state, policy)) };
        Registration {
            entry,
            make: Box::new(make),
        }
    }

    pub(crate) fn into_handler(self, state: S) -> Arc<dyn Handler> {
        (self.make)(state)
    }
}

/// A [`TaskHandler`] with its state, under its policy.
struct Registered<H, S> {
    handler: H,
    state: S,
    policy: Policy,
    limit: Option<Limit>,
}

impl<H, S> Registered<H, S> {
    fn new(handler: H, state: S, policy: Policy) -> Self {
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

/// A list of handlers for [`ServerBuilder::handlers`](crate::ServerBuilder::handlers): `tasks![send_welcome,
/// images::resize]`.
#[macro_export]
macro_rules! tasks {
    ($($handler:expr),* $(,)?) => {
        // A closure, because its argument tells the state before the handlers are looked at: otherwise a missing state
        // would be guessed instead of reported.
        |handlers| $crate::__private::same(handlers)$(.handler($handler))*
    };
}

/// Adds a handler to those of a server: an entry of a list that [`collect!`](crate::collect) declares.
#[cfg(feature = "linkme")]
pub type Collected<S> = fn(Handlers<S>) -> Handlers<S>;

/// Declares a list that handlers of other modules and crates add themselves to, with `#[task(collect = …)]`.
///
/// ```
/// use asynq_server::prelude::*;
///
/// #[derive(Clone)]
/// pub struct App;
///
/// asynq_server::collect!(
///     /// All handlers of this program.
///     pub TASKS: App
/// );
///
/// #[task(name = "image:resize", collect = TASKS)]
/// async fn resize(url: String) {
///     println!("resizing {url}");
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder(MemoryBroker::new()).state(App).collected(&TASKS).build()?;
/// # Ok(())
/// # }
/// ```
///
/// The linker gathers the list, on Linux, macOS, Windows and the BSDs. It leaves out a crate that nothing refers to:
/// look at the handlers that the server logs, or list them with [`tasks!`].
#[cfg(feature = "linkme")]
#[macro_export]
macro_rules! collect {
    ($(#[$doc:meta])* $vis:vis $name:ident: $state:ty) => {
        $(#[$doc])*
        #[$crate::__private::linkme::distributed_slice]
        #[linkme(crate = $crate::__private::linkme)]
        $vis static $name: [$name];

        $(#[$doc])*
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        $vis type $name = $crate::Collected<$state>;
    };
}
