//! How long tasks are kept.

#![allow(missing_docs, reason = "the names are sentences")]

use std::time::Duration;

use crate::broker::Purged;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn purge(subject: &Subject) -> Purged {
    purge_up_to(subject, 1000).await
}

async fn purge_up_to(subject: &Subject, limit: usize) -> Purged {
    subject.broker.purge(&default_queue(), limit).await.unwrap()
}

pub async fn a_completed_task_is_kept_for_its_retention(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;
    subject.settle(&leased, done()).await;

    subject.advance(secs(59));
    assert_eq!(purge(subject).await, Purged::default());

    // One more than the retention: the end is a whole second, rounded either way.
    subject.advance(secs(2));
    assert_eq!(purge(subject).await.completed, 1);
    assert_eq!(subject.task("a").await, None);
}

pub async fn each_completed_task_has_its_own_retention(subject: &Subject) {
    for (id, retention) in [("long", 600), ("short", 60)] {
        let leased = subject
            .enqueue_and_take(task(id).retention(secs(retention)))
            .await;
        subject.settle(&leased, done()).await;
    }
    subject.advance(secs(61));

    assert_eq!(purge(subject).await.completed, 1);

    assert_eq!(subject.listed(TaskState::Completed).await, ["long"]);
}

pub async fn the_id_of_a_purged_task_is_free(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;
    subject.settle(&leased, done()).await;
    subject.advance(secs(61));
    purge(subject).await;

    subject.must_enqueue(task("a")).await;
}

pub async fn an_archived_task_is_kept_for_ninety_days(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, archive()).await;

    subject.advance(90 * DAY - secs(2));
    assert_eq!(purge(subject).await, Purged::default());
    assert_eq!(subject.state("a").await, Some(TaskState::Archived));

    subject.advance(secs(4));
    assert_eq!(purge(subject).await.archived, 1);
    assert_eq!(subject.task("a").await, None);
}

pub async fn purging_an_archived_task_releases_its_lock(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").unique(365 * DAY)).await;
    subject.settle(&leased, archive()).await;
    subject.advance(91 * DAY);

    purge(subject).await;

    subject.must_enqueue(task("b").unique(DAY)).await;
}

pub async fn waiting_and_running_tasks_are_never_purged(subject: &Subject) {
    subject.enqueue_and_take(task("active")).await;
    let failed = subject.enqueue_and_take(task("retry")).await;
    subject.settle(&failed, retry(secs(1))).await;
    subject
        .must_enqueue_all([
            task("pending"),
            task("scheduled").delayed(secs(1)),
            task("aggregating").group("g"),
        ])
        .await;
    subject.advance(365 * DAY);

    assert_eq!(purge(subject).await, Purged::default());

    assert_eq!(subject.queue_info().await.size(), 5);
}

pub async fn a_call_purges_no_more_than_it_may(subject: &Subject) {
    subject
        .must_enqueue_all((0..25).map(|n| task(&format!("task-{n}")).retention(secs(60))))
        .await;
    for leased in subject.take_up_to(25).await {
        subject.settle(&leased, done()).await;
    }
    subject.advance(secs(61));

    let first = purge_up_to(subject, 10).await;
    assert_eq!((first.completed, first.more), (10, true));

    let second = purge_up_to(subject, 10).await;
    assert_eq!((second.completed, second.more), (10, true));

    let third = purge_up_to(subject, 10).await;
    assert_eq!((third.completed, third.more), (5, false));
}

pub async fn of_more_than_ten_thousand_archived_tasks_the_oldest_are_purged(subject: &Subject) {
    for batch in 0..15 {
        let size = if batch == 0 { 30 } else { 715 };
        subject
            .must_enqueue_all((0..size).map(|n| task(&format!("task-{batch}-{n}"))))
            .await;
        let leased = subject.take_up_to(size).await;
        let finishes: Vec<_> = leased.iter().map(|leased| finish_of(leased, archive())).collect();
        subject.broker.finish(&finishes).await.unwrap();
        subject.advance(secs(1));
    }

    while purge_up_to(subject, 500).await.more {}

    assert_eq!(subject.queue_info().await.archived, 10_000);
    // 40 were too many: the whole first batch, and ten of the second.
    assert_eq!(subject.task("task-0-29").await, None);
    assert_eq!(subject.state("task-2-0").await, Some(TaskState::Archived));
    assert_eq!(subject.state("task-14-714").await, Some(TaskState::Archived));
}

pub async fn an_unknown_queue_has_nothing_to_purge(subject: &Subject) {
    assert_eq!(purge(subject).await, Purged::default());
    assert!(subject.broker.queues().await.unwrap().is_empty());
}
