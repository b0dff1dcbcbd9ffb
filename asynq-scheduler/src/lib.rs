//! Periodic tasks of the asynq task queue: entries that fire once, on time, over any broker.
//!
//! ```
//! use asynq_core::{Configure, MemoryBroker, RawTask, TaskOptions};
//! use asynq_scheduler::{Entry, Missed, Scheduler};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scheduler = Scheduler::new(MemoryBroker::new()); // or RedisBroker, SqliteBroker, asynq_server::connect(url)
//!
//! // The specs of Go asynq: five fields, descriptors, @every, time zones.
//! scheduler.register("*/5 * * * *", RawTask::new("feed:poll", ""), TaskOptions::new().queue("low"))?;
//!
//! // With a name it stays the same entry when its spec changes.
//! let report = Entry::new("TZ=Europe/Paris 0 3 * * *", RawTask::new("report:nightly", ""))
//!     .name("nightly report")
//!     .missed(Missed::RunOnce);
//! scheduler.register_entry(report)?;
//!
//! scheduler.start()?; // or scheduler.run().await, until the process is told to end
//! scheduler.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Tasks that say when
//!
//! A payload type or a handler may say itself when it is enqueued, with `#[task(cron = "0 3 * * *", tz = "Europe/Paris")]`
//! (feature `scheduler` of `asynq-server`, or `cron` of `asynq-core`) or by hand, see [`Periodic`]. Schedulers are told with
//! [`Scheduler::register_task`], or of all handlers of a server with [`Scheduler::register_all`].
//!
//! # Each tick once
//!
//! Run as many schedulers with the same entries as you like. The broker keeps the last tick of each entry, and takes a
//! tick and the task of it in one step, so it does not matter who comes first or is killed when. A tick goes on being
//! tried while the broker cannot be reached. The task of a tick has the id `sched:<entry>:<second>`.
//!
//! What "the same entry" is, is its name, or without one all it says: spec, zone, task and options.
//!
//! # Beside a server
//!
//! A scheduler only enqueues. What it enqueues is run by servers, in the same process or in others; in the same they can
//! share a broker:
//!
//! ```
//! use asynq_core::{Context, RawTask, TaskOptions};
//! use asynq_scheduler::Scheduler;
//! use asynq_server::{Server, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
//! let broker = connect("memory://").await?; // or sqlite://tasks.db, or redis://127.0.0.1:6379
//!
//! let scheduler = Scheduler::new(broker.clone());
//! scheduler.register("@every 1s", RawTask::new("cache:refresh", ""), TaskOptions::new())?;
//!
//! let server = Server::builder(broker)
//!     .handle("cache:refresh", move |cx: Context, _task: RawTask| {
//!         println!("refreshing, as {} says", cx.task_id());
//!         # told.send(()).unwrap();
//!         async {}
//!     })
//!     .build()?;
//!
//! scheduler.start()?;
//! server.start().await?; // or server.run().await, until the process is told to end
//! # tell.recv().await.ok_or("it ran")?;
//! scheduler.shutdown().await;
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Missed ticks
//!
//! A tick at which no scheduler ran is known from the last one, and [`Missed`] says what becomes of it.
//!
//! # Entries that change
//!
//! [`PeriodicTasks`] keeps the entries as a [`ConfigProvider`] says: a [`YamlFile`] that is watched, or any function.
//!
//! # Features
//!
//! * `yaml` (default): [`YamlFile`]

#![cfg_attr(
    not(feature = "yaml"),
    allow(rustdoc::broken_intra_doc_links, reason = "YamlFile is not there")
)]

mod builder;
mod entry;
mod follow;
mod heartbeat;
mod hooks;
mod option_text;
mod periodic;
mod provider;
mod scheduler;
mod signal;
mod ticks;
mod told;
#[cfg(feature = "yaml")]
mod yaml;

pub use asynq_core::{Missed, Periodic, Schedule};
pub use asynq_cron::{Spec, SpecError, SpecErrorKind, UnknownZone, Zone};
pub use builder::SchedulerBuilder;
pub use entry::{Entry, EntryId, RegisterError};
pub use hooks::Tick;
pub use periodic::{PeriodicError, PeriodicTasks};
pub use provider::ConfigProvider;
pub use scheduler::{Scheduler, StartError, UnknownEntry};
#[cfg(feature = "yaml")]
pub use yaml::YamlFile;
