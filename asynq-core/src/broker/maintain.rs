use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::TaskMessage;
use crate::names::QueueName;

use super::LeaseKey;

/// Keeps queues in order. Asked by the background loops of servers; implemented by brokers.
///
/// Each call does a bounded piece of work for one queue and says whether there is more, so a loop can serve queues in
/// turn and one that fails does not stop the others. Any number of servers may do the same at the same time.
#[async_trait]
pub trait Maintain: Send + Sync + 'static {
    /// Moves scheduled tasks that are due to the pending tasks or, if they have one, to their group, and retries that are
    /// due to the pending tasks. Never early: a task is moved once its exact time has come, although listings may show
    /// whole seconds. Of the scheduled ones and of the retries those due earlier come first; which of the two kinds
    /// comes first is up to the broker. At most 500 are moved by one call. Go: `ForwardIfReady`.
    async fn forward(&self, queue: &QueueName) -> Result<Forwarded, BrokerError>;

    /// Up to `limit` active tasks whose lease has expired. A lease of a holder without nonce counts as expired only
    /// thirty seconds later, as in Go asynq, since its clock may differ. Undecodable ones are set aside as archived
    /// and left out. Go: `ListLeaseExpired`.
    async fn expired(&self, queue: &QueueName, limit: usize) -> Result<Expired, BrokerError>;

    /// Deletes completed tasks whose retention has passed, archived tasks older than 90 days, and the oldest of more
    /// than 10,000 archived ones: up to `limit` of all together. Their uniqueness locks are released. Go: `DeleteExpiredCompletedTasks`, and the trimming in `Archive`.
    async fn purge(&self, queue: &QueueName, limit: usize) -> Result<Purged, BrokerError>;

    /// Looks at a part of what is stored for the queue and mends what a broker's operations never leave behind, but
    /// crashes of other programs, evictions and hand edits do: active tasks without lease, tasks in no list, groups
    /// that nobody lists. Start with the default cursor and go on with the one in the answer.
    async fn reconcile(&self, queue: &QueueName, cursor: ReconcileCursor) -> Result<Reconciled, BrokerError>;
}

/// What [`forward`](Maintain::forward) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// How many tasks were moved.
    pub moved: usize,
    /// When the next one is due, if there is any.
    pub next_due: Option<Timestamp>,
    /// There are more that are due: call again.
    pub more: bool,
}

/// What [`expired`](Maintain::expired) found.
#[derive(Debug, Clone, Default)]
pub struct Expired {
    /// Active tasks whose lease has expired.
    pub tasks: Vec<ExpiredLease>,
    /// When the next lease expires unless it is extended, if there is any: no need to look again before, but for leases
    /// that are given meanwhile.
    pub next_expiry: Option<Timestamp>,
}

/// An active task whose lease has expired.
#[derive(Debug, Clone)]
pub struct ExpiredLease {
    /// To settle it with, under [`Claim::Expired`](super::Claim::Expired).
    pub key: LeaseKey,
    /// What is stored about it.
    pub message: Arc<TaskMessage>,
    /// Whether its handler is known to have been started. Always true for a holder without nonce.
    pub started: bool,
    /// How often in a row its worker died before it started the task, this time not included.
    pub lost: u32,
}

/// What [`purge`](Maintain::purge) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Completed tasks deleted after their retention.
    pub completed: usize,
    /// Archived tasks deleted for their age or number.
    pub archived: usize,
    /// There are more: call again.
    pub more: bool,
}

/// How far a [`reconcile`](Maintain::reconcile) has come. Its meaning is the broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReconcileCursor(pub u64);

/// What [`reconcile`](Maintain::reconcile) mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Active tasks that had no lease and got one.
    pub leases_added: usize,
    /// Leases of tasks that were not active, removed.
    pub leases_removed: usize,
    /// Tasks that were in no list, put back in the one of their state.
    pub tasks_relisted: usize,
    /// Remains without a task in them, deleted.
    pub remains_deleted: usize,
    /// Groups with tasks that were not listed as groups.
    pub groups_relisted: usize,
    /// Where to go on; the default once everything has been looked at.
    pub next: ReconcileCursor,
}

impl Reconciled {
    /// How many things were mended.
    pub fn total(&self) -> usize {
        self.leases_added
            + self.leases_removed
            + self.tasks_relisted
            + self.remains_deleted
            + self.groups_relisted
    }
}
