//! Sets up a [`Server`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::Broker;
use asynq_core::{
    BrokerError, Context, GroupName, Handler, IntoOutcome, QueueName, RawTask, RetryPolicy, Schedule, Task,
    TaskError, typed,
};

use crate::config::{Config, ConfigError, ErrorHandler, GroupAggregator};
use crate::handlers::{HandlerEntry, Handlers};
use crate::mux::{Middleware, PatternError, ServeMux};
use crate::server::{RunError, Server};
use crate::task_handler::{IntoTaskHandler, TaskHandler};

/// Sets up a [`Server`]. Made by [`Server::builder`]. Go: `Config` and `NewServer`.
///
/// What is not set has the default of Go asynq. What cannot be honoured is refused by
/// [`build`](ServerBuilder::build).
#[must_use = "a server does nothing until it is built and run"]
pub struct ServerBuilder<S = ()> {
    broker: Arc<dyn Broker>,
    state: S,
    entries: Vec<HandlerEntry>,
    schedules: Vec<Schedule>,
    config: Config,
    mux: ServeMux,
    handler: Option<Arc<dyn Handler>>,
    queues: Option<Vec<(String, u32)>>,
    error: Option<ConfigError>,
}

impl ServerBuilder {
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        ServerBuilder {
            broker,
            state: (),
            entries: Vec::new(),
            schedules: Vec::new(),
            config: Config::default(),
            mux: ServeMux::new(),
            handler: None,
            queues: None,
            error: None,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> ServerBuilder<S> {
    /// How many tasks run at once. The number of CPUs when not set.
    pub fn concurrency(mut self, tasks: usize) -> Self {
        self.config.concurrency = tasks;
        self
    }

    /// The queues to serve, with their priorities; `default` alone when not set. A queue of priority 6 is asked first
    /// twice as often as one of priority 3.
    ///
    /// ```
    /// # use asynq_server::prelude::*;
    /// # fn builder(builder: ServerBuilder) -> ServerBuilder {
    /// builder.queues([("critical", 6), ("default", 3), ("low", 1)])
    /// # }
    /// ```
    pub fn queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = (Q, u32)>) -> Self {
        self.queues = Some(
            queues
                .into_iter()
                .map(|(queue, priority)| (queue.into(), priority))
                .collect(),
        );
        self
    }

    /// Serves a queue only while those of higher priority are empty. Off when not set.
    pub fn strict_priority(mut self, strict: bool) -> Self {
        self.config.strict_priority = strict;
        self
    }

    /// What the program shares with its handlers. Those registered after this get it as
    /// [`State<T>`](crate::State), all of it or a part, see [`FromRef`](crate::FromRef). A handler that asks for what
    /// is not there does not compile.
    ///
    /// Any handler can also ask for it at run time by its type, with [`Context::state`]; called again with another
    /// type, both can be had there. Go: `BaseContext`.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> ServerBuilder<T> {
        self.config.state = self.config.state.with(state.clone());
        ServerBuilder {
            broker: self.broker,
            state,
            entries: self.entries,
            schedules: self.schedules,
            config: self.config,
            mux: self.mux,
            handler: self.handler,
            queues: self.queues,
            error: self.error,
        }
    }

    /// Registers a handler of typed tasks: a function with `#[task]`, or made by [`handler_fn`](crate::handler_fn).
    pub fn handler<H, M>(self, handler: H) -> Self
    where
        H: IntoTaskHandler<M>,
        H::Handler: TaskHandler<S>,
    {
        self.task_handler(handler.into_task_handler())
    }

    /// Registers a value that implements [`TaskHandler`].
    pub fn task_handler<H: TaskHandler<S>>(self, handler: H) -> Self {
        self.handlers(|list| list.task_handler(handler))
    }

    /// Registers many handlers: `.handlers(tasks![send_welcome, images::resize])`.
    pub fn handlers(mut self, list: impl FnOnce(Handlers<S>) -> Handlers<S>) -> Self {
        for registration in list(Handlers::new()).0 {
            self.entries.push(registration.entry.clone());
            self.schedules.extend(registration.entry.schedule.clone());
            let registered = self.mux.register_typed(registration, self.state.clone());
            self.note(registered);
        }
        self
    }

    /// Registers the handlers that added themselves to a list, see [`collect!`](crate::collect).
    #[cfg(feature = "linkme")]
    pub fn collected(self, list: &'static [crate::Collected<S>]) -> Self {
        self.handlers(|handlers| handlers.collected(list))
    }

    /// Registers a handler for all task types that begin with `pattern`; the longest pattern that fits is taken. Go:
    /// `ServeMux.Handle`.
    pub fn handle(mut self, pattern: &str, handler: impl Handler) -> Self {
        let registered = self.mux.register(pattern, Arc::new(handler), true);
        self.note(registered);
        self
    }

