//! Where a new task goes, and what refuses it.

#![allow(missing_docs, reason = "the names are sentences")]

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::broker::Receipt;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

pub async fn a_broker_that_is_there_answers_a_ping(subject: &Subject) {
    subject.broker.ping().await.unwrap();
}

pub async fn a_task_for_now_is_pending(subject: &Subject) {
    let receipt = subject.enqueue(task("a")).await;

    assert_eq!(receipt, accepted(TaskState::Pending, Some(subject.now())));
    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn a_task_with_a_delay_is_scheduled(subject: &Subject) {
    let receipt = subject.enqueue(task("a").delayed(millis(1500))).await;

    let due = subject.now().saturating_add(millis(1500));
    assert_eq!(receipt, accepted(TaskState::Scheduled, Some(due)));
    assert_eq!(subject.state("a").await, Some(TaskState::Scheduled));
}

pub async fn a_task_for_a_moment_to_come_is_scheduled(subject: &Subject) {
    let due = subject.now().saturating_add(millis(1));

    let receipt = subject.enqueue(task("a").at(due)).await;

    assert_eq!(receipt, accepted(TaskState::Scheduled, Some(due)));
}

pub async fn a_task_for_a_moment_in_the_past_is_pending(subject: &Subject) {
    let past = subject.now().saturating_sub(secs(60));

    let receipts = subject
        .enqueue_all([task("past").at(past), task("now").at(subject.now())])
        .await;

    let pending = accepted(TaskState::Pending, Some(subject.now()));
    assert_eq!(receipts, [pending.clone(), pending]);
}

pub async fn a_task_of_a_group_waits_in_it(subject: &Subject) {
    let receipt = subject.enqueue(task("a").group("g")).await;

    assert_eq!(receipt, accepted(TaskState::Aggregating, None));
    assert_eq!(
        subject.broker.groups(&default_queue()).await.unwrap(),
        [group("g")]
    );
    assert!(subject.take_up_to(1).await.is_empty());
}

pub async fn a_task_of_a_group_for_the_past_waits_in_it(subject: &Subject) {
    let past = subject.now().saturating_sub(secs(60));

    let receipt = subject.enqueue(task("a").group("g").at(past)).await;

    assert_eq!(receipt, accepted(TaskState::Aggregating, None));
}

pub async fn a_task_of_a_group_with_a_delay_is_scheduled(subject: &Subject) {
    let receipt = subject.enqueue(task("a").group("g").delayed(secs(5))).await;

    let due = subject.now().saturating_add(secs(5));
    assert_eq!(receipt, accepted(TaskState::Scheduled, Some(due)));
    assert!(subject.broker.groups(&default_queue()).await.unwrap().is_empty());
}

pub async fn enqueueing_makes_the_queue(subject: &Subject) {
    assert!(subject.broker.queues().await.unwrap().is_empty());

    subject
        .must_enqueue_all([task("a").queue("low"), task("a").queue("high")])
        .await;

    assert_eq!(
        subject.broker.queues().await.unwrap(),
        [queue("high"), queue("low")]
    );
}

pub async fn an_empty_batch_has_no_receipts(subject: &Subject) {
    assert!(subject.enqueue_all([]).await.is_empty());
}

pub async fn a_taken_id_is_refused_in_whatever_state_its_task_is(subject: &Subject) {
    let done_task = subject
        .enqueue_and_take(task("completed").retention(secs(60)))
        .await;
    subject.settle(&done_task, done()).await;
    let failed = subject.enqueue_and_take(task("retry")).await;
    subject.settle(&failed, retry(secs(60))).await;
    let given_up = subject.enqueue_and_take(task("archived")).await;
    subject.settle(&given_up, archive()).await;
    subject.enqueue_and_take(task("active")).await;
    subject.must_enqueue(task("pending")).await;
    subject.must_enqueue(task("scheduled").delayed(secs(60))).await;
    subject.must_enqueue(task("aggregating").group("g")).await;

    for state in TaskState::ALL {
        let receipt = subject.enqueue(task(state.as_str()).payload("other")).await;

        assert_eq!(receipt, Receipt::IdTaken { state: Some(state) });
        assert_eq!(
            &subject.stored(state.as_str()).await.message.payload[..],
            b"payload"
        );
    }
}

pub async fn an_id_is_free_again_when_its_task_is_done(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, done()).await;

    subject.must_enqueue(task("a")).await;
}

