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
/// Nonces go up to this: they are the fraction of a lease's score, in 20 bits.
pub(crate) const NONCES: u32 = 1 << 20;

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
        self.take_those_in_doubt(queues, max, lease, &mut dequeued)
            .await?;
        let max = max - dequeued.tasks.len();
        if max > 0
            && let Err(error) = self.take(queues, max, lease, &mut dequeued).await
        {
            // What was found again has to be given to the caller.
            if dequeued.tasks.is_empty() {
                return Err(error);
            }
            tracing::warn!(%error, "only tasks of an earlier, unanswered call were taken out");
        }
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
    async fn take(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
        dequeued: &mut Dequeued,
    ) -> Result<(), BrokerError> {
        let nonce = fastrand::u32(1..NONCES);
        let mut batch = Batch::new(OPERATION);
        batch.call(self.dequeue_call(queues, max, lease, nonce));
        let guard = DoubtGuard {
            broker: self,
            doubt: Some(self.doubt(queues, lease, nonce)),
        };
        let sent = self.inner.time.sending();
        let answer = match batch.send(&self.inner.link).await {
            Ok(answers) => reply::ok(OPERATION, None, answers.into_iter().next().unwrap_or_default()),
            Err(failed) => Err(failed.error),
        };
        let answer = match answer {
            Err(error) if error.maybe_applied() => return Err(error),
            Err(error) => {
                guard.answered();
                return Err(error);
            }
            Ok(answer) => answer,
        };
        let mut items = Items::of(OPERATION, answer)?;
        let now = items.timestamp()?;
        self.inner.time.observe(sent, now);
        let found = read_dequeued(queues, &mut items, &mut dequeued.errors)?;
        self.hand_out(found, &taken(nonce, now, lease), dequeued).await;
        guard.answered();
        Ok(())
    }

    fn dequeue_call(&self, queues: &[QueueName], max: usize, lease: Duration, nonce: u32) -> Call {
        let mut call = Call::new(&script::DEQUEUE);
        call.arg(self.inner.time.script_argument())
            .number(max.min(TASKS_PER_CALL))
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
            forget_at: Instant::now() + lease,
        }
    }

    /// Looks for tasks that earlier calls leased without an answer.
    async fn take_those_in_doubt(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
        dequeued: &mut Dequeued,
    ) -> Result<(), BrokerError> {
        let doubts: Vec<InDoubt> = {
            let mut in_doubt = locked(&self.inner.in_doubt);
            let now = Instant::now();
            // They stay for a while although they have been looked for: the server may have been too slow to answer,
            // and carry the call out later.
            in_doubt.retain(|doubt| doubt.forget_at > now);
            in_doubt.clone()
        };
        for doubt in doubts {
            for queue in doubt.queues.iter().filter(|queue| queues.contains(queue)) {
                let room = max - dequeued.tasks.len();
                if room > 0 {
                    self.reclaim_leased(&doubt, queue, room, lease, dequeued).await?;
                }
            }
        }
        Ok(())
    }

    async fn reclaim_leased(
        &self,
        doubt: &InDoubt,
        queue: &QueueName,
        room: usize,
        lease: Duration,
        dequeued: &mut Dequeued,
    ) -> Result<(), BrokerError> {
        let keys = QueueKeys::new(queue);
        let mut call = Call::new(&script::RECLAIM_LEASED);
        call.key(keys.lease())
            .arg(self.inner.time.script_argument())
            .number(room.min(TASKS_PER_CALL))
            .number(micros(lease))
            .number(doubt.nonce)
            .number(doubt.earliest_expiry)
            .arg(keys.task_prefix());
        let mut batch = Batch::new(OPERATION);
        batch.call(call);
        // Found again but given to nobody is in doubt still: the entry stays in the list.
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let mut items = match reply::ok(OPERATION, Some(queue), answer) {
            Ok(answer) => Items::of(OPERATION, answer)?,
            Err(error) => {
                dequeued.errors.push((queue.clone(), error));
                return Ok(());
            }
        };
        let now = items.timestamp()?;
        let found = read_tasks(queue, &mut items)?;
        if !found.is_empty() {
            tracing::info!(%queue, tasks = found.len(), "found tasks of a dequeue whose answer was lost");
        }
        self.hand_out(found, &taken(doubt.nonce, now, lease), dequeued)
            .await;
        Ok(())
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
