//! What becomes of a task that was taken out.

use std::collections::HashMap;

use async_trait::async_trait;
use asynq_core::broker::{Claim, Finish, Finished, Settlement, cut_error_text};
use asynq_core::{QueueName, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite, SqliteConnection};

use crate::queue::{Attempts, count, places, release};
use crate::row::whole_second;
use crate::writer::{Operation, Transaction};

pub(crate) struct Settle(pub(crate) Vec<Finish>);

#[async_trait]
impl Operation for Settle {
    type Answer = Vec<Finished>;

    fn name(&self) -> &'static str {
        "finish"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Vec<Finished>, sqlx::Error> {
        let mut attempts: HashMap<&QueueName, Attempts> = HashMap::new();
        let mut answers = Vec::with_capacity(self.0.len());
        for finish in &self.0 {
            let settled = settle(&mut transaction.connection, finish, transaction.now).await?;
            answers.push(if settled {
                Finished::Settled
            } else {
                Finished::NotOwner
            });
            if settled {
                tally(&finish.settlement, attempts.entry(&finish.key.queue).or_default());
                note_change(finish, transaction);
            }
        }
        for (queue, attempts) in attempts {
            if attempts.processed > 0 {
                count(&mut transaction.connection, queue, attempts, transaction.now).await?;
            }
        }
        Ok(answers)
    }
}

fn tally(settlement: &Settlement, attempts: &mut Attempts) {
    let (processed, failed) = match settlement {
        Settlement::Done { .. } | Settlement::Drop => (1, 0),
        Settlement::Archive { .. } | Settlement::Retry { is_failure: true, .. } => (1, 1),
        Settlement::Retry { .. } | Settlement::Snooze { .. } | Settlement::Requeue { .. } => (0, 0),
    };
    attempts.processed += processed;
    attempts.failed += failed;
}

fn note_change(finish: &Finish, transaction: &mut Transaction) {
    match finish.settlement {
        Settlement::Requeue { .. } => transaction.changes.pending(&finish.key.queue),
        Settlement::Retry { .. } | Settlement::Snooze { .. } => transaction.changes.due(&finish.key.queue),
        Settlement::Done { .. } | Settlement::Drop | Settlement::Archive { .. } => {}
    }
}

/// Whether the claim held and the task was settled.
async fn settle(
    connection: &mut SqliteConnection,
    finish: &Finish,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let is_kept = !finish.message.retention.is_zero();
    match &finish.settlement {
        Settlement::Done { result } if is_kept => complete(connection, finish, result.as_deref(), now).await,
        Settlement::Done { .. } | Settlement::Drop => delete(connection, finish, now).await,
        settlement => move_on(connection, finish, settlement, now).await,
    }
}

/// The condition that a claim holds, on the first four parameters.
macro_rules! claimed {
    () => {
        " WHERE queue = ?1 AND id = ?2 AND state = 'active' AND nonce = ?3 AND at <= ?4"
    };
}

/// Binds the first four parameters.
fn claimed<'q>(sql: &'static str, finish: &Finish, now: Timestamp) -> Query<'q, Sqlite, SqliteArguments> {
    let latest = match finish.claim {
        Claim::Holder => Timestamp::MAX,
        Claim::Expired => now,
    };
    sqlx::query(sql)
        .bind(finish.key.queue.as_str())
        .bind(finish.key.id.as_str())
        .bind(i64::from(finish.key.nonce))
        .bind(latest.unix_micros())
}

const DELETE: &str = concat!("DELETE FROM asynq_tasks", claimed!(), " RETURNING unique_key");

async fn delete(
    connection: &mut SqliteConnection,
    finish: &Finish,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let deleted = claimed(DELETE, finish, now)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = deleted else { return Ok(false) };
    release_lock(connection, finish, row.try_get(0)?).await?;
    Ok(true)
}

// A result that the handler wrote on its way stays when it returns none.
const COMPLETE: &str = concat!(
    "UPDATE asynq_tasks
    SET state = 'completed', at = ?5, place = ?6, completed_at = ?7, result = coalesce(?8, result), lost = 0",
    claimed!(),
    " RETURNING unique_key"
);

async fn complete(
    connection: &mut SqliteConnection,
    finish: &Finish,
    result: Option<&[u8]>,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let completed_at = whole_second(now);
    let kept_until = completed_at.saturating_add(finish.message.retention);
    let place = places(connection, &finish.key.queue, 1).await?;
    let completed = claimed(COMPLETE, finish, now)
        .bind(kept_until.unix_micros())
        .bind(place)
        .bind(completed_at.unix_micros())
        .bind(result)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = completed else { return Ok(false) };
    release_lock(connection, finish, row.try_get(0)?).await?;
    Ok(true)
}

async fn release_lock(
    connection: &mut SqliteConnection,
    finish: &Finish,
    unique_key: Option<&str>,
) -> Result<(), sqlx::Error> {
    match unique_key {
        Some(key) => release(connection, &finish.key.queue, key, finish.key.id.as_str()).await,
        None => Ok(()),
    }
}

const MOVE_ON: &str = concat!(
    "UPDATE asynq_tasks
    SET state = ?5, at = ?6, place = ?7, since = ?8,
        retried = min(retried + ?9, 4294967295),
        last_error = coalesce(?10, last_error), last_failed_at = coalesce(?11, last_failed_at),
        lost = CASE WHEN ?12 THEN min(lost + 1, 4294967295) ELSE 0 END",
    claimed!()
);

/// Where a task goes that is not done.
struct Next<'f> {
    state: &'static str,
    at: Timestamp,
    is_first: bool,
    retried: bool,
    error: Option<&'f str>,
    lost: bool,
}

impl<'f> Next<'f> {
    fn of(settlement: &'f Settlement, now: Timestamp) -> Self {
        let waiting = |state, at| Next {
            state,
            at,
            is_first: false,
            retried: false,
            error: None,
            lost: false,
        };
        match settlement {
            Settlement::Retry {
                delay,
                error,
                is_failure,
            } => Next {
                error: Some(error),
                retried: *is_failure,
                ..waiting("retry", now.saturating_add(*delay))
            },
            Settlement::Snooze { delay } => waiting("scheduled", now.saturating_add(*delay)),
            Settlement::Archive { error } => Next {
                error: Some(error),
                ..waiting("archived", whole_second(now))
            },
            Settlement::Requeue { lost } => Next {
                is_first: true,
                lost: *lost,
                ..waiting("pending", Timestamp::EPOCH)
            },
            Settlement::Done { .. } | Settlement::Drop => unreachable!("a task that is done goes nowhere"),
        }
    }
}

async fn move_on(
    connection: &mut SqliteConnection,
    finish: &Finish,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let next = Next::of(settlement, now);
    let place = places(connection, &finish.key.queue, 1).await?;
    let moved = claimed(MOVE_ON, finish, now)
        .bind(next.state)
        .bind(next.at.unix_micros())
        .bind(if next.is_first { -place } else { place })
        .bind(now.unix_micros())
        .bind(next.retried)
        .bind(next.error.map(cut_error_text))
        .bind(next.error.map(|_| whole_second(now).unix_micros()))
        .bind(next.lost)
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() > 0)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![DELETE, COMPLETE, MOVE_ON]
}
