use async_trait::async_trait;
use asynq_core::{
    BrokerError, GroupName, Inspect, Now, Page, QueueInfo, QueueName, TaskId, TaskInfo, TaskState, Timestamp,
};
use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::aggregate::waiting;
use crate::broker::SqliteBroker;
use crate::cancel::RequestCancel;
use crate::queue::utc_day;
use crate::row::{Undecodable, message, message_columns, value};
use crate::writer::{Operation, Transaction};

#[async_trait]
impl Inspect for SqliteBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        const OPERATION: &str = "list queues";
        let failed = self.failed(OPERATION, None);
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(QUEUES)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        let name = |row| Row::try_get::<&str, _>(row, 0).map(QueueName::from_stored);
        rows.iter().map(name).collect::<Result<_, _>>().map_err(failed)
    }

    async fn queue_info(&self, queue: &QueueName) -> Result<Option<QueueInfo>, BrokerError> {
        const OPERATION: &str = "look at a queue";
        let failed = self.failed(OPERATION, Some(queue));
        let now = self.now();
        let mut reader = self.reader(OPERATION).await?;
        let row = sqlx::query(QUEUE_INFO)
            .bind(queue.as_str())
            .bind(utc_day(now))
            .fetch_optional(&mut *reader)
            .await
            .map_err(failed)?;
        row.map(|row| queue_info(queue, &row, now))
            .transpose()
            .map_err(failed)
    }

    async fn task(&self, queue: &QueueName, id: &TaskId) -> Result<Option<TaskInfo>, BrokerError> {
        const OPERATION: &str = "look at a task";
        let mut reader = self.reader(OPERATION).await?;
        let row = sqlx::query(TASK)
            .bind(queue.as_str())
            .bind(id.as_str())
            .fetch_optional(&mut *reader)
            .await
            .map_err(self.failed(OPERATION, Some(queue)))?;
        let info = row.map(|row| task_info(&row, self.now())).transpose();
        info.map_err(|Undecodable(reason)| BrokerError::Corrupt {
            operation: OPERATION,
            queue: queue.clone(),
            reason: format!("task {id:?}: {reason}"),
        })
    }

    async fn tasks(
        &self,
        queue: &QueueName,
        state: TaskState,
        group: Option<&GroupName>,
        page: Page,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        const OPERATION: &str = "list tasks";
        let statement = match state {
            TaskState::Active => ACTIVE,
            TaskState::Aggregating => IN_GROUP,
            _ => IN_STATE,
        };
        let which = if state == TaskState::Aggregating {
            group.map(|group| group.as_str())
        } else {
            Some(state.as_str())
        };
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(statement)
            .bind(queue.as_str())
            .bind(which)
            .bind(i64::try_from(page.limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(page.offset).unwrap_or(i64::MAX))
            .fetch_all(&mut *reader)
            .await
            .map_err(self.failed(OPERATION, Some(queue)))?;
        let now = self.now();
        Ok(rows.iter().filter_map(|row| task_info(row, now).ok()).collect())
    }

    async fn pause(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.write(Pause(queue.clone())).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.write(Resume(queue.clone())).await
    }

    async fn cancel(&self, queue: Option<&QueueName>, id: &TaskId) -> Result<(), BrokerError> {
        let (queue, id) = (queue.cloned(), id.clone());
        self.write(RequestCancel { queue, id }).await
    }
}

