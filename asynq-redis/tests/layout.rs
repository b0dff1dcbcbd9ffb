//! After each operation the keys are exactly those that Go asynq leaves behind, apart from extra hash fields.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::time::Duration;

use asynq_core::broker::{Claim, Extension, Finished, NewTask, Placement, Receipt, Settlement};
use asynq_core::{Aggregate, Dequeue, Enqueue, GroupName, Maintain, TaskMessage, TaskState, When};
use bytes::Bytes;

use support::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_pending_task() {
    let mut subject = Subject::new().await;

    subject.enqueue(&["a", "b"]).await;

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: b a
             asynq:{q}:t:a: msg pending_since=1700000000000000000 state=pending
             asynq:{q}:t:b: msg pending_since=1700000000000000000 state=pending",
        )
        .await;
}

#[tokio::test]
async fn a_unique_task() {
    let mut subject = Subject::new().await;
    let unique = NewTask {
        unique_ttl: Some(Duration::from_secs(60)),
        ..task("a")
    };
    let other = NewTask {
        unique_ttl: Some(Duration::from_secs(60)),
        ..task("b")
    };

    let receipts = subject
        .broker
        .enqueue(&[unique.clone(), other, unique])
        .await
        .unwrap();

    assert!(matches!(
        receipts[0],
        Receipt::Accepted {
            state: TaskState::Pending,
            ..
        }
    ));
    assert_eq!(receipts[1], Receipt::Duplicate { holder: id("a") });
    assert_eq!(
        receipts[2],
        Receipt::IdTaken {
            state: Some(TaskState::Pending)
        }
    );
    let lock = "asynq:{q}:unique:t:5d41402abc4b2a76b9719d911017c592";
    subject
        .expect(&format!(
            "asynq:queues: q
             asynq:{{q}}:pending: a
             asynq:{{q}}:t:a: msg pending_since=1700000000000000000 state=pending unique_key={lock}
             {lock}: a"
        ))
        .await;
    let ttl: i64 = subject.raw(&format!("PTTL {lock}")).await;
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_scheduled_task_and_its_exact_time() {
    let mut subject = Subject::new().await;
    let in_1500_ms = Placement::Later(When::In(Duration::from_millis(1500)));
    let in_3_s = Placement::Later(When::In(3 * SECOND));

    subject
        .broker
        .enqueue(&[
            NewTask {
                placement: in_1500_ms,
                ..task("a")
            },
            NewTask {
                placement: in_3_s,
                ..task("b")
            },
        ])
        .await
        .unwrap();

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:scheduled: a=1700000002 b=1700000003
             asynq:{q}:t:a: due=1700000001500000 msg state=scheduled
             asynq:{q}:t:b: msg state=scheduled",
        )
        .await;

    subject.clock.advance(Duration::from_millis(1499));
    let forwarded = subject.broker.forward(&queue("q")).await.unwrap();
    assert_eq!(forwarded.moved, 0);
    assert_eq!(
        forwarded.next_due.unwrap().unix_micros(),
        START * 1_000_000 + 1_500_000
    );

    subject.clock.advance(Duration::from_millis(1));
    let forwarded = subject.broker.forward(&queue("q")).await.unwrap();
    assert_eq!(forwarded.moved, 1);
    assert_eq!(forwarded.next_due.unwrap().unix_seconds(), START + 3);
    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: a
             asynq:{q}:scheduled: b=1700000003
             asynq:{q}:t:a: msg pending_since=1700000001500000000 state=pending
             asynq:{q}:t:b: msg state=scheduled",
        )
        .await;
}

#[tokio::test]
async fn a_task_in_a_group_at_once_and_later() {
    let mut subject = Subject::new().await;
    let message = |id| TaskMessage {
        group: Some(GroupName::new("g").unwrap()),
        ..message(id)
    };
    let now = NewTask {
        message: message("a"),
        ..task("a")
    };
    let placement = Placement::Later(When::In(SECOND));
    let later = NewTask {
        message: message("b"),
        placement,
        ..task("b")
    };

    subject.broker.enqueue(&[now, later]).await.unwrap();

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:g:g: a=1700000000
             asynq:{q}:groups: g
             asynq:{q}:scheduled: b=1700000001
             asynq:{q}:t:a: group=g msg state=aggregating
             asynq:{q}:t:b: group=g msg state=scheduled",
        )
        .await;

    subject.clock.advance(SECOND);
    subject.broker.forward(&queue("q")).await.unwrap();
    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:g:g: a=1700000000 b=1700000001
             asynq:{q}:groups: g
             asynq:{q}:t:a: group=g msg state=aggregating
             asynq:{q}:t:b: group=g msg state=aggregating",
        )
        .await;
}

