//! Takes tasks out of queues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use asynq_core::broker::{Claim, Dequeued, Extension, Finish, Finished, LeaseKey, Leased};
use asynq_core::{BrokerError, Dequeue, QueueName, Signals, TaskId, TaskMessage, Timestamp};
use bytes::Bytes;
use redis::Value;

use crate::broker::{RedisBroker, locked, micros};
use crate::error::corrupt;
use crate::finish::Quarantine;
use crate::keys::QueueKeys;
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

const OPERATION: &str = "dequeue";
/// A script takes no more than this in one go, so that others get their turn.
const TASKS_PER_CALL: usize = 500;
/// How long to wait before looking again for tasks of a call whose answer was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nonces go up to this: they are the fraction of a lease's score, in 20 bits.
const NONCES: u32 = 1 << 20;

#[async_trait]
impl Dequeue for RedisBroker {
    async fn dequeue(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        let mut dequeued = Dequeued::default();
        if queues.is_empty() || max == 0 {
            return Ok(dequeued);
        }
        // The guards stay until all is done: a caller that drops the call in between has got nothing.
        let mut guards = Vec::new();
        let taken = self
            .take_all(queues, max, lease, &mut dequeued, &mut guards)
            .await;
        if let Err(error) = taken {
            if dequeued.tasks.is_empty() {
                return Err(error);
            }
            tracing::warn!(%error, "only some of the tasks wanted were taken out");
        }
        guards.into_iter().for_each(DoubtGuard::answered);
        Ok(dequeued)
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, BrokerError> {
        self.settle(finishes).await
    }

    async fn extend(&self, leases: &[LeaseKey], lease: Duration) -> Result<Vec<Extension>, BrokerError> {
        self.extend_leases(leases, lease).await
    }

    async fn write_result(&self, lease: &LeaseKey, result: Bytes) -> Result<bool, BrokerError> {
        self.write_result_of(lease, result).await
    }

    async fn watch(&self, queues: &[QueueName], signals: &Signals) -> Result<(), BrokerError> {
        crate::watch::watch(self, queues, signals).await
    }
}

/// A dequeue that may have leased tasks although its answer never came. They carry its nonce.
#[derive(Debug, Clone)]
pub(crate) struct InDoubt {
    nonce: u32,
    queues: Vec<QueueName>,
    /// The second before which its leases cannot end.
    earliest_expiry: i64,
    /// When to look for its leases next.
    look_at: Instant,
    /// After this its leases have expired and it is the recoverer's turn.
    forget_at: Instant,
}

/// Puts a dequeue among those in doubt unless its answer was dealt with: also when the future is dropped.
struct DoubtGuard<'a> {
    broker: &'a RedisBroker,
    doubt: Option<InDoubt>,
}

impl DoubtGuard<'_> {
    fn answered(mut self) {
        self.doubt = None;
    }
}

impl Drop for DoubtGuard<'_> {
    fn drop(&mut self) {
        if let Some(doubt) = self.doubt.take() {
            locked(&self.broker.inner.in_doubt).push(doubt);
        }
    }
}

/// A task as it was found, not yet looked into.
struct Found {
    queue: QueueName,
    id: TaskId,
    message: Bytes,
}

/// What tasks of one call have in common.
struct Taken {
    nonce: u32,
    at: Timestamp,
    expires_at: Timestamp,
}

