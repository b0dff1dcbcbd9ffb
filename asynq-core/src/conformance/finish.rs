//! What becomes of a task that was taken out.

#![allow(missing_docs, reason = "the names are sentences")]

use std::time::Duration;

use crate::broker::{Finished, Settlement};
use crate::clock::Timestamp;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

/// Attempts today and ever: processed, failed, processed ever, failed ever.
async fn counted(subject: &Subject) -> [u64; 4] {
    let info = subject.queue_info().await;
    [
        info.processed,
        info.failed,
        info.processed_total,
        info.failed_total,
    ]
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(time.unix_seconds())
}

pub async fn finishing_nothing_has_no_answers(subject: &Subject) {
    assert!(subject.broker.finish(&[]).await.unwrap().is_empty());
}

pub async fn a_done_task_is_deleted(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.settle(&leased, done()).await;

    assert_eq!(subject.task("a").await, None);
    assert_eq!(subject.queue_info().await.size(), 0);
}

pub async fn done_counts_as_processed(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.settle(&leased, done()).await;

    assert_eq!(counted(subject).await, [1, 0, 1, 0]);
}

pub async fn a_done_task_with_a_retention_is_completed(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;
    subject.advance(secs(3));

    subject.settle(&leased, done_with("42")).await;

    let info = subject.stored("a").await;
    assert_eq!(info.state, TaskState::Completed);
    assert_eq!(info.message.completed_at, Some(whole_second(subject.now())));
    assert_eq!(info.result.as_deref(), Some(&b"42"[..]));
    assert_eq!(counted(subject).await, [1, 0, 1, 0]);
}

pub async fn a_completed_task_keeps_its_message(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;

    subject.settle(&leased, done()).await;

    let mut stored = subject.stored("a").await.message;
    stored.completed_at = None;
    assert_eq!(stored, *leased.message);
}

pub async fn a_dropped_task_is_deleted_despite_its_retention(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").retention(secs(60))).await;

    subject.settle(&leased, Settlement::Drop).await;

    assert_eq!(subject.task("a").await, None);
    assert_eq!(counted(subject).await, [1, 0, 1, 0]);
}

pub async fn a_failed_task_waits_for_its_retry(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.settle(&leased, retry(secs(60))).await;

    let info = subject.stored("a").await;
    assert_eq!(info.state, TaskState::Retry);
    assert_within_a_second(
        info.next_process_at.unwrap(),
        subject.now().saturating_add(secs(60)),
    );
    assert_eq!(info.message.retried, 1);
    assert_eq!(info.message.last_error, "boom");
    assert_eq!(info.message.last_failed_at, Some(whole_second(subject.now())));
    assert_eq!(counted(subject).await, [1, 1, 1, 1]);
}

pub async fn a_retry_that_is_no_failure_is_not_counted(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let settlement = Settlement::Retry {
        delay: secs(60),
        error: "rate limited".into(),
        is_failure: false,
    };

    subject.settle(&leased, settlement).await;

    let info = subject.stored("a").await;
    assert_eq!(info.state, TaskState::Retry);
    assert_eq!(info.message.retried, 0);
    assert_eq!(info.message.last_error, "rate limited");
    assert_eq!(counted(subject).await, [0; 4]);
}

pub async fn retry_keeps_the_payload(subject: &Subject) {
    let sent = task("a")
        .payload(&b"\x00\xff binary"[..])
        .retention(secs(60))
        .with(|message| drop(message.headers.insert("key".into(), "value".into())));
    let first = subject.enqueue_and_take(sent).await;
    subject.settle(&first, retry(Duration::ZERO)).await;
    subject.forward().await;

    let second = subject.take().await;

    let mut expected = (*first.message).clone();
    expected.retried = 1;
    expected.last_error = "boom".into();
    expected.last_failed_at = Some(whole_second(subject.now()));
    assert_eq!(*second.message, expected);
}

pub async fn fields_of_newer_peers_are_kept_over_a_retry(subject: &Subject) {
    let sent = task("a").with(|message| {
        message.unknown_fields = bytes::Bytes::from_static(&[0xA0, 0x06, 0x01]);
    });
    let first = subject.enqueue_and_take(sent).await;

    subject.settle(&first, retry(Duration::ZERO)).await;

    let stored = subject.stored("a").await.message;
    assert_eq!(stored.unknown_fields, first.message.unknown_fields);
}

