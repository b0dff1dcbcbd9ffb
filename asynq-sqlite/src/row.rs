//! A task as it stands in its row.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::{GroupName, QueueName, TaskId, TaskMessage, Timestamp};
use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};

/// The columns that [`message`] reads, for statements that give tasks.
macro_rules! message_columns {
    () => {
        "queue, id, type, payload, headers, max_retry, retried, last_error, last_failed_at, timeout, deadline, \
         retention, completed_at, group_name, unique_key, unknown_fields"
    };
}
pub(crate) use message_columns;

/// Why a row is not a task: another program wrote there, or it was damaged.
#[derive(Debug)]
pub(crate) struct Undecodable(pub(crate) String);

/// What the row stores about its task.
pub(crate) fn message(row: &SqliteRow) -> Result<TaskMessage, Undecodable> {
    Ok(TaskMessage {
        id: TaskId::from_stored(value::<&str>(row, "id")?),
        queue: QueueName::from_stored(value::<&str>(row, "queue")?),
        task_type: Arc::from(value::<&str>(row, "type")?),
        payload: Bytes::copy_from_slice(value(row, "payload")?),
        headers: match value::<Option<&str>>(row, "headers")? {
            Some(json) => serde_json::from_str(json).map_err(|error| broken("headers", error))?,
            None => Default::default(),
        },
        max_retry: small(row, "max_retry")?,
        retried: small(row, "retried")?,
        last_error: value(row, "last_error")?,
        last_failed_at: time(row, "last_failed_at")?,
        timeout: duration(value(row, "timeout")?),
        deadline: time(row, "deadline")?,
        retention: duration(value(row, "retention")?).unwrap_or_default(),
        completed_at: time(row, "completed_at")?,
        group: value::<Option<&str>>(row, "group_name")?.map(GroupName::from_stored),
        unique_key: value(row, "unique_key")?,
        unknown_fields: value::<Option<&[u8]>>(row, "unknown_fields")?
            .map_or_else(Bytes::new, Bytes::copy_from_slice),
    })
}

/// A column, if it holds what it should.
pub(crate) fn value<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: &str,
) -> Result<T, Undecodable> {
    row.try_get(column).map_err(|error| broken(column, error))
}

fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, Undecodable> {
    let micros: Option<i64> = value(row, column)?;
    Ok(micros.map(Timestamp::from_unix_micros))
}

/// A column with a number of 32 bits.
pub(crate) fn small(row: &SqliteRow, column: &str) -> Result<u32, Undecodable> {
    let number: i64 = value(row, column)?;
    u32::try_from(number).map_err(|error| broken(column, error))
}

fn broken(column: &str, error: impl std::fmt::Display) -> Undecodable {
    Undecodable(format!("column {column} of the stored task is damaged: {error}"))
}

/// How a duration is stored; one that is longer than 292,000 years as that.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: Option<i64>) -> Option<Duration> {
    micros.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

/// The moment without its fraction of a second: what a message holds as whole seconds.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(time.unix_seconds())
}
