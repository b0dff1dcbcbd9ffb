//! Keeps the tasks of asynq in Redis, wire-compatible with Go's `hibiken/asynq`: Go clients, servers and tools may share
//! the Redis with this broker, in both directions.
//!
//! [`RedisBroker`] is all there is to it: connect, and hand it to a client or a server.
//!
//! ```no_run
//! # async fn example() -> Result<(), asynq_core::BrokerError> {
//! let broker = asynq_redis::RedisBroker::connect("redis://localhost:6379").await?;
//! # Ok(())
//! # }
//! ```
//!
//! Redis 6.2 or newer, or Valkey; one server, not yet a cluster. Idle servers are woken by client tracking.
//!
//! # Users who may only read
//!
//! An [`Inspector`](asynq_core::Inspector) that only looks needs no right to write. With Redis 7 or newer:
//!
//! ```text
//! ACL SETUSER viewer on >secret %R~asynq:* +@read +@connection +eval_ro +evalsha_ro +script|load +info +time
//! ```
//!
//! # For readers of the code
//!
//! One file per thing a broker does (`enqueue`, `dequeue`, `finish`, …), each with its Lua scripts in `scripts/`. Key
//! names are in `keys`, stored records in `wire`, and all that talks to the server goes through `script` and
//! `connection`.

#![forbid(unsafe_code)]

mod aggregate;
mod broker;
mod change;
mod config;
mod connection;
mod cursor;
mod delete_queue;
mod dequeue;
mod enqueue;
mod error;
mod finish;
mod inspect;
mod keys;
mod lease;
mod maintain;
mod operate;
mod part;
mod presence;
mod reconcile;
mod reply;
mod schedule;
mod script;
mod statistics;
mod time;
mod watch;
mod wire;

pub use broker::{RedisBroker, RedisBrokerBuilder};
