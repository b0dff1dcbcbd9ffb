//! Lists of handlers, and what is known of each.

use std::fmt;
use std::sync::Arc;

use asynq_core::{Handler, Schedule, Task, TaskOptions};

use crate::mux::{PatternError, ServeMux};
use crate::policy::{Policy, Registered};
use crate::task_handler::{IntoTaskHandler, TaskHandler};

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

    /// When the clock enqueues tasks of these handlers, for a program that has no server but a scheduler:
    /// `scheduler.register_all(tasks![nightly_report, tidy](Handlers::<App>::new()).schedules())`.
    pub fn schedules(&self) -> Vec<Schedule> {
        let schedules = self.0.iter().map(|registration| &registration.entry.schedule);
        schedules.flatten().cloned().collect()
    }

    /// And those that added themselves to a list, see [`collect!`](crate::collect).
    #[cfg(feature = "linkme")]
    pub fn collected(self, list: &'static [Collected<S>]) -> Self {
        list.iter().fold(self, |handlers, add| add(handlers))
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
    pub(crate) schedule: Option<Schedule>,
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
            cron = self.schedule.as_ref().map(Schedule::cron),
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
            schedule: handler.schedule(),
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