    /// Registers a function for the tasks of one payload type.
    pub fn handle_typed<T, F, R>(mut self, function: F) -> Self
    where
        T: Task,
        F: Fn(Context, T) -> R + Send + Sync + 'static,
        R: Future<Output: IntoOutcome> + Send + 'static,
    {
        let registered = self.mux.register(T::TYPE, Arc::new(typed(function)), false);
        self.schedules.extend(T::periodic());
        self.note(registered);
        self
    }

    fn note(&mut self, registered: Result<(), PatternError>) {
        if let Err(error) = registered {
            self.error.get_or_insert(error.into());
        }
    }

    /// Wraps all handlers. The first wraps those that come later. Go: `ServeMux.Use`.
    pub fn layer(mut self, middleware: impl Middleware) -> Self {
        self.mux.add_layer(Arc::new(middleware));
        self
    }

    /// Runs tasks that no handler is registered for. When not set, they are put back without being charged, and a
    /// warning is logged. Go: `NotFoundHandler`.
    pub fn not_found(mut self, handler: impl Handler) -> Self {
        self.mux.set_not_found(Arc::new(handler));
        self
    }

    /// Runs every task with this handler, such as a [`ServeMux`] of your own. Handlers registered with the other
    /// methods come first.
    pub fn serve(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// How long a failed task waits before it is tried again, unless its handler has a policy of its own.
    /// [`DefaultBackoff`](asynq_core::DefaultBackoff) when not set. Go: `RetryDelayFunc`.
    pub fn retry_policy(mut self, policy: impl RetryPolicy) -> Self {
        self.config.retry_policy = Arc::new(policy);
        self
    }

    /// Which errors count as failures. Others are retried without using up a retry and without being counted. All
    /// errors when not set. Go: `IsFailure`.
    pub fn is_failure(mut self, is_failure: impl Fn(&TaskError) -> bool + Send + Sync + 'static) -> Self {
        self.config.is_failure = Arc::new(is_failure);
        self
    }

    /// Is told of every failed attempt. Go: `ErrorHandler`.
    pub fn error_handler(mut self, handler: impl ErrorHandler) -> Self {
        self.config.error_handler = Some(Arc::new(handler));
        self
    }

    /// How long a worker owns a task without extending the lease, at least two seconds; 30 s when not set. A task
    /// whose worker died is run again after about this long. Go asynq has it fixed.
    pub fn lease_duration(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// How often queues are looked at while the broker does not tell of new tasks; 1 s when not set. While it does,
    /// which is the rule, a fifth as often, as a net for lost messages.
    pub fn task_check_interval(mut self, interval: Duration) -> Self {
        self.config.task_check_interval = interval;
        self
    }

    /// How often scheduled tasks are looked at besides the timer for the earliest one while the broker does not tell of
    /// changes; 5 s when not set. While it does, which is the rule, a fifth as often.
    pub fn delayed_task_check_interval(mut self, interval: Duration) -> Self {
        self.config.delayed_task_check_interval = interval;
        self
    }

    /// How long running tasks may go on at shutdown; 8 s when not set. Those that are not done by then are stopped and
    /// put back, without being charged.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.config.shutdown_timeout = timeout;
        self
    }

    /// How long a handler may go on after somebody cancelled its task; 1 s when not set. What it returns meanwhile
    /// counts; after that it is dropped and the attempt counts as failed.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.config.cancel_grace = grace;
        self
    }

    /// Is called every health check interval with the error of a ping, or nothing when the broker answered. Go:
    /// `HealthCheckFunc`.
    pub fn health_check(mut self, check: impl Fn(Option<&BrokerError>) + Send + Sync + 'static) -> Self {
        self.config.health_check = Some(Arc::new(check));
        self
    }

    /// How often the health check is called; 15 s when not set.
    pub fn health_check_interval(mut self, interval: Duration) -> Self {
        self.config.health_check_interval = interval;
        self
    }

    /// Merges the tasks of groups. Without it, this server leaves groups alone. Go: `GroupAggregator`.
    pub fn group_aggregator(mut self, aggregator: impl GroupAggregator) -> Self {
        self.config.group_aggregator = Some(Arc::new(aggregator));
        self
    }

    /// As [`ServerBuilder::group_aggregator`], for a function that cannot fail and does not wait: type inference does
    /// better with it.
    pub fn merge_groups(
        self,
        merge: impl Fn(&GroupName, &[RawTask]) -> RawTask + Send + Sync + 'static,
    ) -> Self {
        let merge = Arc::new(merge);
        self.group_aggregator(move |group: GroupName, tasks: Vec<RawTask>| {
            let merge = merge.clone();
            async move { merge(&group, &tasks) }
        })
    }

    /// A group is merged when no task has come for this long, at least 1 s; 60 s when not set.
    pub fn group_grace_period(mut self, grace: Duration) -> Self {
        self.config.group_limits.grace_period = grace;
        self
    }

    /// A group is merged when its oldest task has waited for this long. No limit when not set.
    pub fn group_max_delay(mut self, delay: Duration) -> Self {
        self.config.group_limits.max_delay = Some(delay);
        self
    }

