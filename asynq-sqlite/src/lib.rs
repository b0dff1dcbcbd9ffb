//! Keeps the tasks of asynq in an SQLite file.
#![forbid(unsafe_code)]

mod aggregate;
mod broker;
mod cancel;
mod config;
mod dequeue;
mod enqueue;
mod error;
mod finish;
mod inspect;
mod maintain;
mod presence;
mod purge;
mod queue;
mod readers;
mod row;
mod schema;
#[cfg(test)]
mod statements;
mod watch;
mod within;
mod writer;

pub use broker::{SqliteBroker, SqliteBrokerBuilder};
pub use config::Durability;
pub use sqlx;
pub use within::EnqueueIn;
