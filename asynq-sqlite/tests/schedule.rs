//! What schedulers share, as it lies in the file.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{EntryKey, NewTask, Receipt, ScheduleEntry, ScheduleEvent, TickReceipt};
use asynq_core::conformance::clock;
use asynq_core::{
    DEFAULT_MAX_PAYLOAD, Inspect, ManualClock, Page, QueueName, RawTask, ScheduleStore, TaskId, TaskOptions,
    Timestamp, new_task,
};
use asynq_sqlite::SqliteBroker;
use asynq_sqlite::sqlx::{self, ConnectOptions, Executor, Row, SqliteConnection};
use bytes::Bytes;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Subject {
    broker: SqliteBroker,
    clock: Arc<ManualClock>,
    path: PathBuf,
}

impl Subject {
    async fn new() -> Self {
        Self::at(support::dir_of_this_test().join("tasks.db")).await
    }

    async fn at(path: PathBuf) -> Self {
        let clock = clock();
        let broker = SqliteBroker::builder(&path).clock(clock.clone()).open().await;
        Subject {
            broker: broker.unwrap(),
            clock,
            path,
        }
    }

    async fn enqueue_tick(&self, number: i64) -> TickReceipt {
        let receipt = self
            .broker
            .enqueue_tick(&key(), tick(number), &task(number))
            .await;
        receipt.unwrap()
    }

    /// Shows entries again, as schedulers do all the time.
    async fn heartbeat(&self) {
        let ttl = Duration::from_secs(20);
        self.broker.publish_entries("s", &[entry()], ttl).await.unwrap();
    }

    async fn rows(&self, table: &str) -> i64 {
        let mut connection = connect(&self.path).await;
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query(count)
            .fetch_one(&mut connection)
            .await
            .unwrap()
            .get(0)
    }

    async fn pending(&self) -> u64 {
        let info = self.broker.queue_info(&key().queue).await.unwrap();
        info.map_or(0, |info| info.pending)
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    options.create_if_missing(true).connect().await.unwrap()
}

fn key() -> EntryKey {
    EntryKey {
        queue: QueueName::default_queue(),
        id: "e".to_owned(),
    }
}

fn tick(number: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_699_999_800 + number * 60)
}

fn task(number: i64) -> NewTask {
    let mut options = TaskOptions::new();
    options.task_id = Some(format!("sched:e:{number}"));
    new_task(RawTask::new("t", ""), options, DEFAULT_MAX_PAYLOAD).unwrap()
}

fn entry() -> ScheduleEntry {
    ScheduleEntry {
        id: "e".to_owned(),
        spec: "@every 1m".to_owned(),
        task_type: "t".to_owned(),
        payload: Bytes::new(),
        options: Vec::new(),
        next_enqueue_at: None,
        previous_enqueue_at: None,
    }
}

fn event(number: i64) -> ScheduleEvent {
    ScheduleEvent {
        task_id: TaskId::new(format!("sched:e:{number}")).unwrap(),
        enqueued_at: tick(number),
    }
}

fn is_accepted(receipt: &TickReceipt) -> bool {
    matches!(receipt, TickReceipt::Taken(Receipt::Accepted { .. }))
}

#[tokio::test]
async fn a_tick_whose_task_cannot_be_stored_is_not_taken() {
    let subject = Subject::new().await;
    let mut connection = connect(&subject.path).await;
    connection
        .execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON asynq_tasks BEGIN SELECT raise(ABORT, 'the test says no'); END",
        )
        .await
        .unwrap();

    let refused = subject.broker.enqueue_tick(&key(), tick(1), &task(1)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(subject.rows("asynq_ticks").await, 0);

    connection.execute("DROP TRIGGER refuse").await.unwrap();
    assert!(is_accepted(&subject.enqueue_tick(1).await));
    assert_eq!(subject.pending().await, 1);
}

