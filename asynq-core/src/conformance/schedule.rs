use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Broker, EntryKey, NewTask, Page, Receipt, ScheduleEntry, ScheduleEvent, TickReceipt};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

const TTL: Duration = Duration::from_secs(20);

fn key(id: &str) -> EntryKey {
    EntryKey {
        queue: default_queue(),
        id: id.to_owned(),
    }
}

/// The nth tick, of which the first two lie in the past when a test starts.
fn tick(number: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_699_999_800 + number * 60)
}

/// What a scheduler enqueues for a tick.
fn run(number: i64) -> TestTask {
    task(&format!("sched:e:{number}"))
}

fn entry(id: &str) -> ScheduleEntry {
    ScheduleEntry {
        id: id.to_owned(),
        spec: "@every 1m".to_owned(),
        task_type: "t".to_owned(),
        payload: Bytes::from_static(b"\x00\xff"),
        options: vec!["Queue(\"low\")".to_owned(), "MaxRetry(3)".to_owned()],
        next_enqueue_at: Some(tick(5)),
        previous_enqueue_at: Some(tick(4)),
    }
}

fn event(number: i64) -> ScheduleEvent {
    ScheduleEvent {
        task_id: id(&format!("sched:e:{number}")),
        enqueued_at: tick(number).saturating_add(millis(3)),
    }
}

impl Subject {
    async fn enqueue_tick(&self, number: i64) -> TickReceipt {
        self.enqueue_tick_of("e", number, run(number)).await
    }

    async fn enqueue_tick_of(&self, entry: &str, number: i64, task: TestTask) -> TickReceipt {
        let task = task.build();
        self.broker
            .enqueue_tick(&key(entry), tick(number), &task)
            .await
            .unwrap()
    }

    async fn shown(&self) -> Vec<ScheduleEntry> {
        self.broker.schedule_entries().await.unwrap()
    }

    async fn publish(&self, scheduler: &str, entries: &[ScheduleEntry]) {
        self.broker
            .publish_entries(scheduler, entries, TTL)
            .await
            .unwrap();
    }

    async fn events(&self, entry: &str, page: Page) -> Vec<ScheduleEvent> {
        self.broker.schedule_events(entry, page).await.unwrap()
    }
}

#[track_caller]
fn assert_taken(receipt: &TickReceipt) {
    assert!(
        matches!(receipt, TickReceipt::Taken(Receipt::Accepted { .. })),
        "{receipt:?}"
    );
}

pub async fn an_entry_that_is_not_known_is_noted_as_of_now(subject: &Subject) {
    let first = subject.broker.last_tick(&key("e"), tick(1)).await.unwrap();
    let second = subject.broker.last_tick(&key("e"), tick(9)).await.unwrap();

    assert_eq!((first, second), (tick(1), tick(1)));
}

pub async fn the_task_of_a_tick_is_enqueued(subject: &Subject) {
    let receipt = subject.enqueue_tick(1).await;

    let now = subject.now();
    assert_eq!(
        receipt,
        TickReceipt::Taken(accepted(TaskState::Pending, Some(now)))
    );
    assert_eq!(ids(&subject.take_up_to(9).await), ["sched:e:1"]);
    let last = subject.broker.last_tick(&key("e"), tick(0)).await.unwrap();
    assert_eq!(last, tick(1));
}

pub async fn a_tick_is_enqueued_once(subject: &Subject) {
    assert_taken(&subject.enqueue_tick(1).await);

    let again = subject.enqueue_tick(1).await;

    assert_eq!(again, TickReceipt::Passed { last: tick(1) });
    assert_eq!(subject.take_up_to(9).await.len(), 1);
}

pub async fn a_tick_is_enqueued_once_even_when_its_task_is_done(subject: &Subject) {
    assert_taken(&subject.enqueue_tick(1).await);
    let leased = subject.take().await;
    subject.settle(&leased, done()).await;

    let again = subject.enqueue_tick(1).await;

    assert_eq!(again, TickReceipt::Passed { last: tick(1) });
    assert!(subject.take_up_to(9).await.is_empty());
}

pub async fn a_tick_that_was_left_behind_is_not_enqueued(subject: &Subject) {
    assert_taken(&subject.enqueue_tick(3).await);

    let earlier = subject.enqueue_tick(2).await;

    assert_eq!(earlier, TickReceipt::Passed { last: tick(3) });
    assert_taken(&subject.enqueue_tick(4).await);
}

pub async fn an_archived_run_does_not_block_the_next_tick(subject: &Subject) {
    assert_taken(&subject.enqueue_tick(1).await);
    let leased = subject.take().await;
    subject.settle(&leased, archive()).await;

    assert_taken(&subject.enqueue_tick(2).await);

    assert_eq!(subject.take_up_to(9).await.len(), 1);
}

pub async fn a_kept_run_does_not_block_the_next_tick(subject: &Subject) {
    let kept = run(1).retention(secs(3600));
    assert_taken(&subject.enqueue_tick_of("e", 1, kept).await);
    let leased = subject.take().await;
    subject.settle(&leased, done()).await;

    assert_taken(&subject.enqueue_tick(2).await);
}

