use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{ExpiredLease, Forwarded, Purged, ReconcileCursor, Reconciled};
use asynq_core::{BrokerError, LeaseKey, Maintain, Now, QueueName, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::dequeue::decode_or_set_aside;
use crate::error::broker_error;
use crate::queue::{places, release, utc_day};
use crate::row::{Undecodable, message, message_columns, small, value};
use crate::writer::{Operation, Transaction};

/// How many tasks one call forwards: others get their turn at the lock.
const FORWARD_LIMIT: i64 = 500;
const ARCHIVE_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const ARCHIVE_SIZE: i64 = 10_000;
/// Counters of single days are kept as long as Go asynq keeps them.
const DAYS_COUNTED: i64 = 90;

#[async_trait]
impl Maintain for SqliteBroker {
    async fn forward(&self, queue: &QueueName) -> Result<Forwarded, BrokerError> {
        self.write(Forward { queue: queue.clone() }).await
    }

    async fn expired(&self, queue: &QueueName, limit: usize) -> Result<Vec<ExpiredLease>, BrokerError> {
        const OPERATION: &str = "find expired leases";
        let failed = |error| broker_error(OPERATION, Some(queue), error);
        let mut reader = self.reader(OPERATION).await?;
        let rows = expired(&mut reader, queue, self.now(), limit)
            .await
            .map_err(failed)?;
        let leases: Result<Vec<_>, _> = rows.iter().map(|row| expired_lease(queue, row)).collect();
        match leases {
            Ok(leases) => Ok(leases),
            // Looked at again by who may write.
            Err(Undecodable(_)) => {
                self.write(SetAsideExpired {
                    queue: queue.clone(),
                    limit,
                })
                .await
            }
        }
    }

    async fn purge(&self, queue: &QueueName, limit: usize) -> Result<Purged, BrokerError> {
        let queue = queue.clone();
        self.write(Purge { queue, limit }).await
    }

    async fn reconcile(&self, queue: &QueueName, _: ReconcileCursor) -> Result<Reconciled, BrokerError> {
        self.write(Reconcile { queue: queue.clone() }).await
    }
}

struct Forward {
    queue: QueueName,
}

const NEXT_DUE: &str = "SELECT min(at) FROM (
    SELECT min(at) AS at FROM asynq_tasks WHERE queue = ?1 AND state = 'scheduled'
    UNION ALL
    SELECT min(at) AS at FROM asynq_tasks WHERE queue = ?1 AND state = 'retry')";
// A scheduled task of a group joins it. A retry does not: it has been run by itself and failed by itself.
const FORWARD: &str = "UPDATE asynq_tasks
    SET state = iif(state = 'scheduled' AND group_name IS NOT NULL, 'aggregating', 'pending'),
        at = iif(state = 'scheduled' AND group_name IS NOT NULL, ?2, 0),
        place = ?3 + due.row, since = ?2
    FROM (
        SELECT due_number, row_number() OVER (ORDER BY due_at, due_place) - 1 AS row FROM (
            SELECT * FROM (
                SELECT number AS due_number, at AS due_at, place AS due_place FROM asynq_tasks
                WHERE queue = ?1 AND state = 'scheduled' AND at <= ?2 ORDER BY at, place LIMIT ?4)
            UNION ALL
            SELECT * FROM (
                SELECT number, at, place FROM asynq_tasks
                WHERE queue = ?1 AND state = 'retry' AND at <= ?2 ORDER BY at, place LIMIT ?4)
            ORDER BY 2, 3 LIMIT ?4)) AS due
    WHERE number = due.due_number";

#[async_trait]
impl Operation for Forward {
    type Answer = Forwarded;

    fn name(&self) -> &'static str {
        "forward"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Forwarded, sqlx::Error> {
        let now = transaction.now;
        let mut next_due = next_due(&mut transaction.connection, &self.queue).await?;
        let mut moved = 0;
        if next_due.is_some_and(|due| due <= now) {
            moved = self.forward(&mut transaction.connection, now).await?;
            transaction.changes.pending(&self.queue);
            next_due = self::next_due(&mut transaction.connection, &self.queue).await?;
        }
        Ok(Forwarded {
            moved,
            next_due,
            more: next_due.is_some_and(|due| due <= now),
        })
    }
}

