//! When scheduled tasks and retries become pending.

#![allow(missing_docs, reason = "the names are sentences")]

use std::time::Duration;

use crate::broker::Forwarded;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

pub async fn a_scheduled_task_is_pending_when_it_is_due_and_not_before(subject: &Subject) {
    subject.must_enqueue(task("a").delayed(millis(1500))).await;

    subject.advance(millis(1499));
    assert_eq!(subject.forward().await, 0);
    assert_eq!(subject.state("a").await, Some(TaskState::Scheduled));

    subject.advance(millis(1));
    assert_eq!(subject.forward().await, 1);
    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn a_task_due_within_the_same_second_is_not_early(subject: &Subject) {
    // The tests start a quarter past a whole second: this stays within it.
    subject.must_enqueue(task("a").delayed(millis(500))).await;

    subject.advance(millis(499));
    assert_eq!(subject.forward().await, 0);

    subject.advance(millis(1));
    assert_eq!(subject.forward().await, 1);
}

pub async fn a_retry_is_pending_when_it_is_due_and_not_before(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, retry(millis(2750))).await;

    subject.advance(millis(2749));
    assert_eq!(subject.forward().await, 0);

    subject.advance(millis(1));
    assert_eq!(subject.forward().await, 1);
    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn a_snoozed_task_is_pending_when_it_is_due_and_not_before(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, snooze(millis(1100))).await;

    subject.advance(millis(1099));
    assert_eq!(subject.forward().await, 0);

    subject.advance(millis(1));
    assert_eq!(subject.forward().await, 1);
}

pub async fn a_retry_without_delay_is_due_at_once(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, retry(Duration::ZERO)).await;

    assert_eq!(subject.forward().await, 1);
    assert_eq!(subject.take().await.key.id, id("a"));
}

pub async fn forwarding_tells_when_the_next_task_is_due(subject: &Subject) {
    let now = subject.now();
    subject
        .must_enqueue_all([
            task("late").delayed(secs(60)),
            task("soon").delayed(millis(5500)),
            task("due").delayed(secs(1)),
        ])
        .await;
    subject.advance(secs(1));

    let forwarded = subject.broker.forward(&default_queue()).await.unwrap();

    assert_eq!((forwarded.moved, forwarded.more), (1, false));
    assert_eq!(forwarded.next_due, Some(now.saturating_add(millis(5500))));
}

pub async fn a_retry_may_be_the_next_task_due(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, retry(millis(1700))).await;
    subject.must_enqueue(task("b").delayed(secs(60))).await;

    let forwarded = subject.broker.forward(&default_queue()).await.unwrap();

    assert_eq!(forwarded.moved, 0);
    assert_eq!(
        forwarded.next_due,
        Some(subject.now().saturating_add(millis(1700)))
    );
}

pub async fn an_empty_queue_has_nothing_due(subject: &Subject) {
    let unknown = subject.broker.forward(&default_queue()).await.unwrap();
    subject.enqueue_and_take(task("a")).await;
    let empty = subject.broker.forward(&default_queue()).await.unwrap();

    assert_eq!([unknown, empty], [Forwarded::default(); 2]);
}

pub async fn tasks_due_earlier_run_earlier(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("3").delayed(secs(9)),
            task("1").delayed(secs(3)),
            task("2").delayed(secs(6)),
        ])
        .await;
    subject.advance(secs(10));

    assert_eq!(subject.forward().await, 3);

    assert_eq!(ids(&subject.take_up_to(3).await), ["1", "2", "3"]);
}

pub async fn forwarded_tasks_come_after_those_that_wait(subject: &Subject) {
    subject
        .must_enqueue_all([task("scheduled").delayed(secs(1)), task("waiting")])
        .await;
    subject.advance(secs(1));

    subject.forward().await;

    assert_eq!(ids(&subject.take_up_to(2).await), ["waiting", "scheduled"]);
}

pub async fn a_forwarded_task_is_pending_since_then(subject: &Subject) {
    subject.must_enqueue(task("a").delayed(secs(5))).await;
    subject.advance(secs(9));

    subject.forward().await;

    assert_eq!(
        subject.queue_info().await.oldest_pending_since,
        Some(subject.now())
    );
}

pub async fn thousands_of_due_tasks_are_forwarded_piece_by_piece(subject: &Subject) {
    subject
        .must_enqueue_all((0..1200).map(|n| task(&format!("task-{n}")).delayed(secs(1))))
        .await;
    subject.advance(secs(2));

    let first = subject.broker.forward(&default_queue()).await.unwrap();
    assert!(first.moved > 0 && first.moved <= 500, "{first:?}");
    assert!(first.more);

    assert_eq!(first.moved + subject.forward().await, 1200);
    assert_eq!(subject.queue_info().await.pending, 1200);
}

pub async fn a_scheduled_task_of_a_group_joins_it_when_it_is_due(subject: &Subject) {
    subject.must_enqueue(task("a").group("g").delayed(secs(5))).await;
    subject.advance(secs(5));

    assert_eq!(subject.forward().await, 1);

    assert_eq!(subject.state("a").await, Some(TaskState::Aggregating));
    assert_eq!(
        subject.broker.groups(&default_queue()).await.unwrap(),
        [group("g")]
    );
    assert_eq!(subject.queue_info().await.aggregating, 1);
}

pub async fn a_paused_queue_is_forwarded(subject: &Subject) {
    subject.must_enqueue(task("a").delayed(secs(5))).await;
    subject.broker.pause(&default_queue()).await.unwrap();
    subject.advance(secs(5));

    assert_eq!(subject.forward().await, 1);
}

pub async fn another_queue_is_not_forwarded(subject: &Subject) {
    subject
        .must_enqueue(task("a").queue("other").delayed(secs(5)))
        .await;
    subject.advance(secs(5));

    assert_eq!(subject.forward().await, 0);
}
