//! Where this asynq differs from Go's on purpose. Anything else that differs is a failure.

use std::collections::BTreeMap;

/// An intended difference. `docs/compatibility.md` describes each under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    LeaseNonce,
    ExtraFields,
    ExactTime,
    OrderWithinSecond,
    LockOnConflict,
    ConflictBeforeDuplicate,
    ScheduledGroup,
    GroupListed,
    GroupUniqueKey,
    MergeFreesLocks,
    LateMerge,
    RequeuePendingSince,
    RetryByItself,
    ArchiveTrim,
    LeaseGrace,
    Fence,
    ZombieResult,
    CounterExpiry,
    ReadOnlyListing,
}

use Difference::{
    ArchiveTrim, ConflictBeforeDuplicate, CounterExpiry, ExactTime, ExtraFields, Fence, GroupListed,
    GroupUniqueKey, LateMerge, LeaseGrace, LeaseNonce, LockOnConflict, MergeFreesLocks, OrderWithinSecond,
    ReadOnlyListing, RequeuePendingSince, RetryByItself, ScheduledGroup, ZombieResult,
};

/// Every difference: its name, and why it is there.
pub(crate) const TABLE: [(Difference, &str, &str); 19] = [
    (
        LeaseNonce,
        "lease-nonce",
        "the fraction of a lease's score names the attempt; its whole seconds are Go's",
    ),
    (
        ExtraFields,
        "extra-fields",
        "hash fields that Go ignores: due, started, lost, cancel",
    ),
    (
        ExactTime,
        "exact-time",
        "a time within a second is rounded up in the score and exact in `due`; Go cuts it and is early",
    ),
    (
        OrderWithinSecond,
        "order-within-second",
        "tasks due in the same second become pending by their exact time, not by their id",
    ),
    (
        LockOnConflict,
        "lock-on-conflict",
        "no uniqueness lock is taken for a task whose id is taken",
    ),
    (
        ConflictBeforeDuplicate,
        "conflict-before-duplicate",
        "a task that is refused for its id and for its lock is refused for its id",
    ),
    (
        ScheduledGroup,
        "scheduled-group",
        "a task with a group and a delay goes to its group when it is due; Go forgets the group",
    ),
    (
        GroupListed,
        "group-listed",
        "a group that tasks come back to is listed, so that an aggregator finds it",
    ),
    (
        GroupUniqueKey,
        "group-unique-key",
        "a unique task in a group notes its lock, so that the lock can be freed",
    ),
    (
        MergeFreesLocks,
        "merge-frees-locks",
        "merging a group frees the locks of its tasks",
    ),
    (
        LateMerge,
        "late-merge",
        "a set that has gone back to its group cannot be merged any more; Go would merge its tasks twice",
    ),
    (
        RequeuePendingSince,
        "requeue-pending-since",
        "a task that is put back says since when it is pending, so that the queue's latency is right",
    ),
    (
        RetryByItself,
        "retry-by-itself",
        "a task of a group that was run by itself and failed is retried by itself; Go puts it back in its group",
    ),
    (
        ArchiveTrim,
        "archive-trim",
        "the archive is trimmed by the janitor, with the locks of what goes; Go trims while archiving, which can fail for good",
    ),
    (
        LeaseGrace,
        "lease-grace",
        "a lease of ours is by the broker's clock and needs no grace; those of Go workers get Go's 30 s",
    ),
    (
        Fence,
        "fence",
        "a worker whose task was taken over cannot finish the attempt of its successor",
    ),
    (
        ZombieResult,
        "zombie-result",
        "a result of a worker that lost its task is not stored; Go makes the remains of a task of it",
    ),
    (
        CounterExpiry,
        "counter-expiry",
        "daily counters expire 90 days after they begin by the clock of Redis, not of the worker",
    ),
    (
        ReadOnlyListing,
        "read-only-listing",
        "listing servers deletes nothing; Go removes what has expired",
    ),
];

/// How often each difference was met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Met(pub(crate) BTreeMap<Difference, u64>);

impl Met {
    pub(crate) fn note(&mut self, difference: Difference) {
        *self.0.entry(difference).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Met) {
        for (difference, count) in &other.0 {
            *self.0.entry(*difference).or_default() += count;
        }
    }

    pub(crate) fn print(&self) {
        for (difference, name, reason) in TABLE {
            let count = self.0.get(&difference).copied().unwrap_or(0);
            println!("  {count:>9} × {name:<26} {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_describes_every_difference() {
        let page = include_str!("../../docs/compatibility.md");
        for (_, name, _) in TABLE {
            assert!(page.contains(&format!("`{name}`")), "{name} is not described");
        }
    }
}