#[tokio::test]
async fn an_active_task_and_its_lease() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;

    let leased = subject.dequeue_one().await;

    assert_eq!(*leased.message, message("a"));
    assert_eq!(leased.expires_at.unix_seconds(), START + 30);
    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:active: a
             asynq:{q}:lease: a=1700000030
             asynq:{q}:t:a: msg state=active",
        )
        .await;
    let score: f64 = subject.raw("ZSCORE asynq:{q}:lease a").await;
    assert_eq!(score.fract() * f64::from(1 << 20), f64::from(leased.key.nonce));

    subject.clock.advance(10 * SECOND);
    let extended = subject
        .broker
        .extend(std::slice::from_ref(&leased.key), LEASE)
        .await
        .unwrap();
    assert!(matches!(extended[0], Extension::Held { cancel: false, .. }));
    let score: f64 = subject.raw("ZSCORE asynq:{q}:lease a").await;
    assert_eq!(score.floor() as i64, START + 40);
    assert_eq!(score.fract() * f64::from(1 << 20), f64::from(leased.key.nonce));
}

#[tokio::test]
async fn a_done_task_is_deleted_and_counted() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a", "b"]).await;
    let unique = NewTask {
        unique_ttl: Some(60 * SECOND),
        ..task("c")
    };
    subject.broker.enqueue(&[unique]).await.unwrap();
    let tasks = subject.dequeue(9).await.tasks;

    let finishes: Vec<_> = tasks
        .iter()
        .map(|task| finish(task, Settlement::Done { result: None }))
        .collect();
    let finished = subject.broker.finish(&finishes).await.unwrap();

    assert_eq!(finished, [Finished::Settled; 3]);
    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:processed: 3
             asynq:{q}:processed:2023-11-14: 3",
        )
        .await;
    let ttl: i64 = subject.raw("TTL asynq:{q}:processed:2023-11-14").await;
    assert!((90 * 86_400 - 60..=90 * 86_400).contains(&ttl), "{ttl}");
    assert_eq!(
        subject.broker.finish(&finishes).await.unwrap(),
        [Finished::NotOwner; 3]
    );
}

#[tokio::test]
async fn a_completed_task_is_kept_with_its_result() {
    let mut subject = Subject::new().await;
    let message = TaskMessage {
        retention: 3600 * SECOND,
        ..message("a")
    };
    subject
        .broker
        .enqueue(&[NewTask { message, ..task("a") }])
        .await
        .unwrap();
    let leased = subject.dequeue_one().await;
    subject
        .broker
        .extend(std::slice::from_ref(&leased.key), LEASE)
        .await
        .unwrap();
    subject.clock.advance(SECOND);

    let done = Settlement::Done {
        result: Some(Bytes::from_static(b"42")),
    };
    assert_eq!(subject.finish(&leased, done).await, Finished::Settled);

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:completed: a=1700003601
             asynq:{q}:processed: 1
             asynq:{q}:processed:2023-11-14: 1
             asynq:{q}:t:a: msg result=42 state=completed",
        )
        .await;
}

#[tokio::test]
async fn a_task_that_failed() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a", "b", "c"]).await;
    let tasks = subject.dequeue(3).await.tasks;
    let retry = |is_failure, delay| Settlement::Retry {
        delay,
        error: "boom".to_owned(),
        is_failure,
    };

    let finishes = [
        finish(&tasks[0], retry(true, 5 * SECOND)),
        finish(&tasks[1], retry(false, Duration::from_millis(500))),
        finish(
            &tasks[2],
            Settlement::Archive {
                error: "boom".to_owned(),
            },
        ),
    ];
    assert_eq!(
        subject.broker.finish(&finishes).await.unwrap(),
        [Finished::Settled; 3]
    );

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:archived: c=1700000000
             asynq:{q}:failed: 2
             asynq:{q}:failed:2023-11-14: 2
             asynq:{q}:processed: 2
             asynq:{q}:processed:2023-11-14: 2
             asynq:{q}:retry: b=1700000001 a=1700000005
             asynq:{q}:t:a: msg state=retry
             asynq:{q}:t:b: due=1700000000500000 msg state=retry
             asynq:{q}:t:c: msg state=archived",
        )
        .await;

    subject.clock.advance(5 * SECOND);
    assert_eq!(subject.broker.forward(&queue("q")).await.unwrap().moved, 2);
    let tasks = subject.dequeue(2).await.tasks;
    assert_eq!(tasks[0].key.id, id("b"));
    assert_eq!((tasks[0].message.retried, tasks[1].message.retried), (0, 1));
    assert_eq!(tasks[1].message.last_error, "boom");
    assert_eq!(tasks[1].message.last_failed_at.unwrap().unix_seconds(), START);
}

