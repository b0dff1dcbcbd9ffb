//! The plainest program that does what brokers do: a list of tasks that is searched from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use asynq_core::broker::{Applied, Receipt, Settlement};
use asynq_core::{Action, TaskId, TaskState, Timestamp};

use crate::operation::{Answer, New, Operation, START};
use crate::ways::Ways;

mod groups;
mod view;
mod work;

const ARCHIVE_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const DAY: i64 = 24 * 60 * 60;

pub(crate) struct Model {
    ways: Ways,
    now: Timestamp,
    tasks: Vec<Task>,
    /// By queue and payload: holder and end.
    locks: BTreeMap<(usize, u8), (u8, Timestamp)>,
    used: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    /// By queue and day; the day of all days is −1.
    attempts: BTreeMap<(usize, i64), (u64, u64)>,
    /// All that were ever given.
    leases: Vec<Lease>,
    sets: Vec<Set>,
    arrivals: i64,
}

struct Lease {
    queue: usize,
    id: u8,
    /// Drawn by the broker, which has to tell.
    nonce: u32,
}

#[derive(Clone)]
struct Task {
    new: New,
    place: Place,
    /// Orders tasks of a place with [`Task::order`].
    at: Timestamp,
    order: i64,
    holds_lock: bool,
    retried: u32,
    error: String,
    failed_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    result: Option<u8>,
    lost: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Pending {
        since: Timestamp,
    },
    Active {
        lease: usize,
        started: bool,
        cancel: bool,
    },
    Scheduled,
    Retry,
    Archived,
    Completed,
    Group(u8),
    Set(usize),
}

struct Set {
    queue: usize,
    deadline: Timestamp,
}

impl Model {
    pub(crate) fn new(ways: Ways) -> Self {
        Model {
            ways,
            now: START,
            tasks: Vec::new(),
            locks: BTreeMap::new(),
            used: BTreeSet::new(),
            paused: BTreeSet::new(),
            attempts: BTreeMap::new(),
            leases: Vec::new(),
            sets: Vec::new(),
            arrivals: 0,
        }
    }

    pub(crate) fn ways(&self) -> Ways {
        self.ways
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes over which nonces the broker has drawn, for all leases in the order in which they were given.
    pub(crate) fn learn_nonces(&mut self, nonces: impl Iterator<Item = u32>) {
        for (lease, nonce) in self.leases.iter_mut().zip(nonces) {
            lease.nonce = nonce;
        }
    }

    /// The locks that are held: queue, holder and end.
    pub(crate) fn locks(&self) -> impl Iterator<Item = (usize, u8, Timestamp)> {
        let held = self.locks.iter().filter(|(_, (_, end))| self.now < *end);
        held.map(|((queue, _), (holder, end))| (*queue, *holder, *end))
    }

    pub(crate) fn carry_out(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Enqueue(new) => Answer::Receipts(new.iter().map(|new| self.enqueue(new)).collect()),
            Operation::Dequeue { queues, max } => self.dequeue(queues, *max),
            Operation::Finish { finishes } => {
                if self.leases.is_empty() {
                    return Answer::Settled(Vec::new());
                }
                let settle = |(lease, settlement): &(usize, Settlement)| {
                    let found = self.holder(*lease);
                    found.map(|task| self.settle(task, settlement)).is_some()
                };
                Answer::Settled(finishes.iter().map(settle).collect())
            }
            Operation::Extend { lease } => self.extend(*lease),
            Operation::WriteResult { lease, result } => {
                if self.leases.is_empty() {
                    return Answer::Nothing;
                }
                let found = self.holder(*lease);
                if let Some(task) = found {
                    self.tasks[task].result = Some(*result);
                }
                Answer::Yes(found.is_some())
            }
            Operation::Forward { queue } => self.forward(*queue),
            Operation::Expired { queue, limit } => self.show_expired(*queue, *limit),
            Operation::Recover { queue, settlement } => {
                let expired: Vec<u8> = self
                    .expired(*queue)
                    .iter()
                    .map(|task| self.tasks[*task].new.id)
                    .collect();
                for id in &expired {
                    let task = self.find(*queue, *id).unwrap();
                    self.settle(task, settlement);
                }
                Answer::Settled(vec![true; expired.len()])
            }
            Operation::Purge { queue, limit } => self.purge(*queue, *limit),
            Operation::Seal {
                queue,
                group,
                grace,
                max_delay,
                max_size,
            } => self.seal(
                *queue,
                *group,
                *grace,
                *max_delay,
                max_size.filter(|size| *size > 0),
            ),
            Operation::FinishSet { set, merged } => self.finish_set(*set, merged),
            Operation::Reclaim { queue } => self.reclaim(*queue),
            Operation::Reconcile { .. } => Answer::Count(0),
            Operation::Pause { queue } => Answer::Yes(self.paused.insert(*queue)),
            Operation::Resume { queue } => Answer::Yes(self.paused.remove(queue)),
            Operation::Cancel { queue, id } => self.cancel(*queue, *id),
            Operation::Apply { queue, action, ids } => {
                Answer::Applied(ids.iter().map(|id| self.apply(*queue, *action, *id)).collect())
            }
            Operation::Advance(time) => {
                self.now = self.now.saturating_add(*time);
                Answer::Nothing
            }
        }
    }

