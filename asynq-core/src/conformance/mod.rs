//! The behaviours that every broker must show, each a test of its own.
//!
//! A broker crate runs them all with a function that makes a fresh, empty broker on a [`ManualClock`]:
//!
//! ```
//! use asynq_core::MemoryBroker;
//! use asynq_core::conformance::{Subject, clock};
//!
//! async fn memory() -> Subject {
//!     let clock = clock();
//!     Subject::new(MemoryBroker::with_clock(clock.clone()), clock)
//! }
//!
//! asynq_core::broker_conformance!(memory);
//! # fn main() {}
//! ```
//!
//! Attributes after the function are put on every test: `broker_conformance!(redis, #[ignore = "needs Redis"])`. The
//! crate needs tokio with `macros` and `rt` among its dev-dependencies.
//!
//! A broker that implements [`Operate`] is tested with [`inspector_conformance!`](crate::inspector_conformance) as well,
//! which takes a function that makes an [`InspectorSubject`].
//!
//! There is one file for each thing a broker does, and one function for each behaviour. A new function is added to
//! `list.rs` too.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests, although a broker crate compiles them as a library"
)]

#[doc(hidden)]
pub mod act;
#[doc(hidden)]
pub mod aggregate;
#[doc(hidden)]
pub mod bulk;
#[doc(hidden)]
pub mod change;
#[doc(hidden)]
pub mod delete_queue;
#[doc(hidden)]
pub mod dequeue;
#[doc(hidden)]
pub mod enqueue;
#[doc(hidden)]
pub mod finish;
#[doc(hidden)]
pub mod forward;
#[doc(hidden)]
pub mod inspect;
mod invariants;
mod kit;
#[doc(hidden)]
pub mod lease;
mod list;
#[doc(hidden)]
pub mod lock_time;
#[doc(hidden)]
pub mod operate_random;
#[doc(hidden)]
pub mod presence;
#[doc(hidden)]
pub mod purge;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod recover;
#[doc(hidden)]
pub mod result;
#[doc(hidden)]
pub mod schedule;
#[doc(hidden)]
pub mod search;
#[doc(hidden)]
pub mod statistics;
#[doc(hidden)]
pub mod unique;
#[doc(hidden)]
pub mod watch;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::broker::{Broker, Operate};
use crate::clock::{ManualClock, Timestamp};
use crate::inspector::Inspector;

/// When every test starts: deliberately not a whole second, and an hour and three quarters before midnight UTC.
pub const START: Timestamp = Timestamp::from_unix_micros(1_700_000_000_250_000);

/// A broker to be tested, fresh and empty, and the clock that is its time.
pub struct Subject {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The broker's time: [`Now::now`](crate::Now::now), and whatever it stores or compares.
    pub clock: Arc<ManualClock>,
}

/// A clock that shows [`START`].
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

impl Subject {
    /// A subject of this broker, whose time is `clock`.
    pub fn new(broker: impl Broker, clock: Arc<ManualClock>) -> Self {
        Subject {
            broker: Arc::new(broker),
            clock,
        }
    }
}

/// A broker to be tested through an inspector, fresh and empty.
pub struct InspectorSubject {
    /// The inspector of the broker.
    pub inspector: Inspector,
    /// The same broker, and its clock.
    pub subject: Subject,
}

impl InspectorSubject {
    /// A subject of this broker, whose time is `clock`.
    pub fn new(broker: impl Broker + Operate + Clone, clock: Arc<ManualClock>) -> Self {
        InspectorSubject {
            inspector: Inspector::new(broker.clone()),
            subject: Subject::new(broker, clock),
        }
    }
}

impl Deref for InspectorSubject {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.subject
    }
}

impl fmt::Debug for InspectorSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject.fmt(f)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