impl Forward {
    async fn forward(&self, connection: &mut SqliteConnection, now: Timestamp) -> Result<usize, sqlx::Error> {
        let first_place = places(connection, &self.queue, FORWARD_LIMIT).await?;
        let moved = sqlx::query(FORWARD)
            .bind(self.queue.as_str())
            .bind(now.unix_micros())
            .bind(first_place)
            .bind(FORWARD_LIMIT)
            .execute(connection)
            .await?;
        Ok(usize::try_from(moved.rows_affected()).unwrap_or(usize::MAX))
    }
}

pub(crate) async fn next_due(
    connection: &mut SqliteConnection,
    queue: &QueueName,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let row = sqlx::query(NEXT_DUE)
        .bind(queue.as_str())
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(Timestamp::from_unix_micros))
}

const EXPIRED: &str = concat!(
    "SELECT number, nonce, started, lost, ",
    message_columns!(),
    " FROM asynq_tasks WHERE queue = ?1 AND state = 'active' AND at <= ?2 ORDER BY at, place LIMIT ?3"
);

async fn expired(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query(EXPIRED)
        .bind(queue.as_str())
        .bind(now.unix_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
}

fn expired_lease(queue: &QueueName, row: &SqliteRow) -> Result<ExpiredLease, Undecodable> {
    let message = Arc::new(message(row)?);
    Ok(ExpiredLease {
        key: LeaseKey {
            queue: queue.clone(),
            id: message.id.clone(),
            nonce: small(row, "nonce")?,
        },
        message,
        started: value(row, "started")?,
        lost: small(row, "lost")?,
    })
}

struct SetAsideExpired {
    queue: QueueName,
    limit: usize,
}

#[async_trait]
impl Operation for SetAsideExpired {
    type Answer = Vec<ExpiredLease>;

    fn name(&self) -> &'static str {
        "find expired leases"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Vec<ExpiredLease>, sqlx::Error> {
        let rows = expired(
            &mut transaction.connection,
            &self.queue,
            transaction.now,
            self.limit,
        )
        .await?;
        let sound = decode_or_set_aside(transaction, &self.queue, &rows).await?;
        Ok(sound
            .into_iter()
            .filter_map(|(row, _)| expired_lease(&self.queue, row).ok())
            .collect())
    }
}

struct Purge {
    queue: QueueName,
    limit: usize,
}

#[async_trait]
impl Operation for Purge {
    type Answer = Purged;

    fn name(&self) -> &'static str {
        "purge"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Purged, sqlx::Error> {
        let now = transaction.now;
        let connection = &mut transaction.connection;
        let completed = self.delete(connection, "completed", now, self.limit).await?;
        let mut left = self.limit - completed;
        let too_old = self
            .delete(connection, "archived", now.saturating_sub(ARCHIVE_AGE), left)
            .await?;
        left -= too_old;
        let surplus = self.surplus(connection).await?;
        let too_many = self
            .delete(connection, "archived", Timestamp::MAX, left.min(surplus))
            .await?;
        self.forget(connection, now).await?;
        Ok(Purged {
            completed,
            archived: too_old + too_many,
            more: surplus > too_many || self.has_outdated(connection, now).await?,
        })
    }
}

const PURGE: &str = "DELETE FROM asynq_tasks WHERE number IN (
        SELECT number FROM asynq_tasks WHERE queue = ?1 AND state = ?2 AND at <= ?3 ORDER BY at, place LIMIT ?4)
    RETURNING id, unique_key";
const ARCHIVED: &str = "SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'archived'";
const HAS_OUTDATED: &str = "SELECT
    EXISTS (SELECT 1 FROM asynq_tasks WHERE queue = ?1 AND state = 'completed' AND at <= ?2)
    OR EXISTS (SELECT 1 FROM asynq_tasks WHERE queue = ?1 AND state = 'archived' AND at <= ?3)";
