//! What is taken out, in which order, and what is given back of it.

#![allow(missing_docs, reason = "the names are sentences")]

use std::collections::HashSet;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::clock::Timestamp;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

pub async fn tasks_come_in_the_order_they_were_enqueued(subject: &Subject) {
    subject.must_enqueue_all([task("1"), task("2")]).await;
    subject.must_enqueue(task("3")).await;
    subject.must_enqueue_all([task("4"), task("5")]).await;

    assert_eq!(ids(&subject.take_up_to(3).await), ["1", "2", "3"]);
    assert_eq!(ids(&subject.take_up_to(3).await), ["4", "5"]);
}

pub async fn no_more_are_taken_than_asked_for(subject: &Subject) {
    subject.must_enqueue_all(["1", "2", "3"].map(task)).await;

    assert_eq!(subject.take_up_to(2).await.len(), 2);
    assert_eq!(subject.queue_info().await.pending, 1);
}

pub async fn asking_for_none_takes_none(subject: &Subject) {
    subject.must_enqueue(task("a")).await;

    assert!(subject.take_up_to(0).await.is_empty());
    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn without_queues_nothing_is_taken(subject: &Subject) {
    subject.must_enqueue(task("a")).await;

    assert!(subject.dequeue(&[], 10).await.is_empty());
}

pub async fn an_unknown_queue_gives_nothing(subject: &Subject) {
    assert!(subject.dequeue(&["nowhere"], 10).await.is_empty());
    assert!(subject.broker.queues().await.unwrap().is_empty());
}

pub async fn the_queue_named_first_is_served_first(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("l1").queue("low"),
            task("h1").queue("high"),
            task("l2").queue("low"),
            task("h2").queue("high"),
        ])
        .await;

    let taken = subject.dequeue(&["high", "low"], 3).await;

    assert_eq!(ids(&taken), ["h1", "h2", "l1"]);
    assert_eq!(taken[2].key.queue, "low");
}

pub async fn queues_that_are_not_named_are_left_alone(subject: &Subject) {
    subject
        .must_enqueue_all([task("a").queue("mine"), task("b").queue("yours")])
        .await;

    assert_eq!(ids(&subject.dequeue(&["mine"], 10).await), ["a"]);
}

pub async fn a_paused_queue_gives_no_tasks(subject: &Subject) {
    subject
        .must_enqueue_all([task("a").queue("paused"), task("b").queue("other")])
        .await;
    assert!(subject.broker.pause(&queue("paused")).await.unwrap());

    assert_eq!(ids(&subject.dequeue(&["paused", "other"], 10).await), ["b"]);
}

pub async fn a_resumed_queue_gives_its_tasks_again(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    subject.broker.pause(&default_queue()).await.unwrap();
    subject.must_enqueue(task("b")).await;

    assert!(subject.broker.resume(&default_queue()).await.unwrap());

    assert_eq!(ids(&subject.take_up_to(10).await), ["a", "b"]);
}

pub async fn tasks_of_a_paused_queue_can_be_finished(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.broker.pause(&default_queue()).await.unwrap();

    subject.settle(&leased, done()).await;
}

pub async fn scheduled_grouped_and_kept_tasks_are_not_taken(subject: &Subject) {
    subject
        .must_enqueue_all([task("scheduled").delayed(secs(5)), task("grouped").group("g")])
        .await;
    for (id, settlement) in [
        ("retry", retry(secs(5))),
        ("archived", archive()),
        ("completed", done()),
    ] {
        let leased = subject.enqueue_and_take(task(id).retention(secs(60))).await;
        subject.settle(&leased, settlement).await;
    }

    assert!(subject.take_up_to(10).await.is_empty());
}

pub async fn a_task_is_taken_once(subject: &Subject) {
    subject.enqueue_and_take(task("a")).await;

    assert!(subject.take_up_to(10).await.is_empty());
    assert_eq!(subject.state("a").await, Some(TaskState::Active));
}

pub async fn a_lease_has_a_nonce_a_beginning_and_an_end(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;

    assert_ne!(leased.key.nonce, 0, "zero is for workers that draw none");
    assert_eq!((&leased.key.queue, &leased.key.id), (&default_queue(), &id("a")));
    assert_within_a_second(leased.leased_at, subject.now());
    assert_within_a_second(leased.expires_at, subject.now().saturating_add(LEASE));
}

pub async fn every_field_of_a_task_comes_back_unchanged(subject: &Subject) {
    let sent = task("schön-🦀")
        .queue("größe")
        .task_type("email:wélcome")
        .payload(Bytes::from((0..=255).collect::<Vec<u8>>()))
        .retention(secs(86_400))
        .with(|message| {
            message.headers = [("trace-id", "00-ab"), ("ключ", "значение\n"), ("empty", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            message.max_retry = i32::MAX as u32;
            message.timeout = Some(secs(7));
            message.deadline = Some(Timestamp::from_unix_seconds(1_800_000_000));
            // A field that no version knows, in the encoding that peers use: number 100, the integer 1.
            message.unknown_fields = Bytes::from_static(&[0xA0, 0x06, 0x01]);
        })
        .build();
    subject.broker.enqueue(std::slice::from_ref(&sent)).await.unwrap();

    let leased = subject.dequeue(&["größe"], 1).await.remove(0);

    assert_eq!(*leased.message, sent.message);
}

pub async fn a_task_without_options_comes_back_without_them(subject: &Subject) {
    let sent = task("a").payload("").with(|message| {
        message.timeout = None;
        message.max_retry = 0;
    });
    let message = sent.clone().build().message;

    assert_eq!(*subject.enqueue_and_take(sent).await.message, message);
}

pub async fn a_delayed_task_comes_back_unchanged(subject: &Subject) {
    let sent = task("a").delayed(secs(5)).retention(secs(60));
    let message = sent.clone().build().message;
    subject.must_enqueue(sent).await;
    subject.advance(secs(5));
    subject.forward().await;

    assert_eq!(*subject.take().await.message, message);
}

pub async fn concurrent_dequeues_never_give_a_task_twice(subject: &Subject) {
    subject
        .must_enqueue_all((0..1000).map(|n| task(&format!("task-{n}"))))
        .await;
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let broker = subject.broker.clone();
        workers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let dequeued = broker.dequeue(&[default_queue()], 10, LEASE).await.unwrap();
                if dequeued.tasks.is_empty() {
                    return taken;
                }
                taken.extend(dequeued.tasks.into_iter().map(|leased| leased.key.id));
            }
        });
    }

    let taken = workers.join_all().await.concat();

    assert_eq!(taken.len(), 1000);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 1000);
}