impl RedisBroker {
    /// First what earlier calls leased without an answer, then from the queues, until there are enough or no more.
    async fn take_all<'a>(
        &'a self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
        dequeued: &mut Dequeued,
        guards: &mut Vec<DoubtGuard<'a>>,
    ) -> Result<(), BrokerError> {
        self.take_those_in_doubt(queues, max, lease, dequeued, guards)
            .await?;
        loop {
            let wanted = (max - dequeued.tasks.len()).min(TASKS_PER_CALL);
            if wanted == 0 {
                return Ok(());
            }
            // Errors of queues are told once, by the last round.
            dequeued.errors.clear();
            let (nonce, mut batch) = (draw_nonce(), Batch::new(OPERATION));
            batch.call(self.dequeue_call(queues, wanted, lease, nonce));
            let (mut items, guard, taken) = self.take(&batch, queues, nonce, lease).await?;
            guards.push(guard);
            let found = read_dequeued(queues, &mut items, &mut dequeued.errors)?;
            let was_full = found.len() == TASKS_PER_CALL;
            self.hand_out(found, &taken, dequeued).await;
            if !was_full {
                return Ok(());
            }
        }
    }

    /// Sends a call that leases tasks under a nonce. Gives its answer, and a guard for as long as nobody has the tasks.
    async fn take(
        &self,
        batch: &Batch,
        queues: &[QueueName],
        nonce: u32,
        lease: Duration,
    ) -> Result<(Items, DoubtGuard<'_>, Taken), BrokerError> {
        let doubt = Some(self.doubt(queues, lease, nonce));
        let guard = DoubtGuard { broker: self, doubt };
        let sent = self.inner.time.sending();
        let answer = match batch.send(&self.inner.link).await {
            Ok(answers) => reply::ok(
                OPERATION,
                queues.first(),
                answers.into_iter().next().unwrap_or_default(),
            ),
            Err(failed) => Err(failed.error),
        };
        match answer {
            Err(error) => {
                if !error.maybe_applied() {
                    guard.answered();
                }
                Err(error)
            }
            Ok(answer) => {
                let mut items = Items::of(OPERATION, answer)?;
                let now = items.timestamp()?;
                self.inner.time.observe(sent, now);
                Ok((items, guard, taken(nonce, now, lease)))
            }
        }
    }

    fn dequeue_call(&self, queues: &[QueueName], max: usize, lease: Duration, nonce: u32) -> Call {
        let mut call = Call::new(&script::DEQUEUE);
        call.arg(self.inner.time.script_argument())
            .number(max)
            .number(micros(lease))
            .number(nonce);
        for queue in queues {
            let keys = QueueKeys::new(queue);
            call.key(keys.pending())
                .key(keys.active())
                .key(keys.lease())
                .key(keys.paused())
                .arg(keys.task_prefix());
        }
        call
    }

    fn doubt(&self, queues: &[QueueName], lease: Duration, nonce: u32) -> InDoubt {
        // Our estimate of the server's time may be a little ahead.
        let earliest = self
            .inner
            .time
            .now()
            .saturating_add(lease)
            .saturating_sub(Duration::from_secs(2));
        InDoubt {
            nonce,
            queues: queues.to_vec(),
            earliest_expiry: earliest.unix_seconds(),
            look_at: Instant::now(),
            forget_at: Instant::now() + lease,
        }
    }

    /// Looks for tasks that earlier calls leased without an answer.
    async fn take_those_in_doubt<'a>(
        &'a self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
        dequeued: &mut Dequeued,
        guards: &mut Vec<DoubtGuard<'a>>,
    ) -> Result<(), BrokerError> {
        let doubts = self.doubts_to_look_into();
        for queue in queues {
            let of_queue: Vec<&InDoubt> = doubts
                .iter()
                .filter(|doubt| doubt.queues.contains(queue))
                .collect();
            let room = (max - dequeued.tasks.len()).min(TASKS_PER_CALL);
            if of_queue.is_empty() || room == 0 {
                continue;
            }
            // Under a new nonce, so that they are not found again while their holder has not started them.
            let (nonce, mut batch) = (draw_nonce(), Batch::new(OPERATION));
            batch.call(self.reclaim_call(&of_queue, queue, room, lease, nonce));
            match self.take(&batch, std::slice::from_ref(queue), nonce, lease).await {
                Ok((mut items, guard, taken)) => {
                    guards.push(guard);
                    let found = read_tasks(queue, &mut items)?;
                    if !found.is_empty() {
                        tracing::info!(%queue, tasks = found.len(), "found tasks of a dequeue whose answer was lost");
                    }
                    self.hand_out(found, &taken, dequeued).await;
                }
                // The queue's own trouble, which the dequeue that follows tells.
                Err(BrokerError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The dequeues whose leases may still be there. They are looked for again and again until they have expired, though
    /// not with each call: the server may have been too slow to answer, and carry the call out later.
    fn doubts_to_look_into(&self) -> Vec<InDoubt> {
        let mut in_doubt = locked(&self.inner.in_doubt);
        if in_doubt.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        in_doubt.retain(|doubt| doubt.forget_at > now);
        let due = in_doubt.iter_mut().filter(|doubt| doubt.look_at <= now);
        due.map(|doubt| {
            doubt.look_at = now + LOOK_EVERY;
            doubt.clone()
        })
        .collect()
    }

    fn reclaim_call(
        &self,
        doubts: &[&InDoubt],
        queue: &QueueName,
        room: usize,
        lease: Duration,
        nonce: u32,
    ) -> Call {
        let keys = QueueKeys::new(queue);
        let earliest_expiry = doubts.iter().map(|doubt| doubt.earliest_expiry).min();
        let mut call = Call::new(&script::RECLAIM_LEASED);
        call.key(keys.lease())
            .arg(self.inner.time.script_argument())
            .number(room)
            .number(micros(lease))
            .number(nonce)
            .number(earliest_expiry.unwrap_or(0))
            .arg(keys.task_prefix());
        for doubt in doubts {
            call.number(doubt.nonce);
        }
        call
    }

    /// Decodes what was found; what cannot be decoded is set aside.
    async fn hand_out(&self, found: Vec<Found>, taken: &Taken, dequeued: &mut Dequeued) {
        let mut undecodable = Vec::new();
        for task in found {
            let key = LeaseKey {
                queue: task.queue,
                id: task.id,
                nonce: taken.nonce,
            };
            match wire::decode_task(task.message, &key.queue, &key.id) {
                Ok(message) => dequeued.tasks.push(leased(key, message, taken)),
                Err(error) => undecodable.push(Quarantine {
                    key,
                    claim: Claim::Holder,
                    reason: error.to_string(),
                }),
            }
        }
        self.quarantine(undecodable).await;
    }
}

fn leased(key: LeaseKey, message: TaskMessage, taken: &Taken) -> Leased {
    Leased {
        key,
        message: Arc::new(message),
        leased_at: taken.at,
        expires_at: taken.expires_at,
    }
}

fn draw_nonce() -> u32 {
    fastrand::u32(1..NONCES)
}

fn taken(nonce: u32, at: Timestamp, lease: Duration) -> Taken {
    Taken {
        nonce,
        at,
        expires_at: expiry(at, lease),
    }
}

/// When a lease ends that was taken or extended at `now`: whole seconds, rounded down.
pub(crate) fn expiry(now: Timestamp, lease: Duration) -> Timestamp {
    Timestamp::from_unix_seconds(now.saturating_add(lease).unix_seconds())
}

/// Reads what `scripts/dequeue.lua` gives for each queue.
fn read_dequeued(
    queues: &[QueueName],
    items: &mut Items,
    errors: &mut Vec<(QueueName, BrokerError)>,
) -> Result<Vec<Found>, BrokerError> {
    let mut found = Vec::new();
    while !items.is_empty() {
        let number = items.count()?;
        let queue = queues
            .get(number)
            .ok_or_else(|| crate::error::unexpected(OPERATION, &Value::Nil))?;
        let error = items.text()?;
        if !error.is_empty() {
            errors.push((queue.clone(), corrupt(OPERATION, queue, error)));
        }
        log_dropped(OPERATION, queue, &mut items.items()?)?;
        found.extend(read_tasks(queue, &mut items.items()?)?);
    }
    Ok(found)
}

fn read_tasks(queue: &QueueName, items: &mut Items) -> Result<Vec<Found>, BrokerError> {
    let mut found = Vec::with_capacity(items.len() / 2);
    while !items.is_empty() {
        found.push(Found {
            queue: queue.clone(),
            id: TaskId::from_stored(items.text()?),
            message: items.bytes()?.unwrap_or_default(),
        });
    }
    Ok(found)
}

/// Says which ids a script took out of a list because there is no task of that id.
pub(crate) fn log_dropped(
    operation: &'static str,
    queue: &QueueName,
    dropped: &mut Items,
) -> Result<(), BrokerError> {
    while !dropped.is_empty() {
        let id = dropped.text()?;
        tracing::warn!(operation, %queue, id, "dropped the id of a task that is not stored");
    }
    Ok(())
}