const FORGET_LOCKS: &str = "DELETE FROM asynq_locks WHERE queue = ?1 AND unique_key IN (
        SELECT unique_key FROM asynq_locks WHERE queue = ?1 AND expires <= ?2 LIMIT ?3)";
const FORGET_DAYS: &str = "DELETE FROM asynq_days WHERE queue = ?1 AND day < ?2";

impl Purge {
    /// Deletes the oldest tasks of a state up to a time, and releases their locks.
    async fn delete(
        &self,
        connection: &mut SqliteConnection,
        state: &'static str,
        until: Timestamp,
        limit: usize,
    ) -> Result<usize, sqlx::Error> {
        if limit == 0 {
            return Ok(0);
        }
        let deleted = sqlx::query(PURGE)
            .bind(self.queue.as_str())
            .bind(state)
            .bind(until.unix_micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        for row in &deleted {
            if let Some(unique_key) = row.try_get(1)? {
                release(connection, &self.queue, unique_key, row.try_get(0)?).await?;
            }
        }
        Ok(deleted.len())
    }

    /// By how many tasks the archive is too large.
    async fn surplus(&self, connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
        let row = sqlx::query(ARCHIVED)
            .bind(self.queue.as_str())
            .fetch_one(connection)
            .await?;
        Ok(usize::try_from(row.try_get::<i64, _>(0)? - ARCHIVE_SIZE).unwrap_or(0))
    }

    async fn has_outdated(
        &self,
        connection: &mut SqliteConnection,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(HAS_OUTDATED)
            .bind(self.queue.as_str())
            .bind(now.unix_micros())
            .bind(now.saturating_sub(ARCHIVE_AGE).unix_micros())
            .fetch_one(connection)
            .await?;
        row.try_get(0)
    }

    /// Deletes what nobody asks for any more: locks that have expired, counters of days long past.
    async fn forget(&self, connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(FORGET_LOCKS)
            .bind(self.queue.as_str())
            .bind(now.unix_micros())
            .bind(i64::try_from(self.limit).unwrap_or(i64::MAX))
            .execute(&mut *connection)
            .await?;
        sqlx::query(FORGET_DAYS)
            .bind(self.queue.as_str())
            .bind(utc_day(now) - DAYS_COUNTED)
            .execute(connection)
            .await
            .map(drop)
    }
}

/// Constraints of the tables leave little to mend: only what names something in another table.
struct Reconcile {
    queue: QueueName,
}

const RELIST: &str = "UPDATE asynq_tasks SET set_id = NULL
    WHERE queue = ?1 AND set_id IS NOT NULL AND (state <> 'aggregating' OR NOT EXISTS (
        SELECT 1 FROM asynq_sets WHERE asynq_sets.queue = ?1 AND asynq_sets.id = asynq_tasks.set_id))";
const DELETE_SETS: &str = "DELETE FROM asynq_sets WHERE queue = ?1 AND NOT EXISTS (
        SELECT 1 FROM asynq_tasks WHERE asynq_tasks.queue = ?1 AND asynq_tasks.set_id = asynq_sets.id)";

#[async_trait]
impl Operation for Reconcile {
    type Answer = Reconciled;

    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Reconciled, sqlx::Error> {
        let queue = self.queue.as_str();
        let connection = &mut transaction.connection;
        let relisted = sqlx::query(RELIST).bind(queue).execute(&mut *connection).await?;
        let deleted = sqlx::query(DELETE_SETS).bind(queue).execute(connection).await?;
        Ok(Reconciled {
            tasks_relisted: usize::try_from(relisted.rows_affected()).unwrap_or(usize::MAX),
            remains_deleted: usize::try_from(deleted.rows_affected()).unwrap_or(usize::MAX),
            ..Reconciled::default()
        })
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![
        NEXT_DUE,
        FORWARD,
        EXPIRED,
        PURGE,
        ARCHIVED,
        HAS_OUTDATED,
        FORGET_LOCKS,
        FORGET_DAYS,
        RELIST,
        DELETE_SETS,
    ]
}
