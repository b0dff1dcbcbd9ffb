use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{Dequeued, Extension, Finish, Finished, Leased};
use asynq_core::{BrokerError, Dequeue, LeaseKey, QueueName, Signals, TaskMessage};
use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::broker::SqliteBroker;
use crate::finish::Settle;
use crate::queue::set_aside;
use crate::row::{Undecodable, message, message_columns};
use crate::watch;
use crate::writer::{Operation, Transaction};

/// The same as on Redis, where they are the fraction of a lease's score.
const NONCES: std::ops::Range<u32> = 1..1 << 20;

#[async_trait]
impl Dequeue for SqliteBroker {
    async fn dequeue(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        if queues.is_empty() || max == 0 {
            return Ok(Dequeued::default());
        }
        match self.take(queues, max, lease).await {
            // It may be one queue's trouble.
            Err(BrokerError::Corrupt { .. } | BrokerError::Other { .. }) => {
                Ok(self.take_one_by_one(queues, max, lease).await)
            }
            taken => taken,
        }
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, BrokerError> {
        if finishes.is_empty() {
            return Ok(Vec::new());
        }
        self.write(Settle(finishes.to_vec())).await
    }

    async fn extend(&self, leases: &[LeaseKey], lease: Duration) -> Result<Vec<Extension>, BrokerError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let leases = leases.to_vec();
        self.write(Extend { leases, lease }).await
    }

    async fn write_result(&self, lease: &LeaseKey, result: Bytes) -> Result<bool, BrokerError> {
        let key = lease.clone();
        self.write(WriteResult { key, result }).await
    }

    async fn watch(&self, queues: &[QueueName], signals: &Signals) -> Result<(), BrokerError> {
        watch::watch(self, queues, signals).await
    }
}

impl SqliteBroker {
    async fn take(&self, queues: &[QueueName], max: usize, lease: Duration) -> Result<Dequeued, BrokerError> {
        let queues = queues.to_vec();
        self.write(Take { queues, max, lease }).await
    }

    /// Each queue in a transaction of its own, so that one that is damaged does not stop the others.
    async fn take_one_by_one(&self, queues: &[QueueName], max: usize, lease: Duration) -> Dequeued {
        let mut all = Dequeued::default();
        for queue in queues {
            let wanted = max - all.tasks.len();
            if wanted == 0 {
                break;
            }
            match self.take(std::slice::from_ref(queue), wanted, lease).await {
                Ok(taken) => all.tasks.extend(taken.tasks),
                Err(error) => all.errors.push((queue.clone(), error)),
            }
        }
        all
    }
}

struct Take {
    queues: Vec<QueueName>,
    max: usize,
    lease: Duration,
}

#[async_trait]
impl Operation for Take {
    type Answer = Dequeued;

    fn name(&self) -> &'static str {
        "dequeue"
    }

    fn queue(&self) -> Option<&QueueName> {
        match &self.queues[..] {
            [queue] => Some(queue),
            _ => None,
        }
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Dequeued, sqlx::Error> {
        let nonce = fastrand::u32(NONCES);
        let mut dequeued = Dequeued::default();
        for queue in &self.queues {
            while dequeued.tasks.len() < self.max {
                let wanted = self.max - dequeued.tasks.len();
                let taken = self.take_from(transaction, queue, wanted, nonce).await?;
                dequeued.tasks.extend(taken.tasks);
                if !taken.had_damaged {
                    break;
                }
            }
        }
        Ok(dequeued)
    }
}

const TAKE: &str = concat!(
    "UPDATE asynq_tasks
    SET state = 'active', at = ?3, since = ?4, nonce = ?5, started = 0, cancel = 0
    WHERE number IN (
        SELECT number FROM asynq_tasks WHERE queue = ?1 AND state = 'pending' ORDER BY at, place LIMIT ?2)
    AND NOT EXISTS (SELECT 1 FROM asynq_queues WHERE name = ?1 AND paused = 1)
    RETURNING number, place, ",
    message_columns!()
);

/// What a queue gave.
struct Taken {
    tasks: Vec<Leased>,
    /// Some could not be decoded, so there may be others in their stead.
    had_damaged: bool,
}

