//! What is mended that crashes of other programs leave behind.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::time::Duration;

use asynq_core::broker::{GroupLimits, ReconcileCursor, Reconciled};
use asynq_core::{Aggregate, Dequeue, GroupName, Maintain, QueueName, TaskMessage};

use support::*;

/// One whole pass.
async fn reconcile(subject: &Subject) -> Reconciled {
    let mut all = Reconciled::default();
    loop {
        let part = subject.broker.reconcile(&queue("q"), all.next).await.unwrap();
        all = Reconciled {
            leases_added: all.leases_added + part.leases_added,
            leases_removed: all.leases_removed + part.leases_removed,
            tasks_relisted: all.tasks_relisted + part.tasks_relisted,
            remains_deleted: all.remains_deleted + part.remains_deleted,
            groups_relisted: all.groups_relisted + part.groups_relisted,
            next: part.next,
        };
        if all.next == ReconcileCursor::default() {
            return all;
        }
    }
}

async fn grouped(subject: &Subject, ids: &[&str]) {
    for id in ids {
        let mut task = task(id);
        task.message = TaskMessage {
            group: Some(GroupName::new("g:h").unwrap()),
            ..task.message
        };
        asynq_core::Enqueue::enqueue(&subject.broker, &[task])
            .await
            .unwrap();
    }
}

const AT_ONCE: GroupLimits = GroupLimits {
    grace_period: Duration::ZERO,
    max_delay: None,
    max_size: None,
};

#[tokio::test]
async fn a_sound_queue_is_left_alone() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a", "b", "c", "d"]).await;
    let tasks = subject.dequeue(3).await.tasks;
    let error = "boom".to_owned();
    let archive = asynq_core::broker::Settlement::Archive { error: error.clone() };
    subject.finish(&tasks[0], archive).await;
    let delay = Duration::from_millis(1500);
    let retry = asynq_core::broker::Settlement::Retry {
        delay,
        error,
        is_failure: true,
    };
    subject.finish(&tasks[1], retry).await;
    grouped(&subject, &["1", "2"]).await;
    let group = GroupName::new("g:h").unwrap();
    subject
        .broker
        .seal(&queue("q"), &group, &AT_ONCE)
        .await
        .unwrap()
        .unwrap();
    grouped(&subject, &["3"]).await;
    let before = subject.snapshot().await;

    assert_eq!(reconcile(&subject).await.total(), 0);

    assert_eq!(subject.snapshot().await, before);
}

#[tokio::test]
async fn an_active_task_without_lease_gets_one_and_comes_back_later() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    subject.dequeue(1).await;
    let _: i64 = subject.raw("DEL asynq:{q}:lease").await;

    assert_eq!(reconcile(&subject).await.leases_added, 1);

    let score: f64 = subject.raw("ZSCORE asynq:{q}:lease a").await;
    assert_eq!(score, (START + 30) as f64);
    subject.clock.advance(Duration::from_secs(61));
    assert_eq!(
        subject.broker.expired(&queue("q"), 9).await.unwrap().tasks.len(),
        1
    );
}

#[tokio::test]
async fn tasks_in_no_list_are_put_back_in_the_one_of_their_state() {
    let mut subject = Subject::new().await;
    subject
        .enqueue(&["active", "scheduled", "retry", "archived", "completed", "pending"])
        .await;
    for id in ["active", "scheduled", "retry", "archived", "completed"] {
        let _: i64 = subject.raw(&format!("HSET asynq:{{q}}:t:{id} state {id}")).await;
    }
    let _: i64 = subject.raw("HSET asynq:{q}:t:retry due 1700000007500000").await;
    let _: i64 = subject.raw("DEL asynq:{q}:pending").await;

    assert_eq!(reconcile(&subject).await.tasks_relisted, 6);

    let mut pending: Vec<String> = subject.raw("LRANGE asynq:{q}:pending 0 -1").await;
    pending.sort();
    assert_eq!(pending, ["active", "pending"]);
    for (set, score) in [
        ("scheduled", 0),
        ("retry", 8),
        ("archived", 0),
        ("completed", 86_400),
    ] {
        let found: i64 = subject.raw(&format!("ZSCORE asynq:{{q}}:{set} {set}")).await;
        assert_eq!(found, START + score, "{set}");
    }
    assert_eq!(reconcile(&subject).await.total(), 0);
}

#[tokio::test]
async fn what_a_half_done_script_left_runs_again() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    subject.dequeue(1).await;
    // As Go's doneCmd does when the lease is missing.
    let _: i64 = subject.raw("DEL asynq:{q}:lease asynq:{q}:active").await;

    assert_eq!(reconcile(&subject).await.tasks_relisted, 1);

    assert_eq!(ids(&subject.dequeue(1).await), ["a"]);
}

