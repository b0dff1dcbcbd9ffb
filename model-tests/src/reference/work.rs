//! Taking tasks out, and what becomes of them.

use std::time::Duration;

use asynq_core::Timestamp;
use asynq_core::broker::Settlement;

use crate::operation::{Answer, LEASE, Taken};

use super::{DAY, Lease, Model, Place, Task, is_active};

impl Model {
    pub(super) fn dequeue(&mut self, queues: &[usize], max: usize) -> Answer {
        let mut taken = Vec::new();
        for queue in queues.iter().filter(|queue| !self.paused.contains(queue)) {
            let pending = self.listed(*queue, |place| matches!(place, Place::Pending { .. }));
            taken.extend(pending.into_iter().take(max - taken.len()));
        }
        for task in &taken {
            let lease = self.leases.len();
            let new = &self.tasks[*task].new;
            self.leases.push(Lease {
                queue: new.queue,
                id: new.id,
                nonce: 0,
            });
            self.put(
                *task,
                Place::Active {
                    lease,
                    started: false,
                    cancel: false,
                },
                self.lease_end(),
            );
        }
        let told = |task: usize| Taken {
            queue: self.tasks[task].new.queue,
            id: self.tasks[task].new.id.to_string(),
            leased_at: self.now,
            expires_at: self.tasks[task].at,
        };
        Answer::Taken(taken.into_iter().map(told).collect())
    }

    pub(super) fn lease_end(&self) -> Timestamp {
        self.ways.rounded_down(self.now.saturating_add(LEASE))
    }

    /// The task of a lease, if it is still held.
    pub(super) fn holder(&self, lease: usize) -> Option<usize> {
        let number = lease % self.leases.len().max(1);
        let lease = self.leases.get(number)?;
        let found = self.find(lease.queue, lease.id)?;
        let holds = |place| matches!(place, Place::Active { lease, .. } if lease == number);
        holds(self.tasks[found].place).then_some(found)
    }

    pub(super) fn extend(&mut self, lease: usize) -> Answer {
        if self.leases.is_empty() {
            return Answer::Nothing;
        }
        let end = self.lease_end();
        let Some(task) = self.holder(lease) else {
            return Answer::Extended(None);
        };
        let task = &mut self.tasks[task];
        (task.at, task.lost) = (end, 0);
        let Place::Active { started, cancel, .. } = &mut task.place else {
            unreachable!("it is held");
        };
        *started = true;
        Answer::Extended(Some((end, *cancel)))
    }

    pub(super) fn settle(&mut self, number: usize, settlement: &Settlement) {
        let now = self.now;
        let second = Timestamp::from_unix_seconds(now.unix_seconds());
        let task = &mut self.tasks[number];
        let queue = task.new.queue;
        task.lost = match settlement {
            Settlement::Requeue { lost: true } => task.lost + 1,
            _ => 0,
        };
        if let Settlement::Retry { error, .. } | Settlement::Archive { error } = settlement {
            (task.error, task.failed_at) = (error.clone(), Some(second));
        }
        match settlement {
            Settlement::Done { result } if task.new.retention > 0 => {
                task.result = result.as_ref().map(|bytes| bytes[0]).or(task.result);
                task.completed_at = Some(second);
                let until = second.saturating_add(Duration::from_secs(task.new.retention));
                self.release(number);
                self.put(number, Place::Completed, until);
                self.count(queue, false);
            }
            Settlement::Done { .. } | Settlement::Drop => {
                self.delete(number);
                self.count(queue, false);
            }
            Settlement::Retry {
                delay, is_failure, ..
            } => {
                task.retried += u32::from(*is_failure);
                self.put(number, Place::Retry, now.saturating_add(*delay));
                if *is_failure {
                    self.count(queue, true);
                }
            }
            Settlement::Snooze { delay } => {
                task.new.group = None;
                self.put(number, Place::Scheduled, now.saturating_add(*delay));
            }
            Settlement::Archive { .. } => {
                self.put(number, Place::Archived, second);
                self.count(queue, true);
            }
            Settlement::Requeue { .. } => {
                self.put_pending(number);
                // Before all others.
                self.tasks[number].order *= -1;
            }
        }
    }

    pub(super) fn count(&mut self, queue: usize, is_failure: bool) {
        for day in [self.now.unix_seconds().div_euclid(DAY), -1] {
            let (processed, failed) = self.attempts.entry((queue, day)).or_default();
            *processed += 1;
            *failed += u64::from(is_failure);
        }
    }

    pub(super) fn cancel(&mut self, queue: Option<usize>, id: u8) -> Answer {
        if queue.is_none() && !self.ways.stores_cancellation_for_all_queues() {
            return Answer::Nothing;
        }
        for task in &mut self.tasks {
            if let Place::Active { cancel, .. } = &mut task.place
                && task.new.id == id
                && queue.is_none_or(|queue| queue == task.new.queue)
            {
                *cancel = true;
            }
        }
        Answer::Nothing
    }

    pub(super) fn expired(&self, queue: usize) -> Vec<usize> {
        let mut active = self.listed(queue, is_active);
        active.retain(|task| self.is_orphaned(&self.tasks[*task]));
        active
    }

    pub(super) fn is_orphaned(&self, task: &Task) -> bool {
        match task.place {
            Place::Active { lease, .. } => self.ways.has_ended(task.at, self.leases[lease].nonce, self.now),
            _ => false,
        }
    }

    pub(super) fn show_expired(&self, queue: usize, limit: usize) -> Answer {
        let seen = |task: &usize| {
            let task = &self.tasks[*task];
            let started = matches!(task.place, Place::Active { started: true, .. });
            (task.new.id.to_string(), started, task.lost)
        };
        let end = |task: &Task| match task.place {
            Place::Active { lease, .. } => Some(self.ways.told_end(task.at, self.leases[lease].nonce)),
            _ => None,
        };
        let held = self
            .listed(queue, is_active)
            .into_iter()
            .map(|task| &self.tasks[task]);
        let next = held.filter(|task| !self.is_orphaned(task)).filter_map(end).min();
        Answer::Expired(self.expired(queue).iter().take(limit).map(seen).collect(), next)
    }
}
