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
//! There is one file for each thing a broker does, and one function for each behaviour. A new function is added to
//! `list.rs` too.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests, although a broker crate compiles them as a library"
)]

#[doc(hidden)]
pub mod aggregate;
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
pub mod unique;
#[doc(hidden)]
pub mod watch;

use std::fmt;
use std::sync::Arc;

use crate::broker::Broker;
use crate::clock::{ManualClock, Timestamp};

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

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