#[tokio::test]
async fn a_snoozed_and_a_requeued_task() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a", "b", "c"]).await;
    let tasks = subject.dequeue(2).await.tasks;

    subject
        .finish(&tasks[0], Settlement::Snooze { delay: 5 * SECOND })
        .await;
    subject
        .finish(&tasks[1], Settlement::Requeue { lost: true })
        .await;

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: c b
             asynq:{q}:scheduled: a=1700000005
             asynq:{q}:t:a: msg state=scheduled
             asynq:{q}:t:b: lost=1 msg pending_since=1700000000000000000 state=pending
             asynq:{q}:t:c: msg pending_since=1700000000000000000 state=pending",
        )
        .await;
}

#[tokio::test]
async fn an_expired_lease_says_whether_the_task_was_started() {
    let subject = Subject::new().await;
    subject.enqueue(&["a", "b"]).await;
    let tasks = subject.dequeue(2).await.tasks;
    subject
        .broker
        .extend(&[tasks[1].key.clone()], LEASE)
        .await
        .unwrap();

    subject.clock.advance(29 * SECOND);
    assert!(
        subject
            .broker
            .expired(&queue("q"), 10)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    subject.clock.advance(2 * SECOND);
    let mut expired = subject.broker.expired(&queue("q"), 10).await.unwrap().tasks;
    expired.sort_by(|a, b| a.key.id.cmp(&b.key.id));

    assert_eq!(expired.len(), 2);
    assert_eq!((expired[0].started, expired[1].started), (false, true));
    let requeue = asynq_core::broker::Finish {
        key: expired[0].key.clone(),
        message: expired[0].message.clone(),
        claim: Claim::Expired,
        settlement: Settlement::Requeue { lost: true },
    };
    assert_eq!(
        subject.broker.finish(&[requeue]).await.unwrap(),
        [Finished::Settled]
    );
    let again = subject.dequeue_one().await;
    assert_eq!(again.key.id, id("a"));
    assert_ne!(again.key.nonce, tasks[0].key.nonce);
    let late = subject.finish(&tasks[0], Settlement::Done { result: None }).await;
    assert_eq!(late, Finished::NotOwner);
}

#[tokio::test]
async fn the_lease_of_a_go_worker_gets_thirty_seconds_of_grace() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    subject.dequeue_one().await;
    let _: i64 = subject
        .raw(&format!("ZADD asynq:{{q}}:lease {} a", START + 30))
        .await;

    subject.clock.advance(59 * SECOND);
    assert!(
        subject
            .broker
            .expired(&queue("q"), 10)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    subject.clock.advance(SECOND);
    let expired = subject.broker.expired(&queue("q"), 10).await.unwrap().tasks;

    assert_eq!((expired[0].key.nonce, expired[0].started), (0, true));
}

#[tokio::test]
async fn tasks_due_at_the_same_moment_become_pending_in_the_order_of_their_ids() {
    let mut subject = Subject::new().await;
    let later = |name: &str| NewTask {
        placement: Placement::Later(When::In(5 * SECOND)),
        ..task(name)
    };
    let names = ["33", "11", "25", "07", "42", "18", "29"];
    subject.broker.enqueue(&names.map(later)).await.unwrap();
    subject.clock.advance(5 * SECOND);

    subject.broker.forward(&queue("q")).await.unwrap();

    let pending: Vec<String> = subject.raw("LRANGE asynq:{q}:pending 0 -1").await;
    assert_eq!(pending, ["42", "33", "29", "25", "18", "11", "07"]);
}

#[tokio::test]
async fn a_merged_task_of_a_queue_that_was_deleted_meanwhile_lists_the_queue_again() {
    let subject = Subject::new().await;
    let mut grouped = task("a");
    grouped.message.group = Some(GroupName::new("g").unwrap());
    subject.broker.enqueue(&[grouped]).await.unwrap();
    let limits = asynq_core::broker::GroupLimits {
        grace_period: SECOND,
        max_delay: None,
        max_size: Some(1),
    };
    let group = GroupName::new("g").unwrap();
    let set = subject
        .broker
        .seal(&queue("q"), &group, &limits)
        .await
        .unwrap()
        .unwrap();
    let mut subject = subject;
    let _: i64 = subject.raw("SREM asynq:queues q").await;

    subject
        .broker
        .finish_set(&set.key, &task("merged"))
        .await
        .unwrap()
        .unwrap();

    let queues: Vec<String> = subject.raw("SMEMBERS asynq:queues").await;
    assert_eq!(queues, ["q"]);
}