    fn find(&self, queue: usize, id: u8) -> Option<usize> {
        self.tasks
            .iter()
            .position(|task| task.new.queue == queue && task.new.id == id)
    }

    /// The tasks of a queue in a place, in their order.
    fn listed(&self, queue: usize, is_there: impl Fn(&Place) -> bool) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.tasks.len())
            .filter(|task| self.tasks[*task].new.queue == queue && is_there(&self.tasks[*task].place))
            .collect();
        found.sort_by_key(|task| self.order_of(&self.tasks[*task]));
        found
    }

    fn order_of(&self, task: &Task) -> (i64, i64) {
        let tie = self.ways.tie(task.order, task.new.id);
        match task.place {
            Place::Pending { .. } => (0, task.order),
            Place::Active { lease, .. } => (self.ways.lease_order(task.at, self.leases[lease].nonce), tie),
            _ => (task.at.unix_micros(), tie),
        }
    }

    /// Moves a task behind all others of its new place and time.
    fn put(&mut self, task: usize, place: Place, at: Timestamp) {
        self.arrivals += 1;
        let task = &mut self.tasks[task];
        (task.place, task.at, task.order) = (place, at, self.arrivals);
    }

    fn put_pending(&mut self, task: usize) {
        let since = self.now;
        self.put(task, Place::Pending { since }, Timestamp::EPOCH);
    }

    fn delete(&mut self, task: usize) {
        self.release(task);
        self.tasks.remove(task);
    }

    fn release(&mut self, task: usize) {
        let task = &self.tasks[task];
        let lock = (task.new.queue, task.new.payload);
        if task.holds_lock
            && self
                .locks
                .get(&lock)
                .is_some_and(|(holder, _)| *holder == task.new.id)
        {
            self.locks.remove(&lock);
        }
    }

    fn enqueue(&mut self, new: &New) -> Receipt {
        if let Some(taken) = self.find(new.queue, new.id) {
            let state = Some(self.tasks[taken].place.state());
            return Receipt::IdTaken { state };
        }
        let due = self
            .now
            .saturating_add(Duration::from_secs(new.delay.unwrap_or(0)));
        if let Some(ttl) = new.unique {
            let lock = (new.queue, new.payload);
            if let Some((holder, end)) = self.locks.get(&lock)
                && self.now < *end
            {
                let holder = TaskId::new(holder.to_string()).unwrap();
                return Receipt::Duplicate { holder };
            }
            self.locks
                .insert(lock, (new.id, due.saturating_add(Duration::from_secs(ttl))));
        }
        self.used.insert(new.queue);
        self.store(new, due)
    }

    fn store(&mut self, new: &New, due: Timestamp) -> Receipt {
        let (place, at, next_process_at) = if due > self.now {
            (Place::Scheduled, due, Some(due))
        } else if let Some(group) = new.group {
            (Place::Group(group), self.ways.rounded_down(self.now), None)
        } else {
            (
                Place::Pending { since: self.now },
                Timestamp::EPOCH,
                Some(self.now),
            )
        };
        self.tasks.push(Task {
            new: new.clone(),
            place,
            at,
            order: 0,
            holds_lock: new.unique.is_some(),
            retried: 0,
            error: String::new(),
            failed_at: None,
            completed_at: None,
            result: None,
            lost: 0,
        });
        self.put(self.tasks.len() - 1, place, at);
        Receipt::Accepted {
            state: place.state(),
            next_process_at,
        }
    }

    fn forward(&mut self, queue: usize) -> Answer {
        let is_waiting = |place: &Place| matches!(place, Place::Scheduled | Place::Retry);
        let mut due = self.listed(queue, is_waiting);
        due.retain(|task| self.tasks[*task].at <= self.now);
        if self.ways.forwards_scheduled_first() {
            due.sort_by_key(|task| self.tasks[*task].place == Place::Retry);
        }
        for task in &due {
            match self.tasks[*task].new.group {
                Some(group) if self.tasks[*task].place == Place::Scheduled => {
                    self.put(*task, Place::Group(group), self.ways.rounded_down(self.now));
                }
                _ => self.put_pending(*task),
            }
        }
        let next_due = self
            .listed(queue, is_waiting)
            .first()
            .map(|task| self.tasks[*task].at);
        Answer::Forwarded {
            moved: due.len(),
            next_due,
            more: false,
        }
    }

    fn apply(&mut self, queue: usize, action: Action, id: u8) -> Applied {
        let Some(task) = self.find(queue, id) else {
            return Applied::NotFound;
        };
        let state = self.tasks[task].place.state();
        if !action.is_for(state) {
            return Applied::WrongState(state);
        }
        if matches!(self.tasks[task].place, Place::Set(_)) {
            return Applied::BeingMerged;
        }
        match action {
            Action::Run => self.put_pending(task),
            Action::Archive => {
                self.tasks[task].lost = 0;
                let second = Timestamp::from_unix_seconds(self.now.unix_seconds());
                self.put(task, Place::Archived, second);
            }
            Action::Delete => self.delete(task),
            Action::Cancel => drop(self.cancel(Some(queue), id)),
        }
        Applied::Done
    }

    fn purge(&mut self, queue: usize, limit: usize) -> Answer {
        let (mut completed, mut archived) = (0, 0);
        loop {
            let kept = self.listed(queue, |place| *place == Place::Completed);
            let old = self.listed(queue, |place| *place == Place::Archived);
            let outdated = kept.first().filter(|task| self.tasks[**task].at <= self.now);
            let too_old = old
                .first()
                .filter(|task| self.tasks[**task].at <= self.now.saturating_sub(ARCHIVE_AGE));
            let Some(task) = outdated.or(too_old) else {
                let is_at_limit = limit > 0 && completed + archived == limit;
                return Answer::Purged {
                    completed,
                    archived,
                    more: is_at_limit && self.ways.says_more_at_limit(),
                };
            };
            if completed + archived == limit {
                return Answer::Purged {
                    completed,
                    archived,
                    more: true,
                };
            }
            match outdated.is_some() {
                true => completed += 1,
                false => archived += 1,
            }
            self.delete(*task);
        }
    }
}

fn is_active(place: &Place) -> bool {
    matches!(place, Place::Active { .. })
}

impl Place {
    fn state(&self) -> TaskState {
        match self {
            Place::Pending { .. } => TaskState::Pending,
            Place::Active { .. } => TaskState::Active,
            Place::Scheduled => TaskState::Scheduled,
            Place::Retry => TaskState::Retry,
            Place::Archived => TaskState::Archived,
            Place::Completed => TaskState::Completed,
            Place::Group(_) | Place::Set(_) => TaskState::Aggregating,
        }
    }
}
