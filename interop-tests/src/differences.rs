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
    HistoryExpiry,
    RunPendingSince,
    DeleteFreesLocks,
    UpdateWaiting,
    UpdateMovesLock,
    CancelChecked,
    QueueIsEmpty,
    QueueDeletedWhole,
    UnlistedQueue,
}

use Difference::{
    ArchiveTrim, CancelChecked, ConflictBeforeDuplicate, CounterExpiry, DeleteFreesLocks, ExactTime,
    ExtraFields, Fence, GroupListed, GroupUniqueKey, HistoryExpiry, LateMerge, LeaseGrace, LeaseNonce,
    LockOnConflict, MergeFreesLocks, OrderWithinSecond, QueueDeletedWhole, QueueIsEmpty, ReadOnlyListing,
    RequeuePendingSince, RetryByItself, RunPendingSince, ScheduledGroup, UnlistedQueue, UpdateMovesLock,
    UpdateWaiting, ZombieResult,
};

/// A row of the table.
pub(crate) struct Row {
    pub(crate) difference: Difference,
    pub(crate) name: &'static str,
    /// The number of Go's defect in our catalogue of them; blank where Go's way is none.
    pub(crate) defect: &'static str,
    pub(crate) reason: &'static str,
}

const fn row(difference: Difference, name: &'static str, defect: &'static str, reason: &'static str) -> Row {
    Row {
        difference,
        name,
        defect,
        reason,
    }
}

/// Every difference, and why it is there.
pub(crate) const TABLE: [Row; 28] = [
    row(
        LeaseNonce,
        "lease-nonce",
        "D6",
        "the fraction of a lease's score names the attempt; its whole seconds are Go's",
    ),
    row(
        ExtraFields,
        "extra-fields",
        "D7, D12, D18",
        "hash fields that Go ignores: due, started, lost, cancel",
    ),
    row(
        ExactTime,
        "exact-time",
        "D12",
        "a time within a second is rounded up in the score and exact in `due`; Go cuts it and is early",
    ),
    row(
        OrderWithinSecond,
        "order-within-second",
        "D12",
        "tasks due in the same second become pending by their exact time, not by their id",
    ),
    row(
        LockOnConflict,
        "lock-on-conflict",
        "D33",
        "no uniqueness lock is taken for a task whose id is taken",
    ),
    row(
        ConflictBeforeDuplicate,
        "conflict-before-duplicate",
        "D33",
        "a task that is refused for its id and for its lock is refused for its id",
    ),
    row(
        ScheduledGroup,
        "scheduled-group",
        "D37",
        "a task with a group and a delay goes to its group when it is due; Go forgets the group",
    ),
    row(
        GroupListed,
        "group-listed",
        "D36, D37",
        "a group that tasks come back to is listed, so that an aggregator finds it",
    ),
    row(
        GroupUniqueKey,
        "group-unique-key",
        "D35",
        "a unique task in a group notes its lock, so that the lock can be freed",
    ),
    row(
        MergeFreesLocks,
        "merge-frees-locks",
        "D35",
        "merging a group frees the locks of its tasks",
    ),
    row(
        LateMerge,
        "late-merge",
        "D38",
        "a set that has gone back to its group cannot be merged any more; Go would merge its tasks twice",
    ),
    row(
        RequeuePendingSince,
        "requeue-pending-since",
        "D22",
        "a task that is put back says since when it is pending, so that the queue's latency is right",
    ),
    row(
        RetryByItself,
        "retry-by-itself",
        "D37",
        "a task of a group that was run by itself and failed is retried by itself; Go puts it back in its group",
    ),
    row(
        ArchiveTrim,
        "archive-trim",
        "D24-D27",
        "the archive is trimmed by the janitor, with the locks of what goes; Go trims while archiving, which can fail for good",
    ),
    row(
        LeaseGrace,
        "lease-grace",
        "D12",
        "a lease of ours is by the broker's clock and needs no grace; those of Go workers get Go's 30 s",
    ),
    row(
        Fence,
        "fence",
        "D6",
        "a worker whose task was taken over cannot finish the attempt of its successor",
    ),
    row(
        ZombieResult,
        "zombie-result",
        "D32",
        "a result of a worker that lost its task is not stored; Go makes the remains of a task of it",
    ),
    row(
        CounterExpiry,
        "counter-expiry",
        "D12",
        "daily counters expire 90 days after they begin by the clock of Redis, not of the worker",
    ),
    row(
        ReadOnlyListing,
        "read-only-listing",
        "",
        "listing servers deletes nothing; Go removes what has expired",
    ),
    row(
        HistoryExpiry,
        "history-expiry",
        "D39",
        "the history of a schedule entry is kept for 90 days after the last event; Go never forgets that of an entry that is gone",
    ),
    row(
        RunPendingSince,
        "run-pending-since",
        "D22",
        "a task that is run by hand says since when it is pending, so that the queue's latency is right",
    ),
    row(
        DeleteFreesLocks,
        "delete-frees-locks",
        "D29",
        "deleting all pending or grouped tasks frees their locks, as deleting one does",
    ),
    row(
        UpdateWaiting,
        "update-waiting",
        "",
        "the payload of any task that waits can be changed; Go changes scheduled ones only",
    ),
    row(
        UpdateMovesLock,
        "update-moves-lock",
        "D34",
        "a lock goes along with the payload that it is for; Go's stays on the old one",
    ),
    row(
        CancelChecked,
        "cancel-checked",
        "D18",
        "cancelling a task that does not run is refused; Go publishes whatever it is given",
    ),
    row(
        QueueIsEmpty,
        "queue-is-empty",
        "D28",
        "a queue with completed or grouped tasks is not empty, and not deleted without force",
    ),
    row(
        QueueDeletedWhole,
        "queue-deleted-whole",
        "D28",
        "nothing of a deleted queue stays: tasks, groups, locks, counters, the pause",
    ),
    row(
        UnlistedQueue,
        "unlisted-queue",
        "D28, D40",
        "a task can be acted on although its queue is on no list; Go's inspector says there is no such queue",
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
        for row in TABLE {
            let count = self.0.get(&row.difference).copied().unwrap_or(0);
            println!(
                "  {count:>9} × {:<24} {:<13} {}",
                row.name, row.defect, row.reason
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_describes_every_difference() {
        let page = include_str!("../../docs/compatibility.md");
        for Row { name, .. } in TABLE {
            assert!(page.contains(&format!("`{name}`")), "{name} is not described");
        }
    }
}
