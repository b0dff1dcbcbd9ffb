//! Changes tasks that wait.

use async_trait::async_trait;
use asynq_core::broker::Changed;
use asynq_core::{Change, QueueName, TaskId, TaskState, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::enqueue::{Lock, has_task, lock, unique_key};
use crate::queue::{places, release};
use crate::writer::{Operation, Transaction};

/// Only what it changes is read and written: all else in the row stays as it is.
pub(crate) struct ChangeTask {
    pub(crate) queue: QueueName,
    pub(crate) id: TaskId,
    pub(crate) change: Change,
}

const READ: &str =
    "SELECT number, state, at, since, place, set_id IS NOT NULL AS is_sealed, type, payload, unique_key
    FROM asynq_tasks WHERE queue = ?1 AND id = ?2";

#[async_trait]
impl Operation for ChangeTask {
    type Answer = Changed;

    fn name(&self) -> &'static str {
        "change"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    fn brings(&self) -> Option<u64> {
        let payload = self.change.payload.as_ref()?;
        Some(payload.len() as u64)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Changed, sqlx::Error> {
        let connection = &mut transaction.connection;
        let now = transaction.now;
        let row = sqlx::query(READ)
            .bind(self.queue.as_str())
            .bind(self.id.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else {
            return Ok(Changed::NotFound);
        };
        let state = row.try_get::<&str, _>("state")?.parse();
        let state = state.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        if let Some(refused) = self.refusal(connection, &row, state).await? {
            return Ok(refused);
        }
        let unique_key = match self.move_lock(connection, &row, now).await? {
            Ok(unique_key) => unique_key,
            Err(holder) => return Ok(Changed::Duplicate { holder }),
        };
        let standing = self.standing(connection, &row, state, now).await?;
        self.write(connection, &row, standing, unique_key).await?;
        transaction.changes.pending(self.target());
        transaction.changes.due(self.target());
        Ok(Changed::Done)
    }
}

/// Where a task stands.
struct Standing {
    state: TaskState,
    at: i64,
    place: i64,
    since: i64,
}

impl ChangeTask {
    /// The queue it will belong to.
    fn target(&self) -> &QueueName {
        self.change.queue.as_ref().unwrap_or(&self.queue)
    }

    async fn refusal(
        &self,
        connection: &mut SqliteConnection,
        row: &SqliteRow,
        state: TaskState,
    ) -> Result<Option<Changed>, sqlx::Error> {
        if !self.change.is_for(state) {
            return Ok(Some(Changed::WrongState(state)));
        }
        if row.try_get("is_sealed")? {
            return Ok(Some(Changed::BeingMerged));
        }
        let moves = *self.target() != self.queue;
        let is_taken = moves && has_task(connection, self.target(), &self.id).await?;
        Ok(is_taken.then_some(Changed::IdTaken))
    }

    /// Exchanges the lock that the task holds for that of what it becomes, whose name is the answer; or says who holds
    /// that one.
    async fn move_lock(
        &self,
        connection: &mut SqliteConnection,
        row: &SqliteRow,
        now: Timestamp,
    ) -> Result<Result<Option<String>, TaskId>, sqlx::Error> {
        let Some(old_key) = row.try_get::<Option<&str>, _>("unique_key")? else {
            return Ok(Ok(None));
        };
        let payload = match &self.change.payload {
            Some(payload) => payload,
            None => row.try_get::<&[u8], _>("payload")?,
        };
        let new_key = unique_key(row.try_get("type")?, payload);
        if new_key == old_key && *self.target() == self.queue {
            return Ok(Ok(Some(new_key)));
        }
        let Some(expires) = self.lock_ends(connection, old_key, now).await? else {
            return Ok(Ok(Some(new_key)));
        };
        let wanted = Lock {
            queue: self.target(),
            unique_key: &new_key,
            holder: &self.id,
            expires,
        };
        if let Some(holder) = lock(connection, &wanted, now).await? {
            return Ok(Err(holder));
        }
        release(connection, &self.queue, old_key, self.id.as_str()).await?;
        Ok(Ok(Some(new_key)))
    }
}

const LOCK_ENDS: &str = "SELECT expires FROM asynq_locks
    WHERE queue = ?1 AND unique_key = ?2 AND holder = ?3 AND expires > ?4";
const MOVE: &str = "UPDATE asynq_tasks
    SET queue = ?2, payload = coalesce(?3, payload), max_retry = coalesce(?4, max_retry), unique_key = ?5,
        state = ?6, at = ?7, place = ?8, since = ?9, lost = CASE WHEN ?6 = 'pending' THEN lost ELSE 0 END
    WHERE number = ?1";

impl ChangeTask {
    /// Until when the task holds its lock, if it does.
    async fn lock_ends(
        &self,
        connection: &mut SqliteConnection,
        unique_key: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, sqlx::Error> {
        let held = sqlx::query(LOCK_ENDS)
            .bind(self.queue.as_str())
            .bind(unique_key)
            .bind(self.id.as_str())
            .bind(now.unix_micros())
            .fetch_optional(connection)
            .await?;
        let expires = |row: SqliteRow| row.try_get(0).map(Timestamp::from_unix_micros);
        held.map(expires).transpose()
    }

    async fn standing(
        &self,
        connection: &mut SqliteConnection,
        row: &SqliteRow,
        state: TaskState,
        now: Timestamp,
    ) -> Result<Standing, sqlx::Error> {
        let mut standing = Standing {
            state,
            at: row.try_get("at")?,
            place: row.try_get("place")?,
            since: row.try_get("since")?,
        };
        let due = self.change.process_at.map(|when| when.resolve(now).max(now));
        match (state, due) {
            (TaskState::Scheduled | TaskState::Retry, Some(due)) => standing.at = due.unix_micros(),
            (_, Some(due)) if due > now => {
                standing.state = TaskState::Scheduled;
                standing.at = due.unix_micros();
            }
            _ if *self.target() == self.queue => return Ok(standing),
            (TaskState::Pending, _) => (standing.at, standing.since) = (0, now.unix_micros()),
            // Another queue gives its places away from another beginning.
            _ => {}
        }
        standing.place = places(connection, self.target(), 1).await?;
        Ok(standing)
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        row: &SqliteRow,
        standing: Standing,
        unique_key: Option<String>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(MOVE)
            .bind(row.try_get::<i64, _>("number")?)
            .bind(self.target().as_str())
            .bind(self.change.payload.as_deref())
            .bind(self.change.max_retry.map(i64::from))
            .bind(unique_key)
            .bind(standing.state.as_str())
            .bind(standing.at)
            .bind(standing.place)
            .bind(standing.since)
            .execute(connection)
            .await
            .map(drop)
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![READ, LOCK_ENDS, MOVE]
}