const QUEUES: &str = "SELECT name FROM asynq_queues WHERE used = 1 ORDER BY name";
// One statement sees one moment.
const QUEUE_INFO: &str = concat!(
    "SELECT paused,
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'pending') AS pending,
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'active') AS active,
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'scheduled') AS scheduled,
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'retry') AS retry,
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'archived') AS archived,
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = 'completed') AS completed,
    (SELECT count(*) FROM ",
    waiting!(),
    ") AS aggregating,
    (SELECT count(DISTINCT group_name) FROM ",
    waiting!(),
    ") AS groups,
    coalesce((SELECT processed FROM asynq_days WHERE queue = ?1 AND day = ?2), 0) AS processed_today,
    coalesce((SELECT failed FROM asynq_days WHERE queue = ?1 AND day = ?2), 0) AS failed_today,
    processed AS processed_total, failed AS failed_total,
    (SELECT since FROM asynq_tasks WHERE queue = ?1 AND state = 'pending' ORDER BY at, place LIMIT 1) AS oldest
    FROM asynq_queues WHERE name = ?1 AND used = 1"
);

fn queue_info(queue: &QueueName, row: &SqliteRow, now: Timestamp) -> Result<QueueInfo, sqlx::Error> {
    let number = |column| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    let mut info = QueueInfo::empty(queue.clone(), now);
    info.paused = row.try_get("paused")?;
    info.pending = number("pending")?;
    info.active = number("active")?;
    info.scheduled = number("scheduled")?;
    info.retry = number("retry")?;
    info.archived = number("archived")?;
    info.completed = number("completed")?;
    info.aggregating = number("aggregating")?;
    info.groups = number("groups")?;
    info.processed = number("processed_today")?;
    info.failed = number("failed_today")?;
    info.processed_total = number("processed_total")?;
    info.failed_total = number("failed_total")?;
    let oldest: Option<i64> = row.try_get("oldest")?;
    info.oldest_pending_since = oldest.map(Timestamp::from_unix_micros);
    Ok(info)
}

macro_rules! task_with {
    ($condition:literal) => {
        concat!(
            "SELECT state, at, result, ",
            message_columns!(),
            " FROM asynq_tasks WHERE ",
            $condition
        )
    };
}

const TASK: &str = task_with!("queue = ?1 AND id = ?2");
const IN_STATE: &str = task_with!("queue = ?1 AND state = ?2 ORDER BY at, place LIMIT ?3 OFFSET ?4");
// Sorted by when they were taken out: the index has them by the end of their lease. There are never many.
const ACTIVE: &str = task_with!("queue = ?1 AND state = ?2 ORDER BY since, place LIMIT ?3 OFFSET ?4");
const IN_GROUP: &str = task_with!(
    "queue = ?1 AND group_name = ?2 AND state = 'aggregating' AND set_id IS NULL
    ORDER BY at, place LIMIT ?3 OFFSET ?4"
);

pub(crate) fn task_info(row: &SqliteRow, now: Timestamp) -> Result<TaskInfo, Undecodable> {
    let state: &str = value(row, "state")?;
    let state: TaskState = state.parse().map_err(|error| Undecodable(format!("{error}")))?;
    let at = Timestamp::from_unix_micros(value(row, "at")?);
    let result: Option<&[u8]> = value(row, "result")?;
    let mut info = TaskInfo::new(message(row)?, state);
    info.next_process_at = match state {
        TaskState::Pending => Some(now),
        TaskState::Scheduled | TaskState::Retry => Some(at),
        _ => None,
    };
    info.result = result
        .filter(|result| !result.is_empty())
        .map(Bytes::copy_from_slice);
    info.is_orphaned = state == TaskState::Active && at <= now;
    Ok(info)
}

struct Pause(QueueName);

const PAUSE: &str = "INSERT INTO asynq_queues (name, paused) VALUES (?1, 1)
    ON CONFLICT (name) DO UPDATE SET paused = 1 WHERE paused = 0";

#[async_trait]
impl Operation for Pause {
    type Answer = bool;

    fn name(&self) -> &'static str {
        "pause"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.0)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
        let paused = sqlx::query(PAUSE)
            .bind(self.0.as_str())
            .execute(&mut transaction.connection)
            .await?;
        Ok(paused.rows_affected() > 0)
    }
}

struct Resume(QueueName);

const RESUME: &str = "UPDATE asynq_queues SET paused = 0 WHERE name = ?1 AND paused = 1";

#[async_trait]
impl Operation for Resume {
    type Answer = bool;

    fn name(&self) -> &'static str {
        "resume"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.0)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
        let resumed = sqlx::query(RESUME)
            .bind(self.0.as_str())
            .execute(&mut transaction.connection)
            .await?;
        let was_paused = resumed.rows_affected() > 0;
        if was_paused {
            transaction.changes.pending(&self.0);
        }
        Ok(was_paused)
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![
        QUEUES, QUEUE_INFO, TASK, IN_STATE, ACTIVE, IN_GROUP, PAUSE, RESUME,
    ]
}
