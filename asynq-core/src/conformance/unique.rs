//! Who holds a uniqueness lock, and what releases it.

#![allow(missing_docs, reason = "the names are sentences")]

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::broker::{Receipt, Settlement};
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

const TTL: Duration = secs(3600);

/// Whether a task like this one is accepted. It is called `probe` and stays when it is.
async fn is_free(subject: &Subject, like: TestTask) -> bool {
    let probe = like.with(|message| message.id = id("probe")).unique(TTL);
    is_accepted(&subject.enqueue(probe).await)
}

pub async fn a_second_task_of_the_same_type_and_payload_is_a_duplicate(subject: &Subject) {
    subject.must_enqueue(task("a").unique(TTL)).await;

    let receipt = subject.enqueue(task("b").unique(TTL)).await;

    assert_eq!(receipt, Receipt::Duplicate { holder: id("a") });
    assert_eq!(subject.task("b").await, None);
}

pub async fn the_second_of_two_unique_tasks_in_a_batch_is_a_duplicate(subject: &Subject) {
    let receipts = subject
        .enqueue_all([task("a").unique(TTL), task("b").unique(TTL)])
        .await;

    assert!(is_accepted(&receipts[0]));
    assert_eq!(receipts[1], Receipt::Duplicate { holder: id("a") });
}

pub async fn another_type_payload_or_queue_is_no_duplicate(subject: &Subject) {
    subject.must_enqueue(task("a").unique(TTL)).await;

    subject
        .must_enqueue_all([
            task("b").task_type("u").unique(TTL),
            task("c").payload("other").unique(TTL),
            task("d").queue("other").unique(TTL),
        ])
        .await;
}

pub async fn type_and_payload_are_not_mixed_up(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("a").task_type("t:x").payload("y").unique(TTL),
            task("b").task_type("t").payload("x:y").unique(TTL),
            task("c").task_type("t:").payload("x:y").unique(TTL),
        ])
        .await;
}

pub async fn a_task_that_does_not_ask_to_be_unique_is_no_duplicate(subject: &Subject) {
    subject.must_enqueue(task("a").unique(TTL)).await;

    subject.must_enqueue(task("b")).await;
}

pub async fn tasks_without_payload_are_duplicates_of_each_other(subject: &Subject) {
    subject
        .must_enqueue(task("a").payload(Bytes::new()).unique(TTL))
        .await;

    let receipt = subject.enqueue(task("b").payload(Bytes::new()).unique(TTL)).await;

    assert_eq!(receipt, Receipt::Duplicate { holder: id("a") });
}

pub async fn a_taken_id_is_told_before_a_duplicate(subject: &Subject) {
    subject.must_enqueue(task("a").unique(TTL)).await;

    let receipt = subject.enqueue(task("a").unique(TTL)).await;

    assert_eq!(
        receipt,
        Receipt::IdTaken {
            state: Some(TaskState::Pending)
        }
    );
}

pub async fn a_unique_lock_is_not_taken_when_the_id_is_taken(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    let refused = subject.enqueue(task("a").payload("new").unique(TTL)).await;
    assert!(matches!(refused, Receipt::IdTaken { .. }));

    assert!(is_free(subject, task("probe").payload("new")).await);
}

pub async fn a_lock_is_named_in_the_stored_task(subject: &Subject) {
    let unique = subject.enqueue_and_take(task("a").unique(TTL)).await;
    let free = subject.enqueue_and_take(task("b")).await;

    assert!(
        unique
            .message
            .unique_key
            .as_ref()
            .is_some_and(|name| !name.is_empty())
    );
    assert_eq!(free.message.unique_key, None);
}

pub async fn scheduled_and_grouped_tasks_hold_their_lock(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("scheduled").payload("s").delayed(secs(60)).unique(TTL),
            task("grouped").payload("g").group("g").unique(TTL),
        ])
        .await;

    let receipts = subject
        .enqueue_all([
            task("s2").payload("s").unique(TTL),
            task("g2").payload("g").unique(TTL),
        ])
        .await;

    assert_eq!(
        receipts,
        [
            Receipt::Duplicate {
                holder: id("scheduled")
            },
            Receipt::Duplicate {
                holder: id("grouped")
            }
        ]
    );
}

pub async fn the_lock_of_a_task_for_the_past_begins_now(subject: &Subject) {
    let past = subject.now().saturating_sub(secs(7200));

    subject.must_enqueue(task("a").at(past).unique(TTL)).await;

    assert!(!is_free(subject, task("probe")).await);
}

pub async fn an_active_task_holds_its_lock(subject: &Subject) {
    subject.enqueue_and_take(task("a").unique(TTL)).await;

    assert!(!is_free(subject, task("probe")).await);
}

async fn assert_after(subject: &Subject, task: TestTask, settlement: Settlement, free: bool) {
    let leased = subject.enqueue_and_take(task.unique(TTL)).await;

    subject.settle(&leased, settlement.clone()).await;

    assert_eq!(
        is_free(subject, super::kit::task("probe")).await,
        free,
        "free after {settlement:?}"
    );
}

pub async fn done_releases_the_lock(subject: &Subject) {
    assert_after(subject, task("a"), done(), true).await;
}

pub async fn done_and_kept_releases_the_lock(subject: &Subject) {
    assert_after(subject, task("a").retention(secs(60)), done(), true).await;
}

pub async fn drop_releases_the_lock(subject: &Subject) {
    assert_after(subject, task("a").retention(secs(60)), Settlement::Drop, true).await;
}

pub async fn a_retry_keeps_the_lock(subject: &Subject) {
    assert_after(subject, task("a"), retry(secs(5)), false).await;
}

pub async fn a_snooze_keeps_the_lock(subject: &Subject) {
    assert_after(subject, task("a"), snooze(secs(5)), false).await;
}

pub async fn an_archived_task_keeps_its_lock(subject: &Subject) {
    assert_after(subject, task("a"), archive(), false).await;
}

pub async fn a_requeued_task_keeps_its_lock(subject: &Subject) {
    assert_after(subject, task("a"), requeue(), false).await;
}

pub async fn the_lock_is_released_by_the_attempt_that_succeeds(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a").unique(TTL)).await;
    subject.settle(&first, retry(secs(5))).await;
    subject.advance(secs(5));
    subject.forward().await;

    let second = subject.take().await;
    subject.settle(&second, done()).await;

    assert!(is_free(subject, task("probe")).await);
}

pub async fn a_refused_finish_releases_no_lock(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").unique(TTL)).await;

    subject.finish(&foreign(&leased), done()).await;

    assert!(!is_free(subject, task("probe")).await);
}

pub async fn of_many_enqueueing_the_same_unique_task_at_once_one_wins(subject: &Subject) {
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let broker = subject.broker.clone();
        let new = task(&format!("client-{client}")).unique(TTL).build();
        clients.spawn(async move { broker.enqueue(&[new]).await.unwrap().remove(0) });
    }

    let receipts = clients.join_all().await;

    assert_eq!(
        receipts.iter().filter(|receipt| is_accepted(receipt)).count(),
        1,
        "{receipts:?}"
    );
    assert_eq!(subject.queue_info().await.pending, 1);
}
