use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{GroupLimits, NewTask, Receipt, SealedSet, SetKey};
use asynq_core::{Aggregate, BrokerError, GroupName, QueueName, TaskMessage, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::dequeue::decode_or_set_aside;
use crate::enqueue::{note_changes, store};
use crate::queue::release;
use crate::row::{message, message_columns};
use crate::writer::{Operation, Transaction};

/// How long a set may take to be merged, as in Go asynq.
const SET_TIME: Duration = Duration::from_secs(120);

/// The waiting tasks of a queue's groups, in the form that the index has.
macro_rules! waiting {
    () => {
        "asynq_tasks WHERE queue = ?1 AND state = 'aggregating' AND set_id IS NULL"
    };
}
pub(crate) use waiting;

// Steps from group to group through the index: a group of a million tasks costs no more than one of three.
const GROUPS: &str = concat!(
    "WITH RECURSIVE step (name) AS (
        SELECT min(group_name) FROM ",
    waiting!(),
    " UNION ALL
        SELECT (SELECT min(group_name) FROM ",
    waiting!(),
    " AND group_name > step.name) FROM step WHERE step.name IS NOT NULL)
    SELECT name FROM step WHERE name IS NOT NULL"
);

#[async_trait]
impl Aggregate for SqliteBroker {
    async fn groups(&self, queue: &QueueName) -> Result<Vec<GroupName>, BrokerError> {
        const OPERATION: &str = "list groups";
        let failed = self.failed(OPERATION, Some(queue));
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(GROUPS)
            .bind(queue.as_str())
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        let name = |row| Row::try_get::<&str, _>(row, 0).map(GroupName::from_stored);
        rows.iter().map(name).collect::<Result<_, _>>().map_err(failed)
    }

    async fn seal(
        &self,
        queue: &QueueName,
        group: &GroupName,
        limits: &GroupLimits,
    ) -> Result<Option<SealedSet>, BrokerError> {
        let (queue, group, limits) = (queue.clone(), group.clone(), *limits);
        self.write(Seal { queue, group, limits }).await
    }

    async fn finish_set(&self, set: &SetKey, merged: &NewTask) -> Result<Option<Receipt>, BrokerError> {
        if merged.message.queue != set.queue {
            return Err(BrokerError::Config(format!(
                "the merged task of group {:?} is for queue {:?}, but must stay in queue {:?}",
                set.group, merged.message.queue, set.queue
            )));
        }
        let (set, merged) = (set.clone(), merged.clone());
        self.write(FinishSet { set, merged }).await
    }

    async fn reclaim(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        self.write(Reclaim { queue: queue.clone() }).await
    }
}

struct Seal {
    queue: QueueName,
    group: GroupName,
    limits: GroupLimits,
}

#[async_trait]
impl Operation for Seal {
    type Answer = Option<SealedSet>;

    fn name(&self) -> &'static str {
        "seal a group"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Option<SealedSet>, sqlx::Error> {
        let now = transaction.now;
        if !self.is_ready(&mut transaction.connection, now).await? {
            return Ok(None);
        }
        let key = SetKey {
            queue: self.queue.clone(),
            group: self.group.clone(),
            id: uuid::Uuid::new_v4().to_string(),
        };
        let deadline = now.saturating_add(SET_TIME);
        let tasks = self.gather(transaction, &key.id).await?;
        if tasks.is_empty() {
            return Ok(None);
        }
        add_set(&mut transaction.connection, &key, deadline).await?;
        Ok(Some(SealedSet { key, tasks, deadline }))
    }
}

// Of a large group no more is counted than its largest size.
const READINESS: &str = concat!(
    "SELECT
    (SELECT min(at) FROM ",
    waiting!(),
    " AND group_name = ?2),
    (SELECT max(at) FROM ",
    waiting!(),
    " AND group_name = ?2),
    (SELECT count(*) FROM (SELECT 1 FROM ",
    waiting!(),
    " AND group_name = ?2 LIMIT ?3))"
);
const ADD_SET: &str = "INSERT INTO asynq_sets (queue, id, group_name, deadline) VALUES (?1, ?2, ?3, ?4)";
// The tasks keep their time and place: a set that goes back finds its old place in the group.
const GATHER: &str = concat!(
    "UPDATE asynq_tasks SET set_id = ?3
    WHERE number IN (SELECT number FROM ",
    waiting!(),
    " AND group_name = ?2 ORDER BY at, place LIMIT ?4)
    RETURNING number, at, place, ",
    message_columns!()
);

impl Seal {
    /// The largest size of a set; −1 if there is none, which SQLite takes for no limit.
    fn max_size(&self) -> i64 {
        let size = self.limits.max_size.filter(|size| *size > 0);
        size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX))
    }

    async fn is_ready(&self, connection: &mut SqliteConnection, now: Timestamp) -> Result<bool, sqlx::Error> {
        let max_size = self.max_size();
        let row = sqlx::query(READINESS)
            .bind(self.queue.as_str())
            .bind(self.group.as_str())
            .bind(max_size.max(0))
            .fetch_one(connection)
            .await?;
        let (Some(oldest), Some(newest)) = (row.try_get(0)?, row.try_get(1)?) else {
            return Ok(false);
        };
        let has_waited = |since, time| Timestamp::from_unix_micros(since) <= now.saturating_sub(time);
        let is_full = max_size > 0 && row.try_get::<i64, _>(2)? >= max_size;
        let is_overdue = self
            .limits
            .max_delay
            .is_some_and(|delay| has_waited(oldest, delay));
        Ok(is_full || is_overdue || has_waited(newest, self.limits.grace_period))
    }

    async fn gather(
        &self,
        transaction: &mut Transaction,
        set_id: &str,
    ) -> Result<Vec<TaskMessage>, sqlx::Error> {
        let mut rows = sqlx::query(GATHER)
            .bind(self.queue.as_str())
            .bind(self.group.as_str())
            .bind(set_id)
            .bind(self.max_size())
            .fetch_all(&mut transaction.connection)
            .await?;
        // An update gives its rows in any order.
        rows.sort_by_key(|row| {
            let number = |column| row.try_get::<i64, _>(column).unwrap_or(0);
            (number("at"), number("place"))
        });
        decode_or_set_aside(transaction, &self.queue, &rows, message).await
    }
}

async fn add_set(
    connection: &mut SqliteConnection,
    key: &SetKey,
    deadline: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(ADD_SET)
        .bind(key.queue.as_str())
        .bind(key.id.as_str())
        .bind(key.group.as_str())
        .bind(deadline.unix_micros())
        .execute(connection)
        .await
        .map(drop)
}

struct FinishSet {
    set: SetKey,
    merged: NewTask,
}

const SET: &str = "SELECT 1 FROM asynq_sets WHERE queue = ?1 AND id = ?2 AND group_name = ?3";
const DELETE_MEMBERS: &str =
    "DELETE FROM asynq_tasks WHERE queue = ?1 AND set_id = ?2 RETURNING id, unique_key";
const DELETE_SET: &str = "DELETE FROM asynq_sets WHERE queue = ?1 AND id = ?2";

#[async_trait]
impl Operation for FinishSet {
    type Answer = Option<Receipt>;

    fn name(&self) -> &'static str {
        "finish a set"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.set.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Option<Receipt>, sqlx::Error> {
        let connection = &mut transaction.connection;
        let set = sqlx::query(SET)
            .bind(self.set.queue.as_str())
            .bind(self.set.id.as_str())
            .bind(self.set.group.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        if set.is_none() {
            return Ok(None);
        }
        let merged = std::slice::from_ref(&self.merged);
        let mut receipts = store(connection, merged, transaction.now).await?;
        if matches!(receipts[..], [Receipt::Accepted { .. }]) {
            self.delete_members(connection).await?;
        }
        note_changes(&mut transaction.changes, merged, &receipts);
        Ok(receipts.pop())
    }
}

impl FinishSet {
    async fn delete_members(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let (queue, id) = (self.set.queue.as_str(), self.set.id.as_str());
        let members = sqlx::query(DELETE_MEMBERS)
            .bind(queue)
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        for row in &members {
            if let Some(unique_key) = row.try_get(1)? {
                release(connection, &self.set.queue, unique_key, row.try_get(0)?).await?;
            }
        }
        sqlx::query(DELETE_SET)
            .bind(queue)
            .bind(id)
            .execute(connection)
            .await
            .map(drop)
    }
}

struct Reclaim {
    queue: QueueName,
}

const GIVE_BACK: &str = "UPDATE asynq_tasks SET set_id = NULL WHERE queue = ?1 AND set_id IN (
    SELECT id FROM asynq_sets WHERE queue = ?1 AND deadline <= ?2)";
const DELETE_STALE: &str = "DELETE FROM asynq_sets WHERE queue = ?1 AND deadline <= ?2";

#[async_trait]
impl Operation for Reclaim {
    type Answer = usize;

    fn name(&self) -> &'static str {
        "reclaim sets"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<usize, sqlx::Error> {
        let (queue, now) = (self.queue.as_str(), transaction.now.unix_micros());
        let connection = &mut transaction.connection;
        sqlx::query(GIVE_BACK)
            .bind(queue)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        let stale = sqlx::query(DELETE_STALE)
            .bind(queue)
            .bind(now)
            .execute(connection)
            .await?;
        Ok(usize::try_from(stale.rows_affected()).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![
        GROUPS,
        READINESS,
        ADD_SET,
        GATHER,
        SET,
        DELETE_MEMBERS,
        DELETE_SET,
        GIVE_BACK,
        DELETE_STALE,
    ]
}
