//! Who may act on a task that was taken out.

#![allow(missing_docs, reason = "the names are sentences")]

use std::time::Duration;

use tokio::task::JoinSet;

use crate::broker::{Extension, Finished};
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

fn held(extension: Extension) -> bool {
    matches!(extension, Extension::Held { .. })
}

pub async fn a_foreign_nonce_finishes_nothing(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let before = (subject.stored("a").await, subject.queue_info().await);

    for settlement in every_settlement() {
        let finished = subject.finish(&foreign(&leased), settlement.clone()).await;
        assert_eq!(finished, Finished::NotOwner, "{settlement:?}");
    }

    assert_eq!((subject.stored("a").await, subject.queue_info().await), before);
    subject.settle(&leased, done()).await;
}

pub async fn a_holder_without_nonce_does_not_finish_the_task_of_one_with(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let mut without = leased.clone();
    without.key.nonce = 0;

    assert_eq!(subject.finish(&without, done()).await, Finished::NotOwner);
    assert_eq!(subject.extend(&without).await, Extension::Lost);
    subject.settle(&leased, done()).await;
}

pub async fn a_late_holder_finishes_while_nobody_has_taken_the_task(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.advance(PAST_LEASE);

    subject.settle(&leased, done()).await;
    assert_eq!(subject.task("a").await, None);
}

pub async fn a_task_taken_by_another_is_not_finished_by_the_first_holder(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a")).await;
    subject.advance(PAST_LEASE);
    let recovered = subject
        .finish_expired(&first.key, &first.message, requeue_lost())
        .await;
    assert_eq!(recovered, Finished::Settled);
    let second = subject.take().await;
    let before = (subject.stored("a").await, subject.queue_info().await);

    for settlement in every_settlement() {
        assert_eq!(
            subject.finish(&first, settlement.clone()).await,
            Finished::NotOwner,
            "{settlement:?}"
        );
    }

    assert_eq!((subject.stored("a").await, subject.queue_info().await), before);
    subject.settle(&second, done()).await;
}

pub async fn a_recovered_task_that_waits_is_not_finished_by_its_holder(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.advance(PAST_LEASE);
    subject
        .finish_expired(&leased.key, &leased.message, retry(secs(60)))
        .await;

    assert_eq!(subject.finish(&leased, done()).await, Finished::NotOwner);

    assert_eq!(subject.state("a").await, Some(TaskState::Retry));
}

pub async fn an_extension_moves_the_end_of_the_lease(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.advance(secs(20));

    let extension = subject.extend(&leased).await;

    let Extension::Held { expires_at, cancel } = extension else {
        panic!("the lease was lost")
    };
    assert_within_a_second(expires_at, subject.now().saturating_add(LEASE));
    assert!(!cancel);
    subject.advance(secs(20));
    assert!(
        subject.expired().await.is_empty(),
        "the first lease would have ended"
    );
    subject.advance(secs(12));
    assert_eq!(subject.expired().await.len(), 1);
}

pub async fn a_lease_is_held_until_somebody_takes_the_task(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.advance(PAST_LEASE);

    assert!(held(subject.extend(&leased).await));
    assert!(subject.expired().await.is_empty());
}

pub async fn an_extended_lease_still_finishes(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    for _ in 0..3 {
        subject.advance(secs(10));
        assert!(held(subject.extend(&leased).await));
    }

    subject.settle(&leased, done()).await;
}

pub async fn the_lease_of_a_finished_task_is_lost(subject: &Subject) {
    for (n, settlement) in every_settlement().into_iter().enumerate() {
        let leased = subject.enqueue_and_take(task(&format!("task-{n}"))).await;
        subject.settle(&leased, settlement.clone()).await;

        assert_eq!(subject.extend(&leased).await, Extension::Lost, "{settlement:?}");
        // Out of the way of the next round.
        subject.take_up_to(1).await;
    }
}

pub async fn the_lease_of_a_task_taken_by_another_is_lost(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a")).await;
    subject.settle(&first, requeue()).await;
    let second = subject.take().await;

    assert_eq!(subject.extend(&first).await, Extension::Lost);
    assert!(held(subject.extend(&second).await));
}