#[tokio::test]
async fn ticks_that_nobody_asks_for_are_forgotten_after_400_days() {
    let subject = Subject::new().await;
    assert!(is_accepted(&subject.enqueue_tick(1).await));
    subject.clock.advance(DAY * 399);
    subject.heartbeat().await;
    let last = subject.broker.last_tick(&key(), tick(9)).await.unwrap();
    assert_eq!(last, tick(1));

    subject.clock.advance(DAY * 399);
    subject.heartbeat().await;
    assert_eq!(subject.rows("asynq_ticks").await, 1, "asking for it kept it");
    subject.clock.advance(DAY);
    subject.heartbeat().await;

    assert_eq!(subject.rows("asynq_ticks").await, 0);
}

#[tokio::test]
async fn events_are_forgotten_90_days_after_the_last() {
    let subject = Subject::new().await;
    subject.broker.record_event("e", &event(1)).await.unwrap();
    subject.clock.advance(DAY * 89);
    subject.broker.record_event("e", &event(2)).await.unwrap();
    subject.broker.record_event("f", &event(3)).await.unwrap();
    subject.clock.advance(DAY * 89);
    subject.heartbeat().await;
    let kept = subject.broker.schedule_events("e", Page::first(9)).await.unwrap();
    assert_eq!(kept, [event(2), event(1)], "the first goes with the last");
    subject.broker.record_event("f", &event(4)).await.unwrap();

    subject.clock.advance(DAY);
    subject.heartbeat().await;

    assert_eq!(subject.rows("asynq_schedule_events").await, 2, "those of f");
    assert_eq!(subject.rows("asynq_schedule_histories").await, 1);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_not_shown() {
    let subject = Subject::new().await;
    let damaged = ScheduleEntry {
        id: "damaged".to_owned(),
        ..entry()
    };
    let ttl = Duration::from_secs(20);
    subject
        .broker
        .publish_entries("s", &[damaged, entry()], ttl)
        .await
        .unwrap();
    let mut connection = connect(&subject.path).await;
    connection
        .execute("UPDATE asynq_schedule_entries SET options = 'rubbish' WHERE id = 'damaged'")
        .await
        .unwrap();

    assert_eq!(subject.broker.schedule_entries().await.unwrap(), [entry()]);
}

#[tokio::test]
async fn entries_of_schedulers_that_died_do_not_stay_in_the_file() {
    let subject = Subject::new().await;
    let ttl = Duration::from_secs(20);
    subject
        .broker
        .publish_entries("dead", &[entry(), entry()], ttl)
        .await
        .unwrap();
    subject.clock.advance(ttl);

    subject.heartbeat().await;

    assert_eq!(subject.rows("asynq_schedulers").await, 1);
    assert_eq!(subject.rows("asynq_schedule_entries").await, 1);
}

#[tokio::test]
async fn a_file_of_the_first_version_gets_the_tables_and_keeps_its_tasks() {
    let path = support::dir_of_this_test().join("tasks.db");
    let mut connection = connect(&path).await;
    let first = include_str!("../src/migrations/0001_tasks.sql");
    connection.execute(sqlx::raw_sql(first)).await.unwrap();
    connection
        .execute(
            "CREATE TABLE asynq_schema (version INTEGER NOT NULL) STRICT;
            INSERT INTO asynq_schema (version) VALUES (1);
            INSERT INTO asynq_queues (name, used) VALUES ('default', 1);
            INSERT INTO asynq_tasks
            (queue, id, state, at, place, since, type, payload, max_retry, retried, last_error, retention)
            VALUES ('default', 'old', 'pending', 0, 1, 0, 't', x'', 1, 0, '', 0)",
        )
        .await
        .unwrap();

    let subject = Subject::at(path).await;

    assert!(is_accepted(&subject.enqueue_tick(1).await));
    assert_eq!(subject.pending().await, 2);
    assert_eq!(subject.rows("asynq_schema WHERE version = 2").await, 1);
}
