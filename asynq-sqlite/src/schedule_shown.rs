//! What is shown of schedulers: their entries, and what was enqueued for each.

use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{ScheduleEntry, ScheduleEvent};
use asynq_core::{BrokerError, Now, Page, TaskId, Timestamp};
use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::schedule::forget_ticks;
use crate::writer::{Operation, Transaction};

const KEEP_EVENTS: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const MAX_EVENTS: i64 = 1000;

/// Shows the entries of a scheduler. Schedulers do so again and again, so this also forgets what has been kept long
/// enough.
pub(crate) struct Publish {
    pub(crate) scheduler: String,
    pub(crate) entries: Vec<ScheduleEntry>,
    pub(crate) ttl: Duration,
}

const EXPIRE: &str = "DELETE FROM asynq_schedulers WHERE expires <= ?1";
const FORGET_EVENTS: &str = "DELETE FROM asynq_schedule_histories WHERE expires <= ?1";
const PUBLISH: &str = "INSERT INTO asynq_schedulers (id, expires) VALUES (?1, ?2)";
const ADD_ENTRY: &str = "INSERT INTO asynq_schedule_entries
    (scheduler, place, id, spec, type, payload, options, next_at, previous_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

#[async_trait]
impl Operation for Publish {
    type Answer = ();

    fn name(&self) -> &'static str {
        "publish entries"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        let now = transaction.now;
        let connection = &mut transaction.connection;
        // Entries and events go with what they belong to.
        for statement in [EXPIRE, FORGET_EVENTS] {
            sqlx::query(statement)
                .bind(now.unix_micros())
                .execute(&mut *connection)
                .await?;
        }
        forget_ticks(connection, now).await?;
        withdraw(connection, &self.scheduler).await?;
        sqlx::query(PUBLISH)
            .bind(self.scheduler.as_str())
            .bind(now.saturating_add(self.ttl).unix_micros())
            .execute(&mut *connection)
            .await?;
        for (place, entry) in (0_i64..).zip(&self.entries) {
            self.add(connection, place, entry).await?;
        }
        Ok(())
    }
}

impl Publish {
    async fn add(
        &self,
        connection: &mut SqliteConnection,
        place: i64,
        entry: &ScheduleEntry,
    ) -> Result<(), sqlx::Error> {
        let options =
            serde_json::to_string(&entry.options).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(ADD_ENTRY)
            .bind(self.scheduler.as_str())
            .bind(place)
            .bind(entry.id.as_str())
            .bind(entry.spec.as_str())
            .bind(entry.task_type.as_str())
            .bind(&entry.payload[..])
            .bind(options)
            .bind(entry.next_enqueue_at.map(Timestamp::unix_micros))
            .bind(entry.previous_enqueue_at.map(Timestamp::unix_micros))
            .execute(connection)
            .await
            .map(drop)
    }
}

pub(crate) struct Withdraw(pub(crate) String);

#[async_trait]
impl Operation for Withdraw {
    type Answer = ();

    fn name(&self) -> &'static str {
        "withdraw entries"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        withdraw(&mut transaction.connection, &self.0).await
    }
}

const WITHDRAW: &str = "DELETE FROM asynq_schedulers WHERE id = ?1";

async fn withdraw(connection: &mut SqliteConnection, scheduler: &str) -> Result<(), sqlx::Error> {
    sqlx::query(WITHDRAW)
        .bind(scheduler)
        .execute(connection)
        .await
        .map(drop)
}

/// Notes what was enqueued for an entry.
pub(crate) struct Record {
    pub(crate) entry: String,
    pub(crate) event: ScheduleEvent,
}

const KEEP_HISTORY: &str = "INSERT INTO asynq_schedule_histories (entry, expires) VALUES (?1, ?2)
    ON CONFLICT (entry) DO UPDATE SET expires = excluded.expires";
// The same event is recorded again when no answer came.
const RECORD: &str = "INSERT INTO asynq_schedule_events (entry, enqueued_at, task_id) VALUES (?1, ?2, ?3)
    ON CONFLICT DO NOTHING";
