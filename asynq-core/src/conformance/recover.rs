//! What happens to tasks whose worker is gone.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::Finished;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

pub async fn a_lease_is_expired_after_its_end_and_not_before(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.advance(secs(28));
    assert!(subject.expired().await.is_empty());

    subject.advance(secs(4));
    let expired = subject.expired().await;
    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].key, leased.key);
    assert_eq!(*expired[0].message, *leased.message);
}

pub async fn looking_for_expired_leases_changes_nothing(subject: &Subject) {
    subject.enqueue_and_take(task("a")).await;
    subject.advance(PAST_LEASE);

    assert_eq!(subject.expired().await.len(), 1);
    assert_eq!(subject.expired().await.len(), 1);
    assert_eq!(subject.state("a").await, Some(TaskState::Active));
}

pub async fn no_more_expired_leases_are_told_than_asked_for(subject: &Subject) {
    subject.must_enqueue_all(["1", "2", "3"].map(task)).await;
    subject.take_up_to(3).await;
    subject.advance(PAST_LEASE);

    assert_eq!(
        subject
            .broker
            .expired(&default_queue(), 2)
            .await
            .unwrap()
            .tasks
            .len(),
        2
    );
    assert_eq!(
        subject
            .broker
            .expired(&default_queue(), 0)
            .await
            .unwrap()
            .tasks
            .len(),
        0
    );
}

pub async fn the_end_of_the_next_lease_is_told(subject: &Subject) {
    assert_eq!(
        subject
            .broker
            .expired(&default_queue(), 10)
            .await
            .unwrap()
            .next_expiry,
        None
    );
    subject.enqueue_and_take(task("a")).await;
    subject.advance(secs(20));
    let later = subject.enqueue_and_take(task("b")).await;

    subject.advance(secs(15));

    let found = subject.broker.expired(&default_queue(), 10).await.unwrap();
    assert_eq!(found.tasks.len(), 1);
    let told = found.next_expiry.expect("there is one lease more");
    let apart = told
        .saturating_since(later.expires_at)
        .max(later.expires_at.saturating_since(told));
    assert!(apart <= secs(1), "{told} instead of {}", later.expires_at);
}

pub async fn expired_leases_of_another_queue_are_not_told(subject: &Subject) {
    subject.must_enqueue(task("a").queue("other")).await;
    subject.dequeue(&["other"], 1).await;
    subject.advance(PAST_LEASE);

    assert!(subject.expired().await.is_empty());
}

pub async fn a_task_is_not_started_until_its_lease_is_extended(subject: &Subject) {
    subject.must_enqueue_all([task("never"), task("started")]).await;
    let leased = subject.take_up_to(2).await;
    subject.extend(&leased[1]).await;

    subject.advance(PAST_LEASE);

    let mut expired = subject.expired().await;
    expired.sort_by(|a, b| a.key.id.cmp(&b.key.id));
    let facts: Vec<_> = expired
        .iter()
        .map(|lease| (lease.key.id.as_str(), lease.started, lease.lost))
        .collect();
    assert_eq!(facts, [("never", false, 0), ("started", true, 0)]);
}

pub async fn the_next_attempt_counts_as_not_started_again(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a")).await;
    subject.extend(&first).await;
    subject.settle(&first, requeue()).await;
    subject.take().await;

    subject.advance(PAST_LEASE);

    assert!(!subject.expired().await[0].started);
}

/// Lets a worker that takes the next task out die before it starts, and says how many did before.
pub(super) async fn lose(subject: &Subject) -> u32 {
    subject.take().await;
    subject.advance(PAST_LEASE);
    let lost = subject.expired().await.remove(0);
    let finished = subject
        .finish_expired(&lost.key, &lost.message, requeue_lost())
        .await;
    assert_eq!(finished, Finished::Settled);
    lost.lost
}

pub async fn losses_before_the_start_are_counted(subject: &Subject) {
    subject.must_enqueue(task("a")).await;

    assert_eq!(lose(subject).await, 0);
    assert_eq!(lose(subject).await, 1);
    assert_eq!(lose(subject).await, 2);

    let info = subject.queue_info().await;
    assert_eq!((info.processed, info.failed), (0, 0), "no attempt is charged");
    assert_eq!(subject.stored("a").await.message.retried, 0);
}

pub async fn a_start_ends_the_row_of_losses(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    lose(subject).await;
    let started = subject.take().await;
    subject.extend(&started).await;
    subject.advance(PAST_LEASE);

    let expired = subject.expired().await.remove(0);

    assert_eq!((expired.started, expired.lost), (true, 0));
}

