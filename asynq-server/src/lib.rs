//! Runs the tasks of an asynq task queue: the crate that users depend on.
//!
//! ```
//! use asynq_server::prelude::*;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct WelcomeEmail {
//!     username: String,
//! }
//!
//! impl Task for WelcomeEmail {
//!     const TYPE: &'static str = "email:welcome";
//! }
//!
//! async fn send_welcome(_: Context, email: WelcomeEmail) -> Result<(), TaskError> {
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
//! let server = Server::builder(broker).concurrency(10).handle_typed(send_welcome).build()?;
//! server.start().await?; // or server.run().await, until the process is told to end
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! * `memory` (default): the in-memory broker
//! * `redis`: the Redis broker, wire-compatible with Go asynq
//! * `sqlite`: the SQLite broker, in a file, without a server

mod aggregator;
mod backoff;
mod blocking;
mod builder;
mod config;
mod connect;
mod dispatcher;
mod forwarder;
mod health;
mod heartbeat;
mod janitor;
mod lease_keeper;
mod mux;
mod outbox;
mod panic;
mod queues;
mod reconciler;
mod recoverer;
mod running;
mod runtime;
mod server;
mod signal;
mod watcher;
mod worker;

pub use asynq_core::*;
#[cfg(feature = "redis")]
pub use asynq_redis::RedisBroker;
#[cfg(feature = "sqlite")]
pub use asynq_sqlite::{EnqueueIn, SqliteBroker};
pub use blocking::blocking;
pub use builder::ServerBuilder;
pub use config::{ConfigError, ErrorHandler, Failure, GroupAggregator, IntoAggregated};
pub use connect::connect;
pub use mux::{Middleware, Next, PatternError, ServeMux};
pub use server::{RunError, Server, StartError};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// What most programs need: `use asynq_server::prelude::*;`
pub mod prelude {
    #[cfg(feature = "memory")]
    pub use asynq_core::MemoryBroker;
    pub use asynq_core::{
        Client, Configure, Context, EnqueueError, Handler, Json, Outcome, RawTask, Task, TaskError, TaskInfo,
        TaskOptions, TaskState, typed, with_retry_policy,
    };
    #[cfg(feature = "redis")]
    pub use asynq_redis::RedisBroker;
    #[cfg(feature = "sqlite")]
    pub use asynq_sqlite::{EnqueueIn, SqliteBroker};

    pub use crate::{Next, ServeMux, Server, ServerBuilder, blocking, connect};
}