pub async fn extensions_are_answered_in_order(subject: &Subject) {
    subject
        .must_enqueue_all([task("a"), task("b"), task("a").queue("other")])
        .await;
    let leased = subject.dequeue(&["default", "other"], 3).await;
    subject.settle(&leased[1], done()).await;
    let keys: Vec<_> = leased.iter().map(|leased| leased.key.clone()).collect();

    let extensions = subject.broker.extend(&keys, LEASE).await.unwrap();

    assert_eq!(
        extensions.into_iter().map(held).collect::<Vec<_>>(),
        [true, false, true]
    );
}

pub async fn extending_nothing_has_no_answers(subject: &Subject) {
    assert!(subject.broker.extend(&[], LEASE).await.unwrap().is_empty());
}

pub async fn the_leases_of_the_same_id_in_two_queues_are_two(subject: &Subject) {
    subject
        .must_enqueue_all([task("a").queue("q1"), task("a").queue("q2")])
        .await;
    let leased = subject.dequeue(&["q1", "q2"], 2).await;
    subject.advance(secs(20));
    assert!(held(subject.extend(&leased[0]).await));

    subject.advance(secs(20));

    assert!(
        subject
            .broker
            .expired(&queue("q1"), 10)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    assert_eq!(
        subject
            .broker
            .expired(&queue("q2"), 10)
            .await
            .unwrap()
            .tasks
            .len(),
        1
    );
}

pub async fn a_cancelled_task_is_told_at_its_next_extension(subject: &Subject) {
    subject.must_enqueue_all([task("a"), task("b")]).await;
    let leased = subject.take_up_to(2).await;

    subject
        .broker
        .cancel(Some(&default_queue()), &id("a"))
        .await
        .unwrap();

    assert!(matches!(
        subject.extend(&leased[0]).await,
        Extension::Held { cancel: true, .. }
    ));
    assert!(matches!(
        subject.extend(&leased[1]).await,
        Extension::Held { cancel: false, .. }
    ));
}

pub async fn a_cancelled_task_of_another_queue_is_left_alone(subject: &Subject) {
    subject
        .must_enqueue_all([task("a").queue("q1"), task("a").queue("q2")])
        .await;
    let leased = subject.dequeue(&["q1", "q2"], 2).await;

    subject.broker.cancel(Some(&queue("q2")), &id("a")).await.unwrap();

    assert!(matches!(
        subject.extend(&leased[0]).await,
        Extension::Held { cancel: false, .. }
    ));
    assert!(matches!(
        subject.extend(&leased[1]).await,
        Extension::Held { cancel: true, .. }
    ));
}

pub async fn the_next_attempt_of_a_cancelled_task_is_not_cancelled(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a")).await;
    subject
        .broker
        .cancel(Some(&default_queue()), &id("a"))
        .await
        .unwrap();
    subject.settle(&first, retry(Duration::ZERO)).await;
    subject.forward().await;

    let second = subject.take().await;

    assert!(matches!(
        subject.extend(&second).await,
        Extension::Held { cancel: false, .. }
    ));
}

pub async fn cancelling_a_task_that_does_not_run_changes_nothing(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    let before = subject.stored("a").await;

    subject
        .broker
        .cancel(Some(&default_queue()), &id("a"))
        .await
        .unwrap();
    subject
        .broker
        .cancel(Some(&default_queue()), &id("nobody"))
        .await
        .unwrap();
    subject
        .broker
        .cancel(Some(&queue("nowhere")), &id("a"))
        .await
        .unwrap();

    assert_eq!(subject.stored("a").await, before);
    assert_eq!(subject.task("nobody").await, None);
    let leased = subject.take().await;
    assert!(matches!(
        subject.extend(&leased).await,
        Extension::Held { cancel: false, .. }
    ));
}

pub async fn of_many_finishing_the_same_lease_at_once_one_settles_it(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let mut workers = JoinSet::new();
    for n in 0..8 {
        let broker = subject.broker.clone();
        let settlement = if n % 2 == 0 { done() } else { retry(secs(60)) };
        let finish = finish_of(&leased, settlement);
        workers.spawn(async move { broker.finish(&[finish]).await.unwrap().remove(0) });
    }

    let finished = workers.join_all().await;

    let settled = finished
        .iter()
        .filter(|finished| **finished == Finished::Settled)
        .count();
    assert_eq!(settled, 1);
    assert_eq!(subject.queue_info().await.processed, 1);
}
