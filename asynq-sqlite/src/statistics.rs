//! What queues take and did.

use std::collections::HashMap;

use asynq_core::broker::{DayCount, GroupSize};
use asynq_core::{BrokerError, GroupName, Now, QueueName, TaskState, Timestamp};
use sqlx::Row;

use crate::aggregate::waiting;
use crate::broker::SqliteBroker;
use crate::queue::utc_day;

/// How many tasks of a state stand for all of it, as in Go asynq.
const SAMPLE: i64 = 20;
/// About what a task takes besides its texts: its other columns, and its entries in the indexes.
const BYTES_BESIDES: f64 = 250.0;
const DAYS_KEPT: usize = 90;
const DAY_SECONDS: i64 = 24 * 60 * 60;

const STATES: [TaskState; 7] = [
    TaskState::Active,
    TaskState::Pending,
    TaskState::Scheduled,
    TaskState::Retry,
    TaskState::Archived,
    TaskState::Completed,
    TaskState::Aggregating,
];

// The lengths of blobs are known without reading them.
const SIZES: &str = "SELECT
    (SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = ?2),
    (SELECT avg(bytes) FROM (
        SELECT length(payload) + length(id) + length(type) + length(last_error) + coalesce(length(headers), 0)
            + coalesce(length(unknown_fields), 0) + coalesce(length(result), 0) AS bytes
        FROM asynq_tasks WHERE queue = ?1 AND state = ?2 ORDER BY at, place LIMIT ?3))";
const DAYS: &str = "SELECT day, processed, failed FROM asynq_days WHERE queue = ?1 AND day > ?2";
const GROUP_SIZES: &str = concat!(
    "SELECT group_name, count(*) FROM ",
    waiting!(),
    " GROUP BY group_name ORDER BY group_name"
);

impl SqliteBroker {
    /// About how many bytes the tasks of a queue take, from a sample of those in each state.
    pub(crate) async fn estimate_size(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        const OPERATION: &str = "estimate memory usage";
        let failed = self.failed(OPERATION, Some(queue));
        let mut reader = self.reader(OPERATION).await?;
        let mut bytes = 0.0;
        for state in STATES {
            let row = sqlx::query(SIZES)
                .bind(queue.as_str())
                .bind(state.as_str())
                .bind(SAMPLE)
                .fetch_one(&mut *reader)
                .await
                .map_err(failed)?;
            let tasks: i64 = row.try_get(0).map_err(failed)?;
            let average: Option<f64> = row.try_get(1).map_err(failed)?;
            bytes += tasks as f64 * average.map_or(0.0, |average| average + BYTES_BESIDES);
        }
        Ok(bytes as u64)
    }

    /// Attempts by day, today first.
    pub(crate) async fn read_history(
        &self,
        queue: &QueueName,
        days: usize,
    ) -> Result<Vec<DayCount>, BrokerError> {
        const OPERATION: &str = "look at the history";
        let failed = self.failed(OPERATION, Some(queue));
        let today = utc_day(self.now());
        let days = i64::try_from(days.min(DAYS_KEPT)).unwrap_or(0);
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(DAYS)
            .bind(queue.as_str())
            .bind(today - days)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        let mut counts = HashMap::new();
        for row in &rows {
            let number = |column| row.try_get::<i64, _>(column).map_err(failed);
            counts.insert(number(0)?, (number(1)?, number(2)?));
        }
        let count = |day| {
            let (processed, failed) = counts.get(&day).copied().unwrap_or_default();
            DayCount {
                day: Timestamp::from_unix_seconds(day * DAY_SECONDS),
                processed: u64::try_from(processed).unwrap_or(0),
                failed: u64::try_from(failed).unwrap_or(0),
            }
        };
        Ok((0..days).map(|ago| count(today - ago)).collect())
    }

    /// The groups that have waiting tasks, by name.
    pub(crate) async fn count_groups(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError> {
        const OPERATION: &str = "count groups";
        let failed = self.failed(OPERATION, Some(queue));
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(GROUP_SIZES)
            .bind(queue.as_str())
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        let size = |row| {
            Ok(GroupSize {
                group: GroupName::from_stored(Row::try_get::<&str, _>(row, 0)?),
                size: u64::try_from(Row::try_get::<i64, _>(row, 1)?).unwrap_or(0),
            })
        };
        rows.iter().map(size).collect::<Result<_, _>>().map_err(failed)
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![SIZES, DAYS, GROUP_SIZES]
}