pub async fn a_tick_whose_task_is_refused_is_taken_all_the_same(subject: &Subject) {
    let unique = |number| run(number).unique(secs(3600));
    assert_taken(&subject.enqueue_tick_of("e", 1, unique(1)).await);

    let refused = subject.enqueue_tick_of("e", 2, unique(2)).await;

    assert_eq!(
        refused,
        TickReceipt::Taken(Receipt::Duplicate {
            holder: id("sched:e:1")
        })
    );
    let again = subject.enqueue_tick_of("e", 2, unique(2)).await;
    assert_eq!(again, TickReceipt::Passed { last: tick(2) });
}

pub async fn a_tick_for_later_is_scheduled(subject: &Subject) {
    let delayed = run(1).delayed(secs(60));

    let receipt = subject.enqueue_tick_of("e", 1, delayed).await;

    let due = subject.now().saturating_add(secs(60));
    assert_eq!(
        receipt,
        TickReceipt::Taken(accepted(TaskState::Scheduled, Some(due)))
    );
}

pub async fn entries_and_queues_have_ticks_of_their_own(subject: &Subject) {
    assert_taken(&subject.enqueue_tick(5).await);

    assert_taken(&subject.enqueue_tick_of("f", 1, task("sched:f:1")).await);
    let other = EntryKey {
        queue: queue("low"),
        id: "e".to_owned(),
    };
    let low = run(1).queue("low").build();
    let receipt = subject.broker.enqueue_tick(&other, tick(1), &low).await.unwrap();
    assert_taken(&receipt);
}

pub async fn the_task_of_a_tick_must_be_of_its_queue(subject: &Subject) {
    let elsewhere = run(1).queue("low").build();

    let error = subject
        .broker
        .enqueue_tick(&key("e"), tick(1), &elsewhere)
        .await
        .unwrap_err();

    assert!(matches!(error, BrokerError::Config(_)), "{error}");
    assert_taken(&subject.enqueue_tick(1).await);
}

pub async fn of_many_enqueueing_the_same_tick_at_once_one_wins(subject: &Subject) {
    let claims: Vec<_> = (0..20)
        .map(|number| claim(subject.broker.clone(), task(&format!("copy-{number}")).build()))
        .map(tokio::spawn)
        .collect();

    let mut taken = 0;
    for claim in claims {
        taken += usize::from(matches!(claim.await.unwrap(), TickReceipt::Taken(_)));
    }

    assert_eq!(taken, 1);
    assert_eq!(subject.take_up_to(99).await.len(), 1);
}

async fn claim(broker: Arc<dyn Broker>, task: NewTask) -> TickReceipt {
    broker.enqueue_tick(&key("e"), tick(1), &task).await.unwrap()
}

pub async fn without_schedulers_no_entries_are_shown(subject: &Subject) {
    assert!(subject.shown().await.is_empty());
    assert!(subject.events("e", ALL).await.is_empty());
}

pub async fn entries_are_shown_in_the_order_they_were_registered(subject: &Subject) {
    let entries = [entry("a"), entry("c"), entry("b")];

    subject.publish("s1", &entries).await;

    assert_eq!(subject.shown().await, entries);
}

pub async fn the_entries_published_last_are_shown(subject: &Subject) {
    subject.publish("s1", &[entry("a"), entry("b")]).await;

    subject.publish("s1", &[entry("c")]).await;

    assert_eq!(subject.shown().await, [entry("c")]);
    subject.publish("s1", &[]).await;
    assert!(subject.shown().await.is_empty());
}

pub async fn withdrawn_entries_are_not_shown(subject: &Subject) {
    subject.publish("s1", &[entry("a")]).await;
    subject.publish("s2", &[entry("b")]).await;

    subject.broker.withdraw_entries("s1").await.unwrap();
    subject.broker.withdraw_entries("unknown").await.unwrap();

    assert_eq!(subject.shown().await, [entry("b")]);
}

pub async fn entries_that_are_not_published_again_are_not_shown_for_long(subject: &Subject) {
    subject.publish("s1", &[entry("a")]).await;
    subject.advance(secs(15));
    subject.publish("s2", &[entry("b")]).await;

    subject.advance(secs(10));

    assert_eq!(subject.shown().await, [entry("b")]);
}

pub async fn an_entry_that_never_fires_is_shown_without_times(subject: &Subject) {
    let mut never = entry("a");
    never.next_enqueue_at = None;
    never.previous_enqueue_at = None;

    subject.publish("s1", std::slice::from_ref(&never)).await;

    assert_eq!(subject.shown().await, [never]);
}

pub async fn events_are_shown_latest_first(subject: &Subject) {
    for number in [1, 2, 3, 3] {
        subject.broker.record_event("e", &event(number)).await.unwrap();
    }

    assert_eq!(subject.events("e", ALL).await, [event(3), event(2), event(1)]);
    let page = Page { offset: 1, limit: 1 };
    assert_eq!(subject.events("e", page).await, [event(2)]);
}

pub async fn no_more_than_a_thousand_events_are_kept(subject: &Subject) {
    for number in 0..1010 {
        subject.broker.record_event("e", &event(number)).await.unwrap();
    }

    let events = subject.events("e", ALL).await;
    assert_eq!(events.len(), 1000);
    assert_eq!((&events[0], &events[999]), (&event(1009), &event(10)));
}

pub async fn each_entry_has_events_of_its_own(subject: &Subject) {
    subject.broker.record_event("e", &event(1)).await.unwrap();

    assert!(subject.events("f", ALL).await.is_empty());
}