pub async fn a_settled_attempt_ends_the_row_of_losses(subject: &Subject) {
    for (n, settlement) in [retry(secs(0)), snooze(secs(0)), requeue()]
        .into_iter()
        .enumerate()
    {
        subject.must_enqueue(task(&format!("task-{n}"))).await;
        lose(subject).await;
        let leased = subject.take().await;
        subject.settle(&leased, settlement.clone()).await;
        subject.forward().await;

        assert_eq!(lose(subject).await, 0, "{settlement:?}");

        let leased = subject.take().await;
        subject.settle(&leased, done()).await;
    }
}

pub async fn an_expired_task_is_settled_by_who_finds_it(subject: &Subject) {
    for (n, settlement) in every_settlement().into_iter().enumerate() {
        let leased = subject.enqueue_and_take(task(&format!("task-{n}"))).await;
        subject.advance(PAST_LEASE);

        let finished = subject
            .finish_expired(&leased.key, &leased.message, settlement.clone())
            .await;

        assert_eq!(finished, Finished::Settled, "{settlement:?}");
        // Out of the way of the next round.
        for leased in subject.take_up_to(1).await {
            subject.settle(&leased, done()).await;
        }
    }
}

pub async fn a_recovered_task_runs_next(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.must_enqueue(task("b")).await;
    subject.advance(PAST_LEASE);

    subject
        .finish_expired(&leased.key, &leased.message, requeue_lost())
        .await;

    assert_eq!(ids(&subject.take_up_to(2).await), ["a", "b"]);
}

pub async fn a_valid_lease_is_not_claimed_as_expired(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.advance(secs(28));

    let finished = subject
        .finish_expired(&leased.key, &leased.message, retry(secs(0)))
        .await;

    assert_eq!(finished, Finished::NotOwner);
    assert_eq!(subject.state("a").await, Some(TaskState::Active));
}

pub async fn a_lease_extended_meanwhile_is_not_claimed_as_expired(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.advance(PAST_LEASE);
    let found = subject.expired().await.remove(0);
    subject.extend(&leased).await;

    let finished = subject
        .finish_expired(&found.key, &found.message, retry(secs(0)))
        .await;

    assert_eq!(finished, Finished::NotOwner);
    assert_eq!(subject.state("a").await, Some(TaskState::Active));
}

pub async fn an_expired_task_is_claimed_once(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.advance(PAST_LEASE);
    let found = subject.expired().await.remove(0);
    subject
        .finish_expired(&found.key, &found.message, requeue_lost())
        .await;
    // Taken out again and expired again: the first finding is of another attempt.
    subject.take().await;
    subject.advance(PAST_LEASE);

    let finished = subject
        .finish_expired(&leased.key, &leased.message, requeue_lost())
        .await;

    assert_eq!(finished, Finished::NotOwner);
    assert_eq!(subject.state("a").await, Some(TaskState::Active));
}

pub async fn a_task_without_retries_left_is_archived_by_who_finds_it(subject: &Subject) {
    let leased = subject
        .enqueue_and_take(task("a").with(|message| message.max_retry = 0))
        .await;
    subject.extend(&leased).await;
    subject.advance(PAST_LEASE);

    subject
        .finish_expired(&leased.key, &leased.message, archive())
        .await;

    assert_eq!(subject.state("a").await, Some(TaskState::Archived));
    assert!(subject.expired().await.is_empty());
}

pub async fn an_orphaned_task_shows_as_such(subject: &Subject) {
    subject.enqueue_and_take(task("a")).await;
    assert!(!subject.stored("a").await.is_orphaned);

    subject.advance(PAST_LEASE);

    assert!(subject.stored("a").await.is_orphaned);
}

pub async fn a_sound_queue_has_nothing_to_mend(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("a"),
            task("b"),
            task("c").delayed(secs(5)),
            task("d").group("g"),
        ])
        .await;
    subject.take().await;
    let mut cursor = Default::default();
    loop {
        let reconciled = subject.broker.reconcile(&default_queue(), cursor).await.unwrap();
        assert_eq!(reconciled.total(), 0, "{reconciled:?}");
        cursor = reconciled.next;
        if cursor == Default::default() {
            break;
        }
    }

    assert_eq!(subject.state("a").await, Some(TaskState::Active));
    assert_eq!(subject.queue_info().await.size(), 4);
}
