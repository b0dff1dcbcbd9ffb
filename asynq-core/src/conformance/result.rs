//! Results that a handler stores.

#![allow(missing_docs, reason = "the names are sentences")]

use std::time::Duration;

use bytes::Bytes;

use super::Subject;
use super::kit::*;
use crate::broker::Leased;

async fn write(subject: &Subject, leased: &Leased, result: &'static str) -> bool {
    subject
        .broker
        .write_result(&leased.key, result.into())
        .await
        .unwrap()
}

async fn read(subject: &Subject, id: &str) -> Option<Bytes> {
    subject.stored(id).await.result
}

pub async fn a_result_shows_while_the_task_runs(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    assert_eq!(read(subject, "a").await, None);

    assert!(write(subject, &leased, "half").await);

    assert_eq!(read(subject, "a").await.as_deref(), Some(&b"half"[..]));
}

pub async fn the_last_result_counts(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;
    write(subject, &leased, "first").await;
    write(subject, &leased, "second").await;

    subject.settle(&leased, done()).await;

    assert_eq!(read(subject, "a").await.as_deref(), Some(&b"second"[..]));
}

pub async fn the_result_of_done_replaces_a_written_one(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;
    write(subject, &leased, "half").await;

    subject.settle(&leased, done_with("all")).await;

    assert_eq!(read(subject, "a").await.as_deref(), Some(&b"all"[..]));
}

pub async fn a_written_result_survives_a_retry(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    write(subject, &leased, "half").await;

    subject.settle(&leased, retry(Duration::ZERO)).await;
    assert_eq!(read(subject, "a").await.as_deref(), Some(&b"half"[..]));

    subject.forward().await;
    subject.take().await;
    assert_eq!(read(subject, "a").await.as_deref(), Some(&b"half"[..]));
}

pub async fn a_result_may_hold_any_bytes(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let bytes = Bytes::from((0..=255).collect::<Vec<u8>>());

    assert!(
        subject
            .broker
            .write_result(&leased.key, bytes.clone())
            .await
            .unwrap()
    );

    assert_eq!(read(subject, "a").await, Some(bytes));
}

pub async fn a_result_after_the_end_leaves_nothing_behind(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, done()).await;

    assert!(!write(subject, &leased, "late").await);

    assert_eq!(subject.task("a").await, None);
    subject.must_enqueue(task("a")).await;
    assert_eq!(read(subject, "a").await, None);
}

pub async fn a_holder_that_lost_its_task_writes_no_result(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a")).await;
    subject.settle(&first, requeue()).await;
    assert!(!write(subject, &first, "waiting").await);
    let second = subject.take().await;

    assert!(!write(subject, &first, "mine").await);
    assert!(!write(subject, &foreign(&second), "nobody's").await);

    assert_eq!(read(subject, "a").await, None);
}

pub async fn a_result_for_an_unknown_queue_is_refused(subject: &Subject) {
    let mut leased = subject.enqueue_and_take(task("a")).await;
    leased.key.queue = queue("nowhere");

    assert!(!write(subject, &leased, "x").await);
}
