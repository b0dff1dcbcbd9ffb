use std::time::Duration;

use async_trait::async_trait;

use crate::broker::{
    Expired, ExpiredLease, Forwarded, LeaseKey, Maintain, Now, Purged, ReconcileCursor, Reconciled,
};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};

use super::MemoryBroker;
use super::queue::{List, Place, Queue, Slot};
use super::watch::Change;

/// How many tasks one call forwards: others get their turn at the lock.
const FORWARD_LIMIT: usize = 500;
const ARCHIVE_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const ARCHIVE_SIZE: usize = 10_000;

#[async_trait]
impl Maintain for MemoryBroker {
    async fn forward(&self, queue: &QueueName) -> Result<Forwarded, BrokerError> {
        let now = self.now();
        let mut state = self.state();
        let Some(tasks) = state.queues.get_mut(queue) else {
            return Ok(Forwarded::default());
        };
        let forwarded = tasks.forward(now);
        if forwarded.moved > 0 {
            self.watchers().tell(queue, Change::Pending);
        }
        Ok(forwarded)
    }

    async fn expired(&self, queue: &QueueName, limit: usize) -> Result<Expired, BrokerError> {
        let now = self.now();
        let state = self.state();
        Ok(state
            .queues
            .get(queue)
            .map(|tasks| tasks.expired(queue, limit, now))
            .unwrap_or_default())
    }

    async fn purge(&self, queue: &QueueName, limit: usize) -> Result<Purged, BrokerError> {
        let now = self.now();
        let mut state = self.state();
        Ok(state
            .queues
            .get_mut(queue)
            .map(|tasks| tasks.purge(limit, now))
            .unwrap_or_default())
    }

    async fn reconcile(&self, _: &QueueName, _: ReconcileCursor) -> Result<Reconciled, BrokerError> {
        // Nobody else can write here, so there is nothing to mend.
        Ok(Reconciled::default())
    }
}

impl Queue {
    fn forward(&mut self, now: Timestamp) -> Forwarded {
        let mut moved = 0;
        while moved < FORWARD_LIMIT
            && let Some((slot, id)) = self.next_due()
            && slot.at <= now
        {
            self.forward_one(&id, now);
            moved += 1;
        }
        let next_due = self.next_due().map(|(slot, _)| slot.at);
        Forwarded {
            moved,
            next_due,
            more: next_due.is_some_and(|due| due <= now),
        }
    }

    fn next_due(&self) -> Option<(Slot, TaskId)> {
        let first = |list: &List| list.first_key_value().map(|(slot, id)| (*slot, id.clone()));
        [first(&self.scheduled), first(&self.retry)]
            .into_iter()
            .flatten()
            .min_by_key(|(slot, _)| *slot)
    }

    /// A scheduled task of a group joins it. A retry does not: it has been run by itself and failed by itself.
    fn forward_one(&mut self, id: &TaskId, now: Timestamp) {
        let Some(record) = self.tasks.get(id) else { return };
        match &record.message.group {
            Some(group) if record.place == Place::Scheduled => {
                let place = Place::Group(group.clone());
                let slot = self.slot(now);
                self.place(id, place, slot);
            }
            _ => self.place_pending(id, now),
        }
    }

    fn expired(&self, queue: &QueueName, limit: usize, now: Timestamp) -> Expired {
        let next = self.active.iter().find(|(slot, _)| slot.at > now);
        Expired {
            tasks: self.expired_tasks(queue, limit, now),
            next_expiry: next.map(|(slot, _)| slot.at),
        }
    }

    fn expired_tasks(&self, queue: &QueueName, limit: usize, now: Timestamp) -> Vec<ExpiredLease> {
        self.active
            .iter()
            .take_while(|(slot, _)| slot.at <= now)
            .take(limit)
            .filter_map(|(_, id)| {
                let record = self.tasks.get(id)?;
                let Place::Active(lease) = &record.place else {
                    return None;
                };
                Some(ExpiredLease {
                    key: LeaseKey {
                        queue: queue.clone(),
                        id: id.clone(),
                        nonce: lease.nonce,
                    },
                    message: record.message.clone(),
                    started: lease.started,
                    lost: record.lost,
                })
            })
            .collect()
    }

    fn purge(&mut self, limit: usize, now: Timestamp) -> Purged {
        let mut purged = Purged::default();
        while purged.completed + purged.archived < limit {
            if let Some(id) = self.outdated_completed(now) {
                self.delete(&id);
                purged.completed += 1;
            } else if let Some(id) = self.surplus_archived(now) {
                self.delete(&id);
                purged.archived += 1;
            } else {
                return purged;
            }
        }
        purged.more = self
            .outdated_completed(now)
            .or_else(|| self.surplus_archived(now))
            .is_some();
        purged
    }

    fn outdated_completed(&self, now: Timestamp) -> Option<TaskId> {
        let (ends, id) = self.completed.first_key_value()?;
        (ends.at <= now).then(|| id.clone())
    }

    fn surplus_archived(&self, now: Timestamp) -> Option<TaskId> {
        let (archived, id) = self.archived.first_key_value()?;
        let too_old = archived.at <= now.saturating_sub(ARCHIVE_AGE);
        let too_many = self.archived.len() > ARCHIVE_SIZE;
        (too_old || too_many).then(|| id.clone())
    }
}