pub async fn failures_add_up(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    for failures in 1..=3 {
        let leased = subject.take().await;
        assert_eq!(leased.message.retried, failures - 1);
        subject.settle(&leased, retry(Duration::ZERO)).await;
        subject.forward().await;
    }

    assert_eq!(subject.stored("a").await.message.retried, 3);
    assert_eq!(counted(subject).await, [3, 3, 3, 3]);
}

pub async fn a_snoozed_task_is_scheduled(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.settle(&leased, snooze(secs(60))).await;

    let info = subject.stored("a").await;
    assert_eq!(info.state, TaskState::Scheduled);
    assert_within_a_second(
        info.next_process_at.unwrap(),
        subject.now().saturating_add(secs(60)),
    );
    assert_eq!(info.message, *leased.message);
    assert_eq!(counted(subject).await, [0; 4]);
}

pub async fn an_archived_task_is_kept_with_its_error(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    subject.settle(&leased, archive()).await;

    let info = subject.stored("a").await;
    assert_eq!(info.state, TaskState::Archived);
    assert_eq!(info.message.retried, 0, "archiving uses up no retry");
    assert_eq!(info.message.last_error, "boom");
    assert_eq!(info.message.last_failed_at, Some(whole_second(subject.now())));
    assert_eq!(counted(subject).await, [1, 1, 1, 1]);
}

pub async fn a_requeued_task_runs_next(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.must_enqueue_all([task("b"), task("c")]).await;

    subject.settle(&leased, requeue()).await;

    assert_eq!(counted(subject).await, [0; 4]);
    assert_eq!(subject.stored("a").await.message, *leased.message);
    assert_eq!(ids(&subject.take_up_to(3).await), ["a", "b", "c"]);
}

pub async fn a_requeued_task_tells_since_when_it_is_pending(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.advance(secs(10));

    subject.settle(&leased, requeue()).await;

    assert_eq!(
        subject.queue_info().await.oldest_pending_since,
        Some(subject.now())
    );
}

pub async fn a_long_error_text_is_cut(subject: &Subject) {
    let retried = subject.enqueue_and_take(task("retried")).await;
    let archived = subject.enqueue_and_take(task("archived")).await;
    let error = "é".repeat(5000);

    let settlement = Settlement::Retry {
        delay: secs(60),
        error: error.clone(),
        is_failure: true,
    };
    subject.settle(&retried, settlement).await;
    subject
        .settle(&archived, Settlement::Archive { error: error.clone() })
        .await;

    for id in ["retried", "archived"] {
        let stored = subject.stored(id).await.message.last_error;
        assert_eq!(stored, crate::broker::cut_error_text(&error), "{id}");
        assert!(stored.len() <= 4096, "{id}");
    }
}

pub async fn an_error_text_may_hold_any_characters(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let error = "\0 \u{FFFD} \"quoted\" <script> \x1b[31m 🦀\r\n";

    subject
        .settle(&leased, Settlement::Archive { error: error.into() })
        .await;

    assert_eq!(subject.stored("a").await.message.last_error, error);
}

pub async fn a_task_is_finished_once(subject: &Subject) {
    for (n, settlement) in every_settlement().into_iter().enumerate() {
        let leased = subject.enqueue_and_take(task(&format!("task-{n}"))).await;
        subject.settle(&leased, settlement.clone()).await;
        let before = (subject.task(leased.key.id.as_str()).await, counted(subject).await);

        for again in every_settlement() {
            assert_eq!(
                subject.finish(&leased, again).await,
                Finished::NotOwner,
                "{settlement:?}"
            );
        }

        let after = (subject.task(leased.key.id.as_str()).await, counted(subject).await);
        assert_eq!(before, after, "{settlement:?}");
        // Out of the way of the next round.
        subject.take_up_to(1).await;
    }
}

