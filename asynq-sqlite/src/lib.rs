//! Keeps the tasks of asynq in an SQLite file: no server to run, and tasks can be enqueued in the same transaction as the
//! data they are about.
//!
//! ```
//! use asynq_core::{Client, Inspect, QueueName, RawTask};
//! use asynq_sqlite::SqliteBroker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = std::env::temp_dir().join(format!("asynq-doc-lib-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! # let path = dir.join("tasks.db");
//! let broker = SqliteBroker::open(&path).await?; // or SqliteBroker::open("sqlite://tasks.db?durability=full")
//! Client::new(broker.clone()).enqueue(RawTask::new("image:resize", "cat.png")).await?;
//!
//! let info = broker.queue_info(&QueueName::default_queue()).await?.ok_or("no queue")?;
//! assert_eq!(info.pending, 1);
//! # drop(broker);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok(())
//! # }
//! ```
//!
//! * [`SqliteBroker`]: open it once for each process and clone it; hand it to clients and servers
//! * [`EnqueueIn`]: enqueues within a transaction of yours
//! * [`Durability`]: what survives a power failure
//!
//! # One machine, several processes
//!
//! Any number of processes on one machine may use the file at the same time. A server is told at once of what its own
//! process enqueues, and within some 20 milliseconds of what others do. Locks are waited for
//! ([`SqliteBrokerBuilder::busy_timeout`]). The file must be on a local disk: SQLite's write-ahead log does not work over
//! a network file system.
//!
//! # When the disk is full
//!
//! Enqueueing fails with [`BrokerError::Full`](asynq_core::BrokerError::Full), and tasks that were accepted are taken out, kept and
//! finished all the same: two megabytes are set aside for that in a file beside yours, `tasks.db-reserve`, more while
//! large tasks are stored. It is deleted when the disk is full and written again when there is room; then, or as soon as as
//! much is free within the file, new tasks are accepted by themselves. What cannot be helped: another program may
//! take the room in the moment when it is given away, and tasks enqueued in a transaction of yours are refused only
//! once SQLite itself finds no room.
//!
//! # For readers of the code
//!
//! One file per trait and per larger thing that a broker does, its SQL next to the functions that run it. All writing goes through
//! `writer`, all reading through `readers`; the tables are in `migrations/`.

#![forbid(unsafe_code)]

mod aggregate;
mod apply;
mod broker;
mod cancel;
mod change;
mod config;
mod delete_queue;
mod dequeue;
mod enqueue;
mod error;
mod finish;
mod inspect;
mod maintain;
mod operate;
mod page;
mod presence;
mod purge;
mod queue;
mod readers;
mod reserve;
mod row;
mod schedule;
mod schedule_shown;
mod schema;
#[cfg(test)]
mod statements;
mod statistics;
mod watch;
mod within;
mod writer;

pub use broker::{SqliteBroker, SqliteBrokerBuilder};
pub use config::Durability;
pub use sqlx;
pub use within::EnqueueIn;
