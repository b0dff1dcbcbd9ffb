//! Deletes queues, step by step.

use async_trait::async_trait;
use asynq_core::broker::QueueDeletion;
use asynq_core::{Cursor, QueueName};
use sqlx::{Row, SqliteConnection};

use crate::queue::release;
use crate::writer::{Operation, Transaction};

/// How many rows of a table one step deletes: others get their turn at the lock.
const ROWS_PER_STEP: i64 = 500;
/// Where it goes on: at what is left.
const REST: &str = "rest";

pub(crate) struct DeleteQueue {
    pub(crate) queue: QueueName,
    pub(crate) force: bool,
}

const IN_THE_WAY: &str = "SELECT
    EXISTS (SELECT 1 FROM asynq_tasks WHERE queue = ?1 AND state = 'active')
    OR (NOT ?2 AND EXISTS (SELECT 1 FROM asynq_tasks WHERE queue = ?1))
    FROM asynq_queues WHERE name = ?1 AND used = 1";

#[async_trait]
impl Operation for DeleteQueue {
    type Answer = QueueDeletion;

    fn name(&self) -> &'static str {
        "delete a queue"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<QueueDeletion, sqlx::Error> {
        let connection = &mut transaction.connection;
        let found = sqlx::query(IN_THE_WAY)
            .bind(self.queue.as_str())
            .bind(self.force)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(found) = found else {
            return Ok(QueueDeletion::NotFound);
        };
        if found.try_get(0)? {
            return Ok(QueueDeletion::NotEmpty);
        }
        let deleted = self.delete_tasks(connection).await?;
        if deleted == 0 && self.delete_remains(connection).await? {
            return Ok(QueueDeletion::Done);
        }
        let next = Cursor::new(REST);
        Ok(QueueDeletion::Going { deleted, next })
    }
}

const DELETE_TASKS: &str = "DELETE FROM asynq_tasks
    WHERE number IN (SELECT number FROM asynq_tasks WHERE queue = ?1 LIMIT ?2)
    RETURNING id, unique_key";
const DELETE_LOCKS: &str = "DELETE FROM asynq_locks WHERE queue = ?1 AND unique_key IN (
    SELECT unique_key FROM asynq_locks WHERE queue = ?1 LIMIT ?2)";
const DELETE_SETS: &str = "DELETE FROM asynq_sets WHERE queue = ?1 AND id IN (
    SELECT id FROM asynq_sets WHERE queue = ?1 LIMIT ?2)";
const DELETE_TICKS: &str = "DELETE FROM asynq_ticks WHERE queue = ?1 AND entry IN (
    SELECT entry FROM asynq_ticks WHERE queue = ?1 LIMIT ?2)";
const DELETE_DAYS: &str = "DELETE FROM asynq_days WHERE queue = ?1";
const DELETE_NAME: &str = "DELETE FROM asynq_queues WHERE name = ?1";

impl DeleteQueue {
    async fn delete_tasks(&self, connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
        let deleted = sqlx::query(DELETE_TASKS)
            .bind(self.queue.as_str())
            .bind(ROWS_PER_STEP)
            .fetch_all(&mut *connection)
            .await?;
        for row in &deleted {
            if let Some(unique_key) = row.try_get(1)? {
                release(connection, &self.queue, unique_key, row.try_get(0)?).await?;
            }
        }
        Ok(deleted.len())
    }

    /// Deletes what else is stored for the queue, its name last. Whether that was all.
    async fn delete_remains(&self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        for statement in [DELETE_LOCKS, DELETE_SETS, DELETE_TICKS] {
            let deleted = sqlx::query(statement)
                .bind(self.queue.as_str())
                .bind(ROWS_PER_STEP)
                .execute(&mut *connection)
                .await?;
            if deleted.rows_affected() >= ROWS_PER_STEP.unsigned_abs() {
                return Ok(false);
            }
        }
        for statement in [DELETE_DAYS, DELETE_NAME] {
            sqlx::query(statement)
                .bind(self.queue.as_str())
                .execute(&mut *connection)
                .await?;
        }
        Ok(true)
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![
        IN_THE_WAY,
        DELETE_TASKS,
        DELETE_LOCKS,
        DELETE_SETS,
        DELETE_TICKS,
        DELETE_DAYS,
        DELETE_NAME,
    ]
}
