use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::broker::{Dequeue, Dequeued, Extension, Finish, Finished, LeaseKey, Leased, Now};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};
use crate::signals::Signals;

use super::queue::{Lease, Place, Queue};
use super::{MemoryBroker, State};

/// Nonces fit the fraction of a lease score on Redis, so that every broker's look the same.
const NONCES: std::ops::Range<u32> = 1..1 << 20;

#[async_trait]
impl Dequeue for MemoryBroker {
    async fn dequeue(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        let now = self.now();
        let nonce = fastrand::u32(NONCES);
        let mut state = self.state();
        let mut dequeued = Dequeued::default();
        for name in queues {
            let Some(queue) = state.queues.get_mut(name) else {
                continue;
            };
            while dequeued.tasks.len() < max
                && let Some(task) = queue.take_next(name, nonce, now, lease)
            {
                dequeued.tasks.push(task);
            }
        }
        Ok(dequeued)
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, BrokerError> {
        let now = self.now();
        let mut state = self.state();
        Ok(finishes
            .iter()
            .map(|finish| self.finish_one(&mut state, finish, now))
            .collect())
    }

    async fn extend(&self, leases: &[LeaseKey], lease: Duration) -> Result<Vec<Extension>, BrokerError> {
        let expires = self.now().saturating_add(lease);
        let mut state = self.state();
        Ok(leases
            .iter()
            .map(|key| extend_one(&mut state, key, expires))
            .collect())
    }

    async fn write_result(&self, lease: &LeaseKey, result: Bytes) -> Result<bool, BrokerError> {
        let mut state = self.state();
        Ok(state
            .queues
            .get_mut(&lease.queue)
            .is_some_and(|queue| queue.write_result(lease, result)))
    }

    async fn watch(&self, queues: &[QueueName], signals: &Signals) -> Result<(), BrokerError> {
        self.watchers().watch(queues, signals).await;
        Ok(())
    }
}

fn extend_one(state: &mut State, key: &LeaseKey, expires: Timestamp) -> Extension {
    state
        .queues
        .get_mut(&key.queue)
        .and_then(|queue| queue.extend(key, expires))
        .map_or(Extension::Lost, |cancel| Extension::Held {
            expires_at: expires,
            cancel,
        })
}

impl Queue {
    fn take_next(
        &mut self,
        queue: &QueueName,
        nonce: u32,
        now: Timestamp,
        lease: Duration,
    ) -> Option<Leased> {
        if self.paused {
            return None;
        }
        let id = self.pending.first_key_value()?.1.clone();
        let message = self.tasks.get(&id)?.message.clone();
        let expires = now.saturating_add(lease);
        self.take(&id, nonce, expires);
        Some(Leased {
            key: LeaseKey {
                queue: queue.clone(),
                id,
                nonce,
            },
            message,
            leased_at: now,
            expires_at: expires,
        })
    }

    fn take(&mut self, id: &TaskId, nonce: u32, expires: Timestamp) {
        let slot = self.slot(expires);
        let lease = Lease {
            nonce,
            started: false,
            cancel: false,
        };
        self.place(id, Place::Active(lease), slot);
    }

    /// Whether the task is to be cancelled; none if the lease is not held any more.
    fn extend(&mut self, key: &LeaseKey, expires: Timestamp) -> Option<bool> {
        let (lease, slot) = self.lease_mut(key)?;
        lease.started = true;
        let cancel = lease.cancel;
        let place = Place::Active(lease.clone());
        self.place(&key.id, place, slot.moved_to(expires));
        if let Some(record) = self.tasks.get_mut(&key.id) {
            record.lost = 0;
        }
        Some(cancel)
    }

    fn write_result(&mut self, key: &LeaseKey, result: Bytes) -> bool {
        let held = self.lease_mut(key).is_some();
        if held && let Some(record) = self.tasks.get_mut(&key.id) {
            record.result = Some(result);
        }
        held
    }
}
