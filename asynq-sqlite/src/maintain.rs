use std::sync::Arc;

use async_trait::async_trait;
use asynq_core::broker::{Expired, ExpiredLease, Forwarded, Purged, ReconcileCursor, Reconciled};
use asynq_core::{BrokerError, LeaseKey, Maintain, Now, QueueName, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::dequeue::decode_or_set_aside;
use crate::purge::Purge;
use crate::queue::places;
use crate::row::{Undecodable, message, message_columns, small, value};
use crate::writer::{Operation, Transaction};

/// How many tasks one call forwards: others get their turn at the lock.
const FORWARD_LIMIT: i64 = 500;

#[async_trait]
impl Maintain for SqliteBroker {
    async fn forward(&self, queue: &QueueName) -> Result<Forwarded, BrokerError> {
        self.write(Forward { queue: queue.clone() }).await
    }

    async fn expired(&self, queue: &QueueName, limit: usize) -> Result<Expired, BrokerError> {
        const OPERATION: &str = "find expired leases";
        let failed = self.failed(OPERATION, Some(queue));
        let now = self.now();
        let mut reader = self.reader(OPERATION).await?;
        let rows = expired(&mut reader, queue, now, limit).await.map_err(failed)?;
        let next_expiry = next_expiry(&mut reader, queue, now).await.map_err(failed)?;
        let leases: Result<Vec<_>, _> = rows.iter().map(|row| expired_lease(queue, row)).collect();
        let tasks = match leases {
            Ok(leases) => leases,
            // Looked at again by who may write.
            Err(Undecodable(_)) => {
                let queue = queue.clone();
                self.write(SetAsideExpired { queue, limit }).await?
            }
        };
        Ok(Expired { tasks, next_expiry })
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

const NEXT_EXPIRY: &str = "SELECT min(at) FROM asynq_tasks WHERE queue = ?1 AND state = 'active' AND at > ?2";

async fn next_expiry(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let next = sqlx::query(NEXT_EXPIRY)
        .bind(queue.as_str())
        .bind(now.unix_micros())
        .fetch_one(connection)
        .await?;
    Ok(next
        .try_get::<Option<i64>, _>(0)?
        .map(Timestamp::from_unix_micros))
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
        let decode = |row: &SqliteRow| expired_lease(&self.queue, row);
        decode_or_set_aside(transaction, &self.queue, &rows, decode).await
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
    vec![NEXT_DUE, FORWARD, EXPIRED, NEXT_EXPIRY, RELIST, DELETE_SETS]
}