pub async fn the_same_id_in_two_queues_is_two_tasks(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("a").queue("q1").payload("one"),
            task("a").queue("q2").payload("two"),
        ])
        .await;

    let one = subject.dequeue(&["q1"], 1).await.remove(0);
    let two = subject.dequeue(&["q2"], 1).await.remove(0);
    subject.settle(&one, done()).await;

    assert_eq!(
        (&one.message.payload[..], &two.message.payload[..]),
        (&b"one"[..], &b"two"[..])
    );
    assert!(
        subject
            .broker
            .task(&queue("q1"), &id("a"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        subject
            .broker
            .task(&queue("q2"), &id("a"))
            .await
            .unwrap()
            .is_some()
    );
    subject.settle(&two, done()).await;
}

pub async fn a_batch_is_answered_in_order_whatever_becomes_of_each_task(subject: &Subject) {
    subject.must_enqueue(task("taken")).await;

    let receipts = subject
        .enqueue_all([
            task("pending"),
            task("taken"),
            task("scheduled").delayed(secs(5)),
            task("holder").payload("u").unique(secs(60)),
            task("duplicate").payload("u").unique(secs(60)),
            task("grouped").group("g"),
            task("elsewhere").queue("other"),
        ])
        .await;

    let now = subject.now();
    assert_eq!(
        receipts,
        [
            accepted(TaskState::Pending, Some(now)),
            Receipt::IdTaken {
                state: Some(TaskState::Pending)
            },
            accepted(TaskState::Scheduled, Some(now.saturating_add(secs(5)))),
            accepted(TaskState::Pending, Some(now)),
            Receipt::Duplicate { holder: id("holder") },
            accepted(TaskState::Aggregating, None),
            accepted(TaskState::Pending, Some(now)),
        ]
    );
}

pub async fn the_second_of_the_same_id_in_a_batch_is_refused(subject: &Subject) {
    let receipts = subject
        .enqueue_all([task("a").payload("first"), task("a").payload("second")])
        .await;

    assert!(is_accepted(&receipts[0]));
    assert_eq!(
        receipts[1],
        Receipt::IdTaken {
            state: Some(TaskState::Pending)
        }
    );
    assert_eq!(&subject.take().await.message.payload[..], b"first");
}

pub async fn ids_and_queue_names_may_hold_any_characters(subject: &Subject) {
    let ids = [
        "a:b}c",
        "{x}",
        "../up",
        "line\nbreak",
        "tab\t",
        "schön 🦀",
        "\0nul",
        "*?[a]",
        "unique:t:x",
    ];
    for name in ["t:x", "low}", "a{b", "with space", "größe", "pending"] {
        subject.must_enqueue_all(ids.map(|id| task(id).queue(name))).await;

        let taken = subject.dequeue(&[name], ids.len()).await;

        assert_eq!(super::kit::ids(&taken), ids, "{name:?}");
        for leased in &taken {
            assert_eq!(leased.key.queue, queue(name));
            subject.settle(leased, done()).await;
        }
    }
}

pub async fn an_empty_payload_stays_empty(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").payload(Bytes::new())).await;

    assert!(leased.message.payload.is_empty());
}

pub async fn a_large_payload_comes_back_whole(subject: &Subject) {
    let payload = Bytes::from(vec![0xA5; 1 << 20]);

    let leased = subject.enqueue_and_take(task("a").payload(payload.clone())).await;

    assert_eq!(leased.message.payload, payload);
}

pub async fn a_batch_of_thousands_is_stored_in_order(subject: &Subject) {
    let ids: Vec<String> = (0..3000).map(|n| format!("task-{n:04}")).collect();

    subject.must_enqueue_all(ids.iter().map(|id| task(id))).await;

    assert_eq!(subject.queue_info().await.pending, 3000);
    assert_eq!(super::kit::ids(&subject.take_up_to(3000).await), ids);
}

pub async fn of_many_enqueueing_the_same_id_at_once_one_wins(subject: &Subject) {
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let broker = subject.broker.clone();
        let new = task("a").payload(format!("client {client}")).build();
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