#[tokio::test]
async fn remains_without_a_task_in_them_are_deleted() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    let _: i64 = subject.raw("HSET asynq:{q}:t:gone result 42").await;
    let _: i64 = subject.raw("HSET asynq:{q}:t:stub state active").await;
    let _: i64 = subject.raw("LPUSH asynq:{q}:active stub").await;

    assert_eq!(reconcile(&subject).await.remains_deleted, 2);

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: a
             asynq:{q}:t:a: msg pending_since=1700000000000000000 state=pending",
        )
        .await;
}

#[tokio::test]
async fn a_lease_of_a_task_that_is_not_active_is_removed() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    let _: i64 = subject
        .raw("ZADD asynq:{q}:lease 1800000000 a 1800000000 b")
        .await;

    assert_eq!(reconcile(&subject).await.leases_removed, 2);

    let leases: i64 = subject.raw("EXISTS asynq:{q}:lease").await;
    assert_eq!(leases, 0);
}

#[tokio::test]
async fn groups_and_sets_that_nobody_lists_are_listed_again() {
    let mut subject = Subject::new().await;
    grouped(&subject, &["1"]).await;
    let group = GroupName::new("g:h").unwrap();
    subject
        .broker
        .seal(&queue("q"), &group, &AT_ONCE)
        .await
        .unwrap()
        .unwrap();
    grouped(&subject, &["2"]).await;
    let _: i64 = subject
        .raw("DEL asynq:{q}:aggregation_sets asynq:{q}:groups")
        .await;

    assert_eq!(reconcile(&subject).await.groups_relisted, 2);

    assert_eq!(subject.broker.reclaim(&queue("q")).await.unwrap(), 1);
    let set = subject
        .broker
        .seal(&queue("q"), &group, &AT_ONCE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(set.tasks.len(), 2);
    assert!(subject.broker.groups(&queue("q")).await.unwrap().is_empty());
}

#[tokio::test]
async fn undecodable_and_missing_tasks_are_left_out_of_a_set() {
    let mut subject = Subject::new().await;
    grouped(&subject, &["1", "2", "3"]).await;
    let _: i64 = subject.raw("HSET asynq:{q}:t:2 msg garbage").await;
    let _: i64 = subject.raw("DEL asynq:{q}:t:3").await;

    let group = GroupName::new("g:h").unwrap();
    let set = subject
        .broker
        .seal(&queue("q"), &group, &AT_ONCE)
        .await
        .unwrap()
        .unwrap();

    assert_eq!(set.tasks.len(), 1);
    let archived: Vec<String> = subject.raw("ZRANGE asynq:{q}:archived 0 -1").await;
    assert_eq!(archived, ["2"]);
}

#[tokio::test]
async fn large_sets_are_merged_and_reclaimed_in_steps() {
    let mut subject = Subject::new().await;
    let tasks: Vec<_> = (0..1234)
        .map(|n| {
            let mut task = task(&format!("{n}"));
            task.message.group = Some(GroupName::new("g").unwrap());
            task
        })
        .collect();
    asynq_core::Enqueue::enqueue(&subject.broker, &tasks)
        .await
        .unwrap();
    let group = GroupName::new("g").unwrap();
    subject
        .broker
        .seal(&queue("q"), &group, &AT_ONCE)
        .await
        .unwrap()
        .unwrap();
    subject.clock.advance(Duration::from_secs(120));
    assert_eq!(subject.broker.reclaim(&queue("q")).await.unwrap(), 1);

    let set = subject
        .broker
        .seal(&queue("q"), &group, &AT_ONCE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(set.tasks.len(), 1234);
    subject
        .broker
        .finish_set(&set.key, &task("merged"))
        .await
        .unwrap()
        .unwrap();

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: merged
             asynq:{q}:t:merged: msg pending_since=1700000120000000000 state=pending",
        )
        .await;
}

#[tokio::test]
async fn names_that_look_like_patterns_are_taken_as_they_are() {
    let mut subject = Subject::new().await;
    let odd = QueueName::new("q*[a-z]?\\").unwrap();
    let mut strange = task("a");
    strange.message.queue = odd.clone();
    asynq_core::Enqueue::enqueue(&subject.broker, &[strange, task("b")])
        .await
        .unwrap();
    let leased = subject
        .broker
        .dequeue(std::slice::from_ref(&odd), 1, LEASE)
        .await
        .unwrap();
    assert_eq!(leased.tasks.len(), 1);
    let _: i64 = subject
        .raw("DEL asynq:{q*[a-z]?\\}:lease asynq:{q*[a-z]?\\}:active")
        .await;

    let mut cursor = ReconcileCursor::default();
    let mut relisted = 0;
    loop {
        let part = subject.broker.reconcile(&odd, cursor).await.unwrap();
        relisted += part.tasks_relisted;
        cursor = part.next;
        if cursor == ReconcileCursor::default() {
            break;
        }
    }

    assert_eq!(relisted, 1);
}