impl Take {
    async fn take_from(
        &self,
        transaction: &mut Transaction,
        queue: &QueueName,
        wanted: usize,
        nonce: u32,
    ) -> Result<Taken, sqlx::Error> {
        let now = transaction.now;
        let expires = now.saturating_add(self.lease);
        let mut rows = sqlx::query(TAKE)
            .bind(queue.as_str())
            .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
            .bind(expires.unix_micros())
            .bind(now.unix_micros())
            .bind(i64::from(nonce))
            .fetch_all(&mut transaction.connection)
            .await?;
        // An update gives its rows in any order.
        rows.sort_by_key(|row| row.try_get::<i64, _>("place").unwrap_or(0));
        let decoded = decode_or_set_aside(transaction, queue, &rows, message).await?;
        let had_damaged = decoded.len() < rows.len();
        let lease = |message: TaskMessage| Leased {
            key: LeaseKey {
                queue: queue.clone(),
                id: message.id.clone(),
                nonce,
            },
            message: Arc::new(message),
            leased_at: now,
            expires_at: expires,
        };
        let tasks = decoded.into_iter().map(lease).collect();
        Ok(Taken { tasks, had_damaged })
    }
}

/// What the rows hold, without those that cannot be decoded: these are archived.
pub(crate) async fn decode_or_set_aside<T>(
    transaction: &mut Transaction,
    queue: &QueueName,
    rows: &[SqliteRow],
    decode: impl Fn(&SqliteRow) -> Result<T, Undecodable>,
) -> Result<Vec<T>, sqlx::Error> {
    let mut decoded = Vec::with_capacity(rows.len());
    for row in rows {
        match decode(row) {
            Ok(one) => decoded.push(one),
            Err(reason) => aside(transaction, queue, row, &reason).await?,
        }
    }
    Ok(decoded)
}

async fn aside(
    transaction: &mut Transaction,
    queue: &QueueName,
    row: &SqliteRow,
    reason: &Undecodable,
) -> Result<(), sqlx::Error> {
    let number = row.try_get("number")?;
    set_aside(
        &mut transaction.connection,
        queue,
        number,
        reason,
        transaction.now,
    )
    .await
}

struct Extend {
    leases: Vec<LeaseKey>,
    lease: Duration,
}

const EXTEND: &str = "UPDATE asynq_tasks SET at = ?4, started = 1, lost = 0
    WHERE queue = ?1 AND id = ?2 AND state = 'active' AND nonce = ?3
    RETURNING cancel";

#[async_trait]
impl Operation for Extend {
    type Answer = Vec<Extension>;

    fn name(&self) -> &'static str {
        "extend"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Vec<Extension>, sqlx::Error> {
        let expires_at = transaction.now.saturating_add(self.lease);
        let mut extensions = Vec::with_capacity(self.leases.len());
        for key in &self.leases {
            let held = sqlx::query(EXTEND)
                .bind(key.queue.as_str())
                .bind(key.id.as_str())
                .bind(i64::from(key.nonce))
                .bind(expires_at.unix_micros())
                .fetch_optional(&mut transaction.connection)
                .await?;
            extensions.push(match held {
                Some(row) => Extension::Held {
                    expires_at,
                    cancel: row.try_get(0)?,
                },
                None => Extension::Lost,
            });
        }
        Ok(extensions)
    }
}

struct WriteResult {
    key: LeaseKey,
    result: Bytes,
}

const WRITE_RESULT: &str = "UPDATE asynq_tasks SET result = ?4
    WHERE queue = ?1 AND id = ?2 AND state = 'active' AND nonce = ?3";

#[async_trait]
impl Operation for WriteResult {
    type Answer = bool;

    fn name(&self) -> &'static str {
        "write a result"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.key.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
        let written = sqlx::query(WRITE_RESULT)
            .bind(self.key.queue.as_str())
            .bind(self.key.id.as_str())
            .bind(i64::from(self.key.nonce))
            .bind(&self.result[..])
            .execute(&mut transaction.connection)
            .await?;
        Ok(written.rows_affected() > 0)
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![TAKE, EXTEND, WRITE_RESULT]
}
