//! Periodic tasks of the asynq task queue: entries that fire once, on time, over any broker.

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
mod spec;
mod ticks;
#[cfg(feature = "yaml")]
mod yaml;

pub use builder::SchedulerBuilder;
pub use entry::{Entry, EntryId, RegisterError};
pub use hooks::Tick;
pub use periodic::{PeriodicError, PeriodicTasks};
pub use provider::ConfigProvider;
pub use scheduler::{Scheduler, StartError, UnknownEntry};
pub use spec::{Spec, SpecError, SpecErrorKind, UnknownZone, Zone};
pub use ticks::Missed;
#[cfg(feature = "yaml")]
pub use yaml::YamlFile;
