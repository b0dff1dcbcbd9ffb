//! Runs the tasks of an asynq task queue: the crate that users depend on.
//!
#![cfg_attr(feature = "macros", doc = "```")]
#![cfg_attr(not(feature = "macros"), doc = "```ignore")]
//! use asynq_server::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Task)]
//! #[task(name = "email:welcome", queue = "critical", max_retry = 5, timeout = "30s")]
//! struct WelcomeEmail {
//!     username: String,
//! }
//!
//! #[derive(Clone)]
//! struct Mailer;
//!
//! #[task]
//! async fn send_welcome(email: WelcomeEmail, State(_mailer): State<Mailer>) -> Result<(), TaskError> {
//!     println!("welcome, {}", email.username);
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = asynq_server::connect("memory://").await?; // or redis://localhost, with the feature `redis`
//! let client = Client::from_shared(broker.clone());
//! client.enqueue(WelcomeEmail { username: "ann".into() }).await?;
//!
//! let server = Server::builder(broker)
//!     .concurrency(10)
//!     .queues([("critical", 6), ("default", 3)])
//!     .state(Mailer)
//!     .handler(send_welcome)
//!     .build()?;
//! server.start().await?; // or server.run().await, until the process is told to end
//! server.shutdown().await;
//!
//! // A handler is a function still: tests call it as one.
//! send_welcome(WelcomeEmail { username: "ben".into() }, State(Mailer)).await.unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! # With and without macros
//!
//! | | with | without |
//! |---|---|---|
//! | payload | `#[derive(Task)]` | `impl Task`: see [`Task`](trait@Task) |
//! | handler | [`#[task]`](macro@task) on a function | [`handler_fn`], or `impl` [`TaskHandler`] |
//! | worker-side policy | `#[task(backoff = "exp(2s..10m)", concurrency = 20)]` | [`HandlerFn::with_policy`] |
//! | part of the state | `#[derive(FromRef)]` | `impl` [`FromRef`](trait@FromRef) |
//! | the clock enqueues it | `cron = "0 3 * * *"` on either | `impl` [`Periodic`] |
//! | registration | `.handler(f)`, `.handlers(tasks![f, g])` | the same |
//! | raw tasks | – | `.handle("email:", function)`: a pattern, and a function of [`Context`] and [`RawTask`] |
//!
//! # Features
//!
//! * `memory` (default): the in-memory broker
//! * `macros` (default): `#[derive(Task)]`, `#[task]`, `#[derive(FromRef)]`
//! * `linkme`: handlers that add themselves to a list, across crates, see `collect!`
//! * `tower`: tower layers as middleware, see `TowerLayer`
//! * `redis`: the Redis broker, wire-compatible with Go asynq
//! * `scheduler`: periodic tasks, as the module `scheduler`, and `#[task(cron = …)]`
//! * `sqlite`: the SQLite broker, in a file, without a server

#[doc(hidden)]
pub mod __private;
mod aggregator;
mod backoff;
mod blocking;
mod builder;
mod by_queue;
mod config;
mod connect;
mod dispatcher;
mod extract;
mod forwarder;
mod handler_fn;
mod handlers;
mod health;
mod heartbeat;
mod janitor;
mod lease_keeper;
mod mux;
mod outbox;
mod panic;
mod policy;
mod queues;
mod reconciler;
mod recoverer;
mod running;
mod runtime;
mod server;
mod signal;
mod task_handler;
#[cfg(feature = "tower")]
mod tower;
mod watcher;
mod worker;

pub use asynq_core::*;
#[cfg(feature = "macros")]
pub use asynq_macros::{FromRef, ServerTask as Task, task};
#[cfg(feature = "redis")]
pub use asynq_redis::RedisBroker;
#[cfg(feature = "scheduler")]
pub use asynq_scheduler as scheduler;
#[cfg(feature = "sqlite")]
pub use asynq_sqlite::{EnqueueIn, SqliteBroker};
pub use blocking::blocking;
pub use builder::ServerBuilder;
pub use config::{ConfigError, ErrorHandler, Failure, GroupAggregator, IntoAggregated};
pub use connect::{connect, inspect};
pub use extract::{Attempt, FromRef, FromTask, Nothing, State, TaskParts};
pub use handler_fn::{Async, Blocking, HandlerFn, blocking_handler_fn, handler_fn};
#[cfg(feature = "linkme")]
pub use handlers::Collected;
pub use handlers::Handlers;
pub use mux::{Middleware, Next, PatternError, ServeMux};
pub use policy::{OnDecodeError, Policy};
pub use server::{RunError, Server, StartError};
pub use task_handler::{AsItIs, HandlerCall, IntoTaskHandler, TaskHandler};
#[cfg(feature = "tower")]
pub use tower::{RunNext, TaskCall, TowerLayer};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// What most programs need: `use asynq_server::prelude::*;`
pub mod prelude {
    #[cfg(feature = "memory")]
    pub use asynq_core::MemoryBroker;
    pub use asynq_core::{
        Client, Configure, Context, EnqueueError, Handler, Inspector, Json, Outcome, RawTask, TaskError,
        TaskId, TaskInfo, TaskOptions, TaskState, typed, with_retry_policy,
    };
    #[cfg(feature = "redis")]
    pub use asynq_redis::RedisBroker;
    #[cfg(feature = "scheduler")]
    pub use asynq_scheduler::Scheduler;
    #[cfg(feature = "sqlite")]
    pub use asynq_sqlite::{EnqueueIn, SqliteBroker};

    #[cfg(feature = "macros")]
    pub use crate::task;
    pub use crate::{
        Attempt, FromRef, Headers, Next, ServeMux, Server, ServerBuilder, State, Task, blocking, connect,
        handler_fn, tasks,
    };
}
