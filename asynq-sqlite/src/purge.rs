//! Deletes what has been kept long enough.

use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::Purged;
use asynq_core::{QueueName, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::queue::{release, utc_day};
use crate::writer::{Operation, Transaction};

const ARCHIVE_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const ARCHIVE_SIZE: i64 = 10_000;
/// Counters of single days are kept as long as Go asynq keeps them.
const DAYS_COUNTED: i64 = 90;

pub(crate) struct Purge {
    pub(crate) queue: QueueName,
    pub(crate) limit: usize,
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
        let too_many = self.delete_oldest(connection, left.min(surplus)).await?;
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

    /// Makes room in an archive that is too large.
    pub(crate) async fn drop_surplus(&self, connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
        let surplus = self.surplus(connection).await?;
        self.delete_oldest(connection, self.limit.min(surplus)).await
    }

    async fn delete_oldest(
        &self,
        connection: &mut SqliteConnection,
        limit: usize,
    ) -> Result<usize, sqlx::Error> {
        self.delete(connection, "archived", Timestamp::MAX, limit).await
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

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![PURGE, ARCHIVED, HAS_OUTDATED, FORGET_LOCKS, FORGET_DAYS]
}