pub async fn a_batch_of_finishes_is_answered_in_order(subject: &Subject) {
    subject.must_enqueue_all(["a", "b", "c", "d"].map(task)).await;
    let leased = subject.take_up_to(4).await;
    let finishes = [
        finish_of(&leased[0], done()),
        finish_of(&foreign(&leased[1]), done()),
        finish_of(&leased[2], archive()),
        finish_of(&leased[0], done()),
        finish_of(&leased[3], retry(secs(60))),
    ];

    let finished = subject.broker.finish(&finishes).await.unwrap();

    use Finished::{NotOwner, Settled};
    assert_eq!(finished, [Settled, NotOwner, Settled, NotOwner, Settled]);
    assert_eq!(subject.task("a").await, None);
    assert_eq!(subject.state("b").await, Some(TaskState::Active));
    assert_eq!(subject.state("c").await, Some(TaskState::Archived));
    assert_eq!(subject.state("d").await, Some(TaskState::Retry));
}

pub async fn a_batch_finishes_tasks_of_several_queues(subject: &Subject) {
    subject
        .must_enqueue_all([task("a").queue("q1"), task("a").queue("q2")])
        .await;
    let leased = subject.dequeue(&["q1", "q2"], 2).await;
    let finishes: Vec<_> = leased.iter().map(|leased| finish_of(leased, done())).collect();

    let finished = subject.broker.finish(&finishes).await.unwrap();

    assert_eq!(finished, [Finished::Settled; 2]);
    for name in ["q1", "q2"] {
        let info = subject.broker.queue_info(&queue(name)).await.unwrap().unwrap();
        assert_eq!((info.size(), info.processed), (0, 1), "{name}");
    }
}

pub async fn hundreds_of_tasks_are_finished_in_one_call(subject: &Subject) {
    subject
        .must_enqueue_all((0..1500).map(|n| task(&format!("task-{n}"))))
        .await;
    let leased = subject.take_up_to(1500).await;
    let finishes: Vec<_> = leased.iter().map(|leased| finish_of(leased, done())).collect();

    let finished = subject.broker.finish(&finishes).await.unwrap();

    assert_eq!(finished, vec![Finished::Settled; 1500]);
    assert_eq!(counted(subject).await, [1500, 0, 1500, 0]);
}

pub async fn an_earlier_holder_is_refused_also_in_the_same_call_as_the_present_one(subject: &Subject) {
    for (round, settlement) in every_settlement().into_iter().enumerate() {
        for is_earlier_first in [true, false] {
            let name = format!("{round}-{is_earlier_first}");
            let earlier = subject.enqueue_and_take(task(&name)).await;
            // Of a batch: it is then settled together with others.
            let other = subject.enqueue_and_take(task(&format!("{name}-other"))).await;
            subject.settle(&earlier, requeue()).await;
            let present = subject.take().await;
            let mut finishes = vec![
                finish_of(&earlier, done()),
                finish_of(&other, done()),
                finish_of(&present, settlement.clone()),
            ];
            let mut expected = vec![Finished::NotOwner, Finished::Settled, Finished::Settled];
            if !is_earlier_first {
                finishes.reverse();
                expected.reverse();
            }

            let finished = subject.broker.finish(&finishes).await.unwrap();

            assert_eq!(finished, expected, "{settlement:?}, {name}");
            if matches!(settlement, Settlement::Requeue { .. }) {
                let taken = subject.take().await;
                subject.settle(&taken, done()).await;
            }
        }
    }
}

pub async fn a_finish_in_a_queue_that_is_not_there_is_refused(subject: &Subject) {
    let mut leased = subject.enqueue_and_take(task("a")).await;
    leased.key.queue = queue("nowhere");

    assert_eq!(subject.finish(&leased, done()).await, Finished::NotOwner);
    assert_eq!(subject.state("a").await, Some(TaskState::Active));
}

pub async fn counters_of_today_start_anew_at_midnight_utc(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a")).await;
    subject.settle(&first, archive()).await;
    // Midnight is 6,400 seconds after the start.
    subject.advance(secs(6_390));
    assert_eq!(counted(subject).await, [1, 1, 1, 1]);

    subject.advance(secs(20));
    assert_eq!(counted(subject).await, [0, 0, 1, 1]);

    let second = subject.enqueue_and_take(task("b")).await;
    subject.settle(&second, done()).await;
    assert_eq!(counted(subject).await, [1, 0, 2, 1]);
}
