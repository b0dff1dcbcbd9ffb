//! Periodic tasks of the asynq task queue.

mod spec;

pub use spec::{Spec, SpecError, SpecErrorKind, UnknownZone, Zone};
