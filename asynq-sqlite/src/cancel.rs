//! Requests that tasks be cancelled: noted with the task's lease, and for a while in a list that watching processes read.

use std::time::Duration;

use async_trait::async_trait;
use asynq_core::{CancelRequest, QueueName, TaskId};
use sqlx::{Row, SqliteConnection};

use crate::writer::{Operation, Transaction};

/// Far longer than a process that watches needs to read them.
const KEPT: Duration = Duration::from_secs(60);

pub(crate) struct RequestCancel {
    pub(crate) queue: Option<QueueName>,
    pub(crate) id: TaskId,
}

const CANCEL: &str = "UPDATE asynq_tasks SET cancel = 1 WHERE state = 'active' AND id = ?2 AND queue = ?1";
const CANCEL_EVERYWHERE: &str = "UPDATE asynq_tasks SET cancel = 1
    WHERE state = 'active' AND id = ?2 AND queue IN (SELECT name FROM asynq_queues)";
const REQUEST: &str = "INSERT INTO asynq_cancellations (queue, id, at) VALUES (?1, ?2, ?3)";
const FORGET: &str = "DELETE FROM asynq_cancellations WHERE at <= ?1";

#[async_trait]
impl Operation for RequestCancel {
    type Answer = ();

    fn name(&self) -> &'static str {
        "cancel"
    }

    fn queue(&self) -> Option<&QueueName> {
        self.queue.as_ref()
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        let queue = self.queue.as_ref().map(|queue| queue.as_str());
        let statement = if queue.is_some() {
            CANCEL
        } else {
            CANCEL_EVERYWHERE
        };
        let now = transaction.now;
        let connection = &mut transaction.connection;
        sqlx::query(statement)
            .bind(queue)
            .bind(self.id.as_str())
            .execute(&mut *connection)
            .await?;
        sqlx::query(REQUEST)
            .bind(queue)
            .bind(self.id.as_str())
            .bind(now.unix_micros())
            .execute(&mut *connection)
            .await?;
        let outdated = now.saturating_sub(KEPT).unix_micros();
        sqlx::query(FORGET).bind(outdated).execute(connection).await?;
        transaction.changes.cancelled();
        Ok(())
    }
}

const LATEST: &str = "SELECT coalesce(max(number), 0) FROM asynq_cancellations";

/// The number of the latest request.
pub(crate) async fn latest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query(LATEST).fetch_one(connection).await?.try_get(0)
}

const AFTER: &str = "SELECT number, queue, id FROM asynq_cancellations WHERE number > ?1 ORDER BY number";

/// Requests since number `last`, which then is that of the latest.
pub(crate) async fn since(
    connection: &mut SqliteConnection,
    last: &mut i64,
) -> Result<Vec<CancelRequest>, sqlx::Error> {
    let rows = sqlx::query(AFTER).bind(*last).fetch_all(connection).await?;
    let mut requests = Vec::with_capacity(rows.len());
    for row in rows {
        requests.push(CancelRequest {
            queue: row.try_get::<Option<&str>, _>(1)?.map(QueueName::from_stored),
            id: row.try_get(2)?,
        });
        *last = row.try_get(0)?;
    }
    Ok(requests)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![CANCEL, CANCEL_EVERYWHERE, REQUEST, FORGET, LATEST, AFTER]
}
