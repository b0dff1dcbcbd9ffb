//! What schedulers share, as it lies in Redis.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::time::Duration;

use asynq_core::broker::{EntryKey, ScheduleEntry, ScheduleEvent, ScheduleStore, TickReceipt};
use asynq_core::{BrokerError, Timestamp};
use asynq_fixtures::{RedisOptions, RedisServer};
use bytes::Bytes;

use support::*;

fn key() -> EntryKey {
    EntryKey {
        queue: queue("q"),
        id: "e".to_owned(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
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

#[tokio::test]
async fn a_tick_lies_beside_its_queue_and_what_is_enqueued_is_as_for_any_task() {
    let mut subject = Subject::new().await;

    let receipt = subject.broker.enqueue_tick(&key(), at(START), &task("a")).await;

    assert!(matches!(receipt.unwrap(), TickReceipt::Taken(_)));
    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: a
             asynq:{q}:t:a: msg pending_since=1700000000000000000 state=pending
             asynq:{q}:tick:e: 1700000000000000",
        )
        .await;
    let ttl: i64 = subject.raw("TTL asynq:{q}:tick:e").await;
    assert!((399 * 86_400..=400 * 86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn entries_and_events_lie_where_go_looks_for_them_and_expire() {
    let mut subject = Subject::new().await;
    let event = ScheduleEvent {
        task_id: id("a"),
        enqueued_at: at(START),
    };

    let ttl = Duration::from_millis(2500);
    subject
        .broker
        .publish_entries("h:1:u", &[entry()], ttl)
        .await
        .unwrap();
    subject.broker.record_event("e", &event).await.unwrap();

    let schedulers: Vec<String> = subject.raw("ZRANGE asynq:schedulers 0 -1 WITHSCORES").await;
    assert_eq!(schedulers, ["asynq:schedulers:{h:1:u}", "1700000002"]);
    let ttl: i64 = subject.raw("TTL asynq:schedulers:{h:1:u}").await;
    assert!((2..=3).contains(&ttl), "{ttl}");
    let history: i64 = subject.raw("TTL asynq:scheduler_history:e").await;
    assert!(history > 89 * 86_400, "{history}");

    subject.broker.withdraw_entries("h:1:u").await.unwrap();
    let keys: Vec<String> = subject.raw("KEYS *").await;
    assert_eq!(keys, ["asynq:scheduler_history:e"]);
}

#[tokio::test]
async fn entries_are_shown_until_the_end_of_the_second_in_which_they_expire_as_in_go() {
    let subject = Subject::new().await;
    let ttl = Duration::from_secs(20);
    subject
        .broker
        .publish_entries("s", &[entry()], ttl)
        .await
        .unwrap();

    subject.clock.advance(ttl);
    let in_that_second = subject.broker.schedule_entries().await.unwrap();
    subject.clock.advance(Duration::from_secs(1));
    let after_it = subject.broker.schedule_entries().await.unwrap();

    assert_eq!(in_that_second, [entry()]);
    assert_eq!(after_it, []);
}

#[tokio::test]
async fn records_that_cannot_be_read_are_not_shown() {
    let mut subject = Subject::new().await;
    let ttl = Duration::from_secs(20);
    subject
        .broker
        .publish_entries("s", &[entry()], ttl)
        .await
        .unwrap();
    let _: i64 = subject.raw("LPUSH asynq:schedulers:{s} rubbish").await;
    let _: i64 = subject.raw("ZADD asynq:schedulers 1800000000 asynq:queues").await;

    assert_eq!(subject.broker.schedule_entries().await.unwrap(), [entry()]);
}

#[tokio::test]
async fn keys_of_other_types_are_damage_and_stay_as_they_are() {
    let mut subject = Subject::new().await;
    let _: i64 = subject.raw("LPUSH asynq:{q}:tick:e x").await;

    let enqueued = subject.broker.enqueue_tick(&key(), at(START), &task("a")).await;
    let last = subject.broker.last_tick(&key(), at(START)).await;

    assert!(
        matches!(enqueued, Err(BrokerError::Corrupt { .. })),
        "{enqueued:?}"
    );
    assert!(matches!(last, Err(BrokerError::Corrupt { .. })), "{last:?}");
    subject.expect("asynq:queues: q\nasynq:{q}:tick:e: x").await;
}

#[tokio::test]
async fn a_full_server_takes_neither_tick_nor_task() {
    let server = RedisServer::start_with(RedisOptions {
        arguments: ["--maxmemory", "1"].map(str::to_owned).to_vec(),
        ..RedisOptions::default()
    });
    let mut subject = Subject::at(&server.url()).await;

    let refused = subject.broker.enqueue_tick(&key(), at(START), &task("a")).await;
    assert!(matches!(refused, Err(BrokerError::Full { .. })), "{refused:?}");
    subject.expect("").await;

    let _: String = subject.raw("CONFIG SET maxmemory 0").await;
    let receipt = subject.broker.enqueue_tick(&key(), at(START), &task("a")).await;
    assert!(matches!(receipt.unwrap(), TickReceipt::Taken(_)));
}
