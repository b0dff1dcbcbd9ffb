//! The tasks of one queue, and the moves between their places.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Claim, LeaseKey};
use crate::clock::Timestamp;
use crate::message::{TaskMessage, TaskState};
use crate::names::{GroupName, TaskId};

/// Counters of single days are kept as long as Go asynq keeps them.
const DAYS_COUNTED: i64 = 90;

/// One day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a task stands in its list. Equal times stay in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) at: Timestamp,
    order: i64,
}

impl Slot {
    pub(super) fn new(at: Timestamp, order: i64) -> Slot {
        Slot { at, order }
    }

    /// The same task's slot at another time: it keeps its place among those that came when it came.
    pub(super) fn moved_to(self, at: Timestamp) -> Slot {
        Slot { at, ..self }
    }

    /// When it came, compared with others.
    pub(super) fn order(self) -> i64 {
        self.order
    }
}

/// An ordered list of tasks.
pub(super) type List = BTreeMap<Slot, TaskId>;

/// Where a task is. Kept in its record, so it cannot be in two places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Pending { since: Timestamp },
    Active(Lease),
    Scheduled,
    Retry,
    Archived,
    Completed,
    Group(GroupName),
    Set(Arc<SetName>),
}

/// The lease of an active task. It ends at the time of its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) nonce: u32,
    pub(super) started: bool,
    pub(super) cancel: bool,
}

/// A sealed set. Ordered by deadline, so that those past theirs come first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetName {
    pub(super) deadline: Timestamp,
    pub(super) group: GroupName,
    pub(super) id: String,
}

pub(super) struct Record {
    pub(super) message: Arc<TaskMessage>,
    pub(super) place: Place,
    pub(super) slot: Slot,
    pub(super) result: Option<Bytes>,
    /// How often in a row a worker died before it started the task.
    pub(super) lost: u32,
}

/// Who holds a uniqueness lock, and until when. An expired lock is free.
struct Lock {
    holder: TaskId,
    expires: Timestamp,
}

impl Record {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let message = &self.message;
        let headers = message.headers.iter().map(|(key, value)| key.len() + value.len());
        let texts = message.id.as_str().len() + message.task_type.len() + message.last_error.len();
        let result = self.result.as_ref().map_or(0, Bytes::len);
        size_of::<Record>() + message.payload.len() + texts + result + headers.sum::<usize>()
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) tasks: HashMap<TaskId, Record>,
    pub(super) pending: List,
    pub(super) active: List,
    pub(super) scheduled: List,
    pub(super) retry: List,
    pub(super) archived: List,
    pub(super) completed: List,
    /// Groups with waiting tasks; an emptied one is removed.
    pub(super) groups: BTreeMap<GroupName, List>,
    /// Sealed sets; an emptied one is removed.
    pub(super) sets: BTreeMap<Arc<SetName>, List>,
    locks: HashMap<String, Lock>,
    pub(super) counters: Counters,
    pub(super) paused: bool,
    /// Whether a task was ever enqueued: a queue can be paused before there is one.
    pub(super) exists: bool,
    arrivals: i64,
}

impl Place {
    pub(super) fn state(&self) -> TaskState {
        match self {
            Place::Pending { .. } => TaskState::Pending,
            Place::Active(_) => TaskState::Active,
            Place::Scheduled => TaskState::Scheduled,
            Place::Retry => TaskState::Retry,
            Place::Archived => TaskState::Archived,
            Place::Completed => TaskState::Completed,
            Place::Group(_) | Place::Set(_) => TaskState::Aggregating,
        }
    }
}

impl Queue {
    /// The place in a list behind all others of the same time.
    pub(super) fn slot(&mut self, at: Timestamp) -> Slot {
        self.arrivals += 1;
        Slot {
            at,
            order: self.arrivals,
        }
    }

    /// Pending tasks stand in the order they came, whatever the time.
    pub(super) fn slot_behind_all(&mut self) -> Slot {
        self.slot(Timestamp::EPOCH)
    }

    pub(super) fn slot_before_all(&mut self) -> Slot {
        let mut slot = self.slot(Timestamp::EPOCH);
        slot.order = -slot.order;
        slot
    }

    pub(super) fn insert(&mut self, message: TaskMessage, place: Place, slot: Slot) {
        let id = message.id.clone();
        self.list(&place).insert(slot, id.clone());
        self.exists = true;
        self.tasks.insert(
            id,
            Record {
                message: Arc::new(message),
                place,
                slot,
                result: None,
                lost: 0,
            },
        );
    }

    /// Takes a task out of its list and of the queue, to be put elsewhere.
    pub(super) fn take_out(&mut self, id: &TaskId) -> Option<Record> {
        let record = self.tasks.remove(id)?;
        self.unlist(&record.place, record.slot);
        Some(record)
    }

    /// Puts in what was taken out, where its record says.
    pub(super) fn put(&mut self, id: TaskId, record: Record) {
        self.list(&record.place).insert(record.slot, id.clone());
        self.exists = true;
        self.tasks.insert(id, record);
    }

