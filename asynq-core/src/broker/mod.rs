//! What a broker does, cut by who asks for it.
//!
//! | trait | asked by |
//! |---|---|
//! | [`Enqueue`] | clients |
//! | [`Dequeue`] | the dispatcher, the outbox, the lease keeper and the wake-up of a server |
//! | [`Maintain`] | forwarder, recoverer, janitor and reconciler |
//! | [`Aggregate`] | the aggregator |
//! | [`Presence`] | the heartbeat |
//! | [`Inspect`] | tests, tools, people |
//! | [`ScheduleStore`] | schedulers, and those who look at them |
//! | [`Operate`] | the [`Inspector`](crate::Inspector), which tools and people use |
//!
//! # Rules for all of them
//!
//! * A batch is not a transaction: each item is atomic by itself.
//! * Answers line up with inputs: the n-th answer belongs to the n-th item.
//! * `Err` means that the call failed as a whole and nothing of it may be trusted. What happens to one item is data:
//!   [`Receipt::IdTaken`], [`Finished::NotOwner`].
//! * Empty input is answered without asking the broker.
//! * Time that several machines must agree on is the broker's: [`Now::now`].
//! * A call that is dropped before it answers may or may not have been carried out. A dropped
//!   [`dequeue`](Dequeue::dequeue) may leave tasks leased that nobody runs; they come back when their lease ends, so do
//!   not make it an arm of a `select!`.

mod aggregate;
mod dequeue;
mod enqueue;
mod filter;
mod inspect;
mod maintain;
mod operate;
mod presence;
mod schedule;

pub use aggregate::{Aggregate, GroupLimits, SealedSet, SetKey};
pub use dequeue::{
    Claim, Dequeue, Dequeued, Extension, Finish, Finished, LeaseKey, Leased, Settlement, cut_error_text,
};
pub use enqueue::{Enqueue, NewTask, Placement, Receipt};
pub use filter::Filter;
pub use inspect::{Inspect, Page, QueueInfo};
pub use maintain::{Expired, ExpiredLease, Forwarded, Maintain, Purged, ReconcileCursor, Reconciled};
pub use operate::{
    Action, Applied, Change, Changed, Cursor, DayCount, GroupSize, Operate, QueueDeletion, StepReport,
    TaskList, TaskPage,
};
pub use presence::{Presence, ServerId, ServerInfo, WorkerInfo};
pub use schedule::{EntryKey, ScheduleBroker, ScheduleEntry, ScheduleEvent, ScheduleStore, TickReceipt};

use crate::clock::Timestamp;

/// Everything that clients, servers and schedulers need of a broker.
///
/// Implemented for whatever has all the parts and a [`Now`].
pub trait Broker: ScheduleBroker + Dequeue + Maintain + Aggregate + Presence + Inspect {}

impl<B: ScheduleBroker + Dequeue + Maintain + Aggregate + Presence + Inspect> Broker for B {}

/// The time of a broker.
pub trait Now: Send + Sync + 'static {
    /// The broker's time now. May be an estimate, within milliseconds of what the broker itself would say.
    fn now(&self) -> Timestamp;
}
