//! What becomes of a task that was taken out.

use std::collections::HashMap;
use std::sync::LazyLock;

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

    fn queue(&self) -> Option<&QueueName> {
        let queue = &self.0.first()?.key.queue;
        let is_only_one = self.0.iter().all(|finish| finish.key.queue == *queue);
        is_only_one.then_some(queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Vec<Finished>, sqlx::Error> {
        let mut attempts: HashMap<&QueueName, Attempts> = HashMap::new();
        let mut answers = Vec::with_capacity(self.0.len());
        for run in self.0.chunk_by(|one, next| is_deleted(one) && is_deleted(next)) {
            for part in run.chunks(MOST_DELETED) {
                answers.extend(settle_all(&mut transaction.connection, part, transaction.now).await?);
            }
        }
        for (finish, answer) in self.0.iter().zip(&answers) {
            if *answer == Finished::Settled {
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

/// Nearly all finishes end in a deletion: those that follow one another are carried out together.
fn is_deleted(finish: &Finish) -> bool {
    match finish.settlement {
        Settlement::Done { .. } => finish.message.retention.is_zero(),
        Settlement::Drop => true,
        _ => false,
    }
}

/// Settles those that are deleted, or a single other one.
async fn settle_all(
    connection: &mut SqliteConnection,
    finishes: &[Finish],
    now: Timestamp,
) -> Result<Vec<Finished>, sqlx::Error> {
    match finishes {
        [finish] if !is_deleted(finish) => {
            let settled = settle(connection, finish, now).await?;
            Ok(vec![answer(settled)])
        }
        finishes => delete_all(connection, finishes, now).await,
    }
}

fn answer(settled: bool) -> Finished {
    if settled {
        Finished::Settled
    } else {
        Finished::NotOwner
    }
}

/// Whether the claim held and the task was settled, which it is not by its deletion.
async fn settle(
    connection: &mut SqliteConnection,
    finish: &Finish,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    match &finish.settlement {
        Settlement::Done { result } => complete(connection, finish, result.as_deref(), now).await,
        settlement => move_on(connection, finish, settlement, now).await,
    }
}

/// The condition that a claim holds, on the first four parameters.
macro_rules! claimed {
    () => {
        " WHERE queue = ?1 AND id = ?2 AND state = 'active' AND nonce = ?3 AND at <= ?4"
    };
}

/// A statement with the first four parameters bound.
fn claimed<'q>(sql: &'static str, finish: &Finish, now: Timestamp) -> Query<'q, Sqlite, SqliteArguments> {
    bind_claim(sqlx::query(sql), finish, now)
}

/// The latest end of a lease with which a claim holds.
fn latest(claim: Claim, now: Timestamp) -> Timestamp {
    match claim {
        Claim::Holder => Timestamp::MAX,
        Claim::Expired => now,
    }
}

fn bind_claim<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    finish: &Finish,
    now: Timestamp,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(finish.key.queue.as_str())
        .bind(finish.key.id.as_str())
        .bind(i64::from(finish.key.nonce))
        .bind(latest(finish.claim, now).unix_micros())
}

/// How many tasks one statement deletes. There is a statement for each of these numbers, prepared once.
const ROWS: [usize; 4] = [1, 4, 16, MOST_DELETED];
const MOST_DELETED: usize = 64;

static DELETE: LazyLock<[String; ROWS.len()]> = LazyLock::new(|| ROWS.map(delete_statement));

// The claims are gone through one by one, each a search: what a cross join means to SQLite.
fn delete_statement(rows: usize) -> String {
    const ONE: &str = "(?, ?, ?, ?)";
    format!(
        "WITH claims (queue, id, nonce, latest) AS (VALUES {})
        DELETE FROM asynq_tasks WHERE number IN (
            SELECT tasks.number FROM claims CROSS JOIN asynq_tasks AS tasks
            WHERE tasks.queue = claims.queue AND tasks.id = claims.id AND tasks.state = 'active'
            AND tasks.nonce = claims.nonce AND tasks.at <= claims.latest)
        RETURNING queue, id, nonce, at, unique_key",
        vec![ONE; rows].join(", ")
    )
}

/// Deletes those whose claim holds, no more than [`MOST_DELETED`], and releases their locks.
async fn delete_all(
    connection: &mut SqliteConnection,
    finishes: &[Finish],
    now: Timestamp,
) -> Result<Vec<Finished>, sqlx::Error> {
    let size = ROWS
        .iter()
        .position(|rows| finishes.len() <= *rows)
        .unwrap_or(ROWS.len() - 1);
    let mut query = sqlx::query(DELETE[size].as_str());
    for finish in finishes {
        query = bind_claim(query, finish, now);
    }
    // Claims without an id are nobody's.
    for _ in finishes.len()..ROWS[size] {
        query = query
            .bind(None::<&str>)
            .bind(None::<&str>)
            .bind(None::<i64>)
            .bind(None::<i64>);
    }
    let rows = query.fetch_all(&mut *connection).await?;
    let mut deleted = HashMap::new();
    for row in &rows {
        let task = (row.try_get::<&str, _>(0)?, row.try_get::<&str, _>(1)?);
        let lease = (row.try_get::<i64, _>(2)?, row.try_get::<i64, _>(3)?);
        deleted.insert(task, (lease, row.try_get::<Option<&str>, _>(4)?));
    }
    let mut answers = Vec::with_capacity(finishes.len());
    for finish in finishes {
        // Several may be of one task: those of earlier holders are refused, and of the same holder the first is
        // carried out.
        let task = (finish.key.queue.as_str(), finish.key.id.as_str());
        let holds = |((nonce, at), _): &(_, _)| {
            *nonce == i64::from(finish.key.nonce) && *at <= latest(finish.claim, now).unix_micros()
        };
        let settled = deleted.get(&task).is_some_and(holds);
        if settled && let Some((_, unique_key)) = deleted.remove(&task) {
            release_lock(connection, finish, unique_key).await?;
        }
        answers.push(answer(settled));
    }
    Ok(answers)
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

// A task that ran by itself waits by itself: once it is due it would join its group.
const MOVE_ON: &str = concat!(
    "UPDATE asynq_tasks
    SET state = ?5, at = ?6, place = ?7, since = ?8,
        group_name = iif(?5 = 'scheduled', NULL, group_name),
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
    let mut all = vec![COMPLETE, MOVE_ON];
    all.extend(DELETE.iter().map(String::as_str));
    all
}