    /// Moves a task from wherever it is.
    pub(super) fn place(&mut self, id: &TaskId, place: Place, slot: Slot) {
        let Some(record) = self.tasks.get_mut(id) else {
            return;
        };
        let old_slot = std::mem::replace(&mut record.slot, slot);
        let old_place = std::mem::replace(&mut record.place, place.clone());
        self.unlist(&old_place, old_slot);
        self.list(&place).insert(slot, id.clone());
    }

    /// Makes a task pending, behind all others.
    pub(super) fn place_pending(&mut self, id: &TaskId, now: Timestamp) {
        let slot = self.slot_behind_all();
        self.place(id, Place::Pending { since: now }, slot);
    }

    /// Deletes a task wherever it is and releases its uniqueness lock.
    pub(super) fn delete(&mut self, id: &TaskId) {
        self.release(id);
        if let Some(record) = self.tasks.remove(id) {
            self.unlist(&record.place, record.slot);
        }
    }

    fn list(&mut self, place: &Place) -> &mut List {
        match place {
            Place::Pending { .. } => &mut self.pending,
            Place::Active(_) => &mut self.active,
            Place::Scheduled => &mut self.scheduled,
            Place::Retry => &mut self.retry,
            Place::Archived => &mut self.archived,
            Place::Completed => &mut self.completed,
            Place::Group(group) => self.groups.entry(group.clone()).or_default(),
            Place::Set(set) => self.sets.entry(set.clone()).or_default(),
        }
    }

    fn unlist(&mut self, place: &Place, slot: Slot) {
        let list = self.list(place);
        list.remove(&slot);
        if !list.is_empty() {
            return;
        }
        match place {
            Place::Group(group) => drop(self.groups.remove(group)),
            Place::Set(set) => drop(self.sets.remove(set)),
            _ => {}
        }
    }

    /// The lease of a task and when it ends, if `key` is the right to act on it.
    pub(super) fn lease_mut(&mut self, key: &LeaseKey) -> Option<(&mut Lease, Slot)> {
        let record = self.tasks.get_mut(&key.id)?;
        match &mut record.place {
            Place::Active(lease) if lease.nonce == key.nonce => Some((lease, record.slot)),
            _ => None,
        }
    }

    // Holders without nonce, to whom an expired claim gives thirty seconds more, do not exist here: everybody who takes
    // a task out of this broker draws one.
    pub(super) fn claim_holds(&mut self, key: &LeaseKey, claim: Claim, now: Timestamp) -> bool {
        self.lease_mut(key).is_some_and(|(_, slot)| match claim {
            Claim::Holder => true,
            Claim::Expired => slot.at <= now,
        })
    }

    /// Who holds a uniqueness lock now.
    pub(super) fn holder(&self, unique_key: &str, now: Timestamp) -> Option<&TaskId> {
        let lock = self.locks.get(unique_key)?;
        (now < lock.expires).then_some(&lock.holder)
    }

    /// Until when this task holds the lock, if it does.
    pub(super) fn lock_held_by(&self, unique_key: &str, id: &TaskId, now: Timestamp) -> Option<Timestamp> {
        let lock = self.locks.get(unique_key)?;
        (lock.holder == *id && now < lock.expires).then_some(lock.expires)
    }

    pub(super) fn lock(&mut self, unique_key: String, holder: TaskId, expires: Timestamp) {
        self.locks.insert(unique_key, Lock { holder, expires });
    }

    /// Releases the lock that a task took, unless it expired and is another's by now.
    pub(super) fn release(&mut self, id: &TaskId) {
        let unique_key = self
            .tasks
            .get(id)
            .and_then(|record| record.message.unique_key.as_ref());
        if let Some(unique_key) = unique_key
            && self.locks.get(unique_key).is_some_and(|lock| lock.holder == *id)
        {
            self.locks.remove(unique_key);
        }
    }
}

/// Attempts, failed or not, by UTC day and ever.
#[derive(Default)]
pub(super) struct Counters {
    days: BTreeMap<i64, Attempts>,
    pub(super) total: Attempts,
}

#[derive(Default, Clone, Copy)]
pub(super) struct Attempts {
    pub(super) processed: u64,
    pub(super) failed: u64,
}

impl Counters {
    pub(super) fn count(&mut self, now: Timestamp, failed: bool) {
        let today = utc_day(now);
        self.days = self.days.split_off(&(today - DAYS_COUNTED));
        for attempts in [self.days.entry(today).or_default(), &mut self.total] {
            attempts.processed += 1;
            attempts.failed += u64::from(failed);
        }
    }

    pub(super) fn today(&self, now: Timestamp) -> Attempts {
        self.days.get(&utc_day(now)).copied().unwrap_or_default()
    }
}

fn utc_day(time: Timestamp) -> i64 {
    time.unix_seconds().div_euclid(DAY.as_secs() as i64)
}
