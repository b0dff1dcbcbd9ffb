//! Cron specs as the standard parser of robfig/cron v3 takes them: what Go asynq schedules by.
//!
//! ```
//! use std::time::SystemTime;
//! use asynq_cron::{Spec, Zone};
//!
//! let spec: Spec = "TZ=Europe/Paris 0 3 * * mon-fri".parse()?;
//! let next = spec.next_after(SystemTime::now(), &Zone::UTC);
//! assert!(next.is_some());
//! # Ok::<(), asynq_cron::SpecError>(())
//! ```
//!
//! Depend on it to read and check such specs, as `asynq-scheduler` does, which re-exports all of it that schedulers need.
//! It is pure: it reads no clock, keeps nothing and starts nothing.
//!
//! `parse.rs` turns the text into sets of allowed values, `next.rs` finds the next moment that is in them. Both follow
//! robfig/cron rule by rule, odd ones too.

mod duration;
mod error;
mod field;
mod next;
mod parse;
mod spec;
mod zone;

pub use duration::parse_duration;
pub use error::{SpecError, SpecErrorKind};
pub use spec::Spec;
pub use zone::{UnknownZone, Zone};
