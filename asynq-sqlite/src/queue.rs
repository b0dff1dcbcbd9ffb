//! What several operations do with a queue: give places away, count, release locks, set tasks aside.

use asynq_core::{QueueName, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::row::{Undecodable, whole_second};

const PLACES: &str = "INSERT INTO asynq_queues (name, used, arrivals) VALUES (?1, 1, ?2)
    ON CONFLICT (name) DO UPDATE SET used = 1, arrivals = arrivals + excluded.arrivals
    RETURNING arrivals";

/// Gives away that many places behind all others that were given away, and says which is the first.
pub(crate) async fn places(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    number: i64,
) -> Result<i64, sqlx::Error> {
    let row = sqlx::query(PLACES)
        .bind(queue.as_str())
        .bind(number)
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<i64, _>(0)? - number + 1)
}

/// Attempts that have ended.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Attempts {
    pub(crate) processed: i64,
    pub(crate) failed: i64,
}

const COUNT: &str =
    "UPDATE asynq_queues SET processed = processed + ?3, failed = failed + ?4 WHERE name = ?1;
    INSERT INTO asynq_days (queue, day, processed, failed) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (queue, day) DO UPDATE
    SET processed = processed + excluded.processed, failed = failed + excluded.failed";

pub(crate) async fn count(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    attempts: Attempts,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(COUNT)
        .bind(queue.as_str())
        .bind(utc_day(now))
        .bind(attempts.processed)
        .bind(attempts.failed)
        .execute(connection)
        .await
        .map(drop)
}

pub(crate) fn utc_day(time: Timestamp) -> i64 {
    time.unix_seconds().div_euclid(24 * 60 * 60)
}

const RELEASE: &str = "DELETE FROM asynq_locks WHERE queue = ?1 AND unique_key = ?2 AND holder = ?3";

/// Releases the lock that a task took, unless it expired and is another's by now.
pub(crate) async fn release(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    unique_key: &str,
    holder: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(RELEASE)
        .bind(queue.as_str())
        .bind(unique_key)
        .bind(holder)
        .execute(connection)
        .await
        .map(drop)
}

const SET_ASIDE: &str = "UPDATE asynq_tasks
    SET state = 'archived', at = ?2, place = ?3, last_error = ?4, last_failed_at = ?2, set_id = NULL
    WHERE number = ?1";

/// Archives a task that cannot be decoded, with the reason, so that it is in nobody's way.
pub(crate) async fn set_aside(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    number: i64,
    reason: &Undecodable,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    tracing::warn!(%queue, number, reason = reason.0, "a task that cannot be decoded is archived");
    let place = places(connection, queue, 1).await?;
    sqlx::query(SET_ASIDE)
        .bind(number)
        .bind(whole_second(now).unix_micros())
        .bind(place)
        .bind(reason.0.as_str())
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    [PLACES, RELEASE, SET_ASIDE]
        .into_iter()
        .chain(COUNT.split(';'))
        .collect()
}