const TRIM: &str = "DELETE FROM asynq_schedule_events WHERE entry = ?1 AND (enqueued_at, task_id) <= (
    SELECT enqueued_at, task_id FROM asynq_schedule_events WHERE entry = ?1
    ORDER BY enqueued_at DESC, task_id DESC LIMIT 1 OFFSET ?2)";

#[async_trait]
impl Operation for Record {
    type Answer = ();

    fn name(&self) -> &'static str {
        "record event"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        let expires = transaction.now.saturating_add(KEEP_EVENTS);
        let connection = &mut transaction.connection;
        sqlx::query(KEEP_HISTORY)
            .bind(self.entry.as_str())
            .bind(expires.unix_micros())
            .execute(&mut *connection)
            .await?;
        sqlx::query(RECORD)
            .bind(self.entry.as_str())
            .bind(self.event.enqueued_at.unix_micros())
            .bind(self.event.task_id.as_str())
            .execute(&mut *connection)
            .await?;
        sqlx::query(TRIM)
            .bind(self.entry.as_str())
            .bind(MAX_EVENTS)
            .execute(connection)
            .await
            .map(drop)
    }
}

const ENTRIES: &str = "SELECT entry.id, spec, type, payload, options, next_at, previous_at
    FROM asynq_schedulers JOIN asynq_schedule_entries AS entry ON scheduler = asynq_schedulers.id
    WHERE expires > ?1 ORDER BY asynq_schedulers.id, place";
const EVENTS: &str = "SELECT task_id, enqueued_at FROM asynq_schedule_events WHERE entry = ?1
    ORDER BY enqueued_at DESC, task_id DESC LIMIT ?2 OFFSET ?3";

impl SqliteBroker {
    pub(crate) async fn read_schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        const OPERATION: &str = "list schedule entries";
        let failed = self.failed(OPERATION, None);
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(ENTRIES)
            .bind(self.now().unix_micros())
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        // What cannot be read is not shown, and keeps no other from being.
        Ok(rows.iter().filter_map(|row| entry(row).ok()).collect())
    }

    pub(crate) async fn read_schedule_events(
        &self,
        entry: &str,
        page: Page,
    ) -> Result<Vec<ScheduleEvent>, BrokerError> {
        const OPERATION: &str = "list schedule events";
        let failed = self.failed(OPERATION, None);
        let mut reader = self.reader(OPERATION).await?;
        let rows = sqlx::query(EVENTS)
            .bind(entry)
            .bind(i64::try_from(page.limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(page.offset).unwrap_or(i64::MAX))
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        rows.iter().map(event).collect::<Result<_, _>>().map_err(failed)
    }
}

fn entry(row: &SqliteRow) -> Result<ScheduleEntry, sqlx::Error> {
    let time = |column| {
        let micros: Option<i64> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(micros.map(Timestamp::from_unix_micros))
    };
    Ok(ScheduleEntry {
        id: row.try_get("id")?,
        spec: row.try_get("spec")?,
        task_type: row.try_get("type")?,
        payload: Bytes::copy_from_slice(row.try_get("payload")?),
        options: serde_json::from_str(row.try_get("options")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        next_enqueue_at: time("next_at")?,
        previous_enqueue_at: time("previous_at")?,
    })
}

fn event(row: &SqliteRow) -> Result<ScheduleEvent, sqlx::Error> {
    Ok(ScheduleEvent {
        task_id: TaskId::from_stored(row.try_get::<&str, _>("task_id")?),
        enqueued_at: Timestamp::from_unix_micros(row.try_get("enqueued_at")?),
    })
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![
        EXPIRE,
        FORGET_EVENTS,
        PUBLISH,
        ADD_ENTRY,
        WITHDRAW,
        KEEP_HISTORY,
        RECORD,
        TRIM,
        ENTRIES,
        EVENTS,
    ]
}