    /// A group is merged when it has this many tasks, and never more at once. No limit when not set.
    pub fn group_max_size(mut self, tasks: usize) -> Self {
        self.config.group_limits.max_size = Some(tasks);
        self
    }

    /// How often expired tasks are deleted; 8 s when not set.
    pub fn janitor_interval(mut self, interval: Duration) -> Self {
        self.config.janitor_interval = interval;
        self
    }

    /// How many expired tasks are deleted in one call to the broker, 1 to 500; 100 when not set.
    pub fn janitor_batch_size(mut self, tasks: usize) -> Self {
        self.config.janitor_batch_size = tasks;
        self
    }

    /// Tasks whose worker died are looked for when the next lease ends, and at least this often; 15 s when not set. Go
    /// asynq: every 60 s, fixed.
    pub fn recover_interval(mut self, interval: Duration) -> Self {
        self.config.recover_interval = interval;
        self
    }

    /// How often a part of each queue is checked for what crashes of other programs left behind; 60 s when not set.
    pub fn reconcile_interval(mut self, interval: Duration) -> Self {
        self.config.reconcile_interval = interval;
        self
    }

    /// How often this server shows itself to tools; 5 s when not set.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.heartbeat_interval = interval;
        self
    }

    /// How long a task that no handler is registered for waits until it is tried again, perhaps by another server;
    /// 10 s when not set.
    pub fn unknown_task_delay(mut self, delay: Duration) -> Self {
        self.config.unknown_task_delay = delay;
        self
    }

    /// The largest payload of a merged task, in bytes; 1 MiB when not set.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.config.max_payload = bytes;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be honoured.
    pub fn build(mut self) -> Result<Server, ConfigError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if let Some(queues) = self.queues.take() {
            self.config.queues = checked_queues(queues)?;
        }
        check(&self.config)?;
        if let Some(handler) = self.handler.take() {
            self.mux.set_not_found(handler);
        }
        if self.mux.is_empty() {
            return Err(ConfigError::NoHandler);
        }
        for entry in &self.entries {
            entry.log();
        }
        Ok(Server::new(self.broker, self.mux, self.config, self.schedules))
    }

    /// Builds the server and runs it until the process is told to end. See [`Server::run`].
    pub async fn run(self) -> Result<(), RunError> {
        self.build()?.run().await
    }
}

fn checked_queues(queues: Vec<(String, u32)>) -> Result<BTreeMap<QueueName, u32>, ConfigError> {
    let mut checked = BTreeMap::new();
    for (queue, priority) in queues {
        if priority == 0 {
            return Err(value("queues", "need a priority of at least 1 each"));
        }
        if checked.insert(QueueName::new(queue)?, priority).is_some() {
            return Err(value("queues", "must be named once each"));
        }
    }
    if checked.is_empty() {
        Err(value("queues", "must name at least one"))
    } else {
        Ok(checked)
    }
}

fn value(option: &'static str, expected: &'static str) -> ConfigError {
    ConfigError::Value { option, expected }
}

fn check(config: &Config) -> Result<(), ConfigError> {
    const MAX_CONCURRENCY: usize = 1 << 20;
    let second = Duration::from_secs(1);
    let limits = &config.group_limits;
    let rules = [
        (config.concurrency > 0, "concurrency", "must be at least 1"),
        (
            config.concurrency <= MAX_CONCURRENCY,
            "concurrency",
            "must be at most 1048576",
        ),
        (
            config.lease >= 2 * second,
            "lease_duration",
            "must be at least 2s",
        ),
        (
            config.lease <= 86_400 * second,
            "lease_duration",
            "must be at most one day",
        ),
        (
            !config.task_check_interval.is_zero(),
            "task_check_interval",
            "must not be zero",
        ),
        (
            !config.delayed_task_check_interval.is_zero(),
            "delayed_task_check_interval",
            "must not be zero",
        ),
        (
            !config.health_check_interval.is_zero(),
            "health_check_interval",
            "must not be zero",
        ),
        (
            !config.janitor_interval.is_zero(),
            "janitor_interval",
            "must not be zero",
        ),
        (
            !config.recover_interval.is_zero(),
            "recover_interval",
            "must not be zero",
        ),
        (
            !config.reconcile_interval.is_zero(),
            "reconcile_interval",
            "must not be zero",
        ),
        (
            config.heartbeat_interval >= second,
            "heartbeat_interval",
            "must be at least 1s",
        ),
        (
            (1..=500).contains(&config.janitor_batch_size),
            "janitor_batch_size",
            "must be from 1 to 500",
        ),
        (
            limits.grace_period >= second,
            "group_grace_period",
            "must be at least 1s",
        ),
        (
            limits.max_delay.is_none_or(|delay| delay >= second),
            "group_max_delay",
            "must be at least 1s",
        ),
        (
            limits.max_size != Some(0),
            "group_max_size",
            "must be at least 1; leave it out for no limit",
        ),
    ];
    match rules.into_iter().find(|(holds, ..)| !holds) {
        Some((_, option, expected)) => Err(value(option, expected)),
        None => Ok(()),
    }
}
