//! What schedulers share: the last tick of each entry. What is shown of them is in `schedule_shown`.

use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{EntryKey, NewTask, ScheduleEntry, ScheduleEvent, ScheduleStore, TickReceipt};
use asynq_core::{BrokerError, Page, QueueName, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::enqueue::{note_changes, size, store};
use crate::schedule_shown::{Publish, Record, Withdraw};
use crate::writer::{Operation, Transaction};

/// Longer than a year, so that yearly entries are remembered.
const KEEP_TICKS: Duration = Duration::from_secs(400 * 24 * 60 * 60);

#[async_trait]
impl ScheduleStore for SqliteBroker {
    async fn last_tick(&self, entry: &EntryKey, since: Timestamp) -> Result<Timestamp, BrokerError> {
        let entry = entry.clone();
        self.write(LastTick { entry, since }).await
    }

    async fn enqueue_tick(
        &self,
        entry: &EntryKey,
        tick: Timestamp,
        task: &NewTask,
    ) -> Result<TickReceipt, BrokerError> {
        entry.check(task)?;
        let (entry, task) = (entry.clone(), task.clone());
        self.write(EnqueueTick { entry, tick, task }).await
    }

    async fn publish_entries(
        &self,
        scheduler: &str,
        entries: &[ScheduleEntry],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let (scheduler, entries) = (scheduler.to_owned(), entries.to_vec());
        self.write(Publish {
            scheduler,
            entries,
            ttl,
        })
        .await
    }

    async fn withdraw_entries(&self, scheduler: &str) -> Result<(), BrokerError> {
        self.write(Withdraw(scheduler.to_owned())).await
    }

    async fn record_event(&self, entry: &str, event: &ScheduleEvent) -> Result<(), BrokerError> {
        let (entry, event) = (entry.to_owned(), event.clone());
        self.write(Record { entry, event }).await
    }

    async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        self.read_schedule_entries().await
    }

    async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError> {
        self.read_schedule_events(entry, page).await
    }
}

struct LastTick {
    entry: EntryKey,
    since: Timestamp,
}

const NOTE_TICK: &str = "INSERT INTO asynq_ticks (queue, entry, tick, used) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (queue, entry) DO UPDATE SET used = excluded.used
    RETURNING tick";

#[async_trait]
impl Operation for LastTick {
    type Answer = Timestamp;

    fn name(&self) -> &'static str {
        "last tick"
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.entry.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Timestamp, sqlx::Error> {
        let row = sqlx::query(NOTE_TICK)
            .bind(self.entry.queue.as_str())
            .bind(self.entry.id.as_str())
            .bind(self.since.unix_micros())
            .bind(transaction.now.unix_micros())
            .fetch_one(&mut transaction.connection)
            .await?;
        row.try_get(0).map(Timestamp::from_unix_micros)
    }
}

struct EnqueueTick {
    entry: EntryKey,
    tick: Timestamp,
    task: NewTask,
}

const TAKE_TICK: &str = "INSERT INTO asynq_ticks (queue, entry, tick, used) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (queue, entry) DO UPDATE SET tick = excluded.tick, used = excluded.used WHERE tick < excluded.tick";
const LAST_TICK: &str = "SELECT tick FROM asynq_ticks WHERE queue = ?1 AND entry = ?2";

#[async_trait]
impl Operation for EnqueueTick {
    type Answer = TickReceipt;

    fn name(&self) -> &'static str {
        "enqueue tick"
    }

    fn brings(&self) -> Option<u64> {
        Some(size(&self.task))
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.entry.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<TickReceipt, sqlx::Error> {
        let now = transaction.now;
        if !self.take(&mut transaction.connection, now).await? {
            let last = self.last(&mut transaction.connection).await?;
            return Ok(TickReceipt::Passed { last });
        }
        let task = std::slice::from_ref(&self.task);
        let mut receipts = store(&mut transaction.connection, task, now).await?;
        note_changes(&mut transaction.changes, task, &receipts);
        let receipt = receipts.pop().ok_or(sqlx::Error::RowNotFound)?;
        Ok(TickReceipt::Taken(receipt))
    }
}

impl EnqueueTick {
    async fn take(&self, connection: &mut SqliteConnection, now: Timestamp) -> Result<bool, sqlx::Error> {
        let taken = sqlx::query(TAKE_TICK)
            .bind(self.entry.queue.as_str())
            .bind(self.entry.id.as_str())
            .bind(self.tick.unix_micros())
            .bind(now.unix_micros())
            .execute(connection)
            .await?;
        Ok(taken.rows_affected() > 0)
    }

    async fn last(&self, connection: &mut SqliteConnection) -> Result<Timestamp, sqlx::Error> {
        let row = sqlx::query(LAST_TICK)
            .bind(self.entry.queue.as_str())
            .bind(self.entry.id.as_str())
            .fetch_one(connection)
            .await?;
        row.try_get(0).map(Timestamp::from_unix_micros)
    }
}

const FORGET_TICKS: &str = "DELETE FROM asynq_ticks WHERE used <= ?1";

/// Deletes the ticks of entries that no scheduler has had for long.
pub(crate) async fn forget_ticks(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(FORGET_TICKS)
        .bind(now.saturating_sub(KEEP_TICKS).unix_micros())
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![NOTE_TICK, TAKE_TICK, LAST_TICK, FORGET_TICKS]
}
