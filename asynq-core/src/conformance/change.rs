//! Changes of tasks that wait.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::{Change, GroupLimits};
use crate::inspector::InspectError;
use crate::message::TaskState;
use crate::options::When;

use super::InspectorSubject;
use super::act::assert_in_state;
use super::kit::*;
use super::recover::lose;

impl InspectorSubject {
    async fn change(&self, id: &str, change: Change) -> Result<(), InspectError> {
        self.inspector
            .change_task(&default_queue(), &self::id(id), &change)
            .await
    }

    async fn to_other(&self, id: &str) -> Result<(), InspectError> {
        let other = queue("other");
        self.inspector
            .move_task(&default_queue(), &self::id(id), &other)
            .await
    }
}

fn payload(payload: &'static str) -> Change {
    Change {
        payload: Some(payload.into()),
        ..Change::default()
    }
}

fn time(when: When) -> Change {
    Change {
        process_at: Some(when),
        ..Change::default()
    }
}

pub async fn the_payload_of_a_waiting_task_can_be_changed(subject: &InspectorSubject) {
    subject.one_of_each().await;

    for id in ["pending", "scheduled", "retry", "archived", "aggregating"] {
        let mut expected = subject.stored(id).await;

        subject.change(id, payload("new")).await.unwrap();

        expected.message.payload = "new".into();
        assert_eq!(subject.stored(id).await, expected, "{id}");
    }
}

pub async fn an_active_or_completed_task_is_not_changed(subject: &InspectorSubject) {
    subject.one_of_each().await;
    subject.take().await;

    assert_in_state(subject.change("pending", payload("new")).await, TaskState::Active);
    assert_in_state(
        subject.change("completed", payload("new")).await,
        TaskState::Completed,
    );
    let later = time(When::In(secs(9)));
    assert_in_state(subject.change("archived", later).await, TaskState::Archived);
}

pub async fn a_task_in_a_sealed_set_is_not_changed(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").group("g")).await;
    let limits = GroupLimits {
        grace_period: secs(0),
        max_delay: None,
        max_size: None,
    };
    let sealed = subject.broker.seal(&default_queue(), &group("g"), &limits).await;
    assert!(sealed.unwrap().is_some());

    assert_in_state(subject.change("a", payload("new")).await, TaskState::Aggregating);
}

pub async fn fields_of_newer_versions_survive_a_change(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").delayed(secs(60))).await;
    let before = subject.stored("a").await;

    let change = Change {
        max_retry: Some(3),
        ..Change::default()
    };
    subject.change("a", change).await.unwrap();

    let after = subject.stored("a").await;
    assert_eq!(after.message.max_retry, 3);
    assert_eq!(after.next_process_at, before.next_process_at);
    assert_eq!(after.message.payload, before.message.payload);
}

pub async fn the_time_of_a_waiting_task_can_be_changed(subject: &InspectorSubject) {
    subject.one_of_each().await;
    let later = subject.now().saturating_add(millis(90_500));

    for (id, state) in [
        ("pending", TaskState::Scheduled),
        ("scheduled", TaskState::Scheduled),
        ("retry", TaskState::Retry),
        ("aggregating", TaskState::Scheduled),
    ] {
        subject.change(id, time(When::At(later))).await.unwrap();

        let info = subject.stored(id).await;
        assert_eq!((info.state, info.next_process_at), (state, Some(later)), "{id}");
    }
    assert!(subject.broker.groups(&default_queue()).await.unwrap().is_empty());

    subject.advance(millis(90_499));
    assert_eq!(subject.forward().await, 0);
    subject.advance(millis(1));
    assert_eq!(subject.forward().await, 4);
    assert_eq!(subject.state("aggregating").await, Some(TaskState::Aggregating));
}

pub async fn a_task_whose_time_is_now_is_forwarded(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").delayed(secs(60))).await;

    subject.change("a", time(When::In(secs(0)))).await.unwrap();

    assert_eq!(subject.forward().await, 1);
    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn a_task_that_gets_a_time_ends_its_row_of_losses(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;
    lose(subject).await;

    subject.change("a", time(When::In(secs(60)))).await.unwrap();
    subject.advance(secs(60));
    subject.forward().await;

    assert_eq!(lose(subject).await, 0);
}

pub async fn a_pending_task_stays_in_its_place_when_its_time_has_come(subject: &InspectorSubject) {
    subject.must_enqueue_all(["a", "b"].map(task)).await;

    subject.change("a", time(When::In(secs(0)))).await.unwrap();

    assert_eq!(subject.listed(TaskState::Pending).await, ["a", "b"]);
}

pub async fn a_grouped_task_keeps_its_place_when_its_time_has_come(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").group("g")).await;
    subject.advance(secs(5));
    subject.must_enqueue(task("b").group("g")).await;

    subject.change("a", time(When::In(secs(0)))).await.unwrap();

    let list = crate::broker::TaskList::Group(group("g"));
    let tasks = subject
        .inspector
        .list(&default_queue(), &list, ALL)
        .await
        .unwrap();
    assert_eq!(
        tasks.iter().map(|task| task.id().as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
}

pub async fn a_task_moves_to_another_queue_in_its_state(subject: &InspectorSubject) {
    subject.one_of_each().await;

    for id in ["pending", "scheduled", "retry", "archived", "aggregating"] {
        let before = subject.stored(id).await;
        subject.to_other(id).await.unwrap();

        assert_eq!(subject.task(id).await, None, "{id}");
        let moved = subject
            .inspector
            .task(&queue("other"), &self::id(id))
            .await
            .unwrap();
        assert_eq!(
            (moved.state, moved.queue()),
            (before.state, &queue("other")),
            "{id}"
        );
        assert_eq!(moved.next_process_at, before.next_process_at, "{id}");
    }

    let info = subject.inspector.queue_info(&queue("other")).await.unwrap();
    assert_eq!((info.size(), info.groups), (5, 1));
    assert_eq!(subject.queue_info().await.groups, 0);
    assert_eq!(subject.dequeue(&["other"], 5).await.len(), 1);
}

pub async fn a_completed_task_stays_in_its_queue(subject: &InspectorSubject) {
    subject.one_of_each().await;

    assert_in_state(subject.to_other("completed").await, TaskState::Completed);
}

pub async fn a_task_does_not_move_to_a_queue_that_has_its_id(subject: &InspectorSubject) {
    subject
        .must_enqueue_all([task("a"), task("a").queue("other")])
        .await;

    let error = subject.to_other("a").await.unwrap_err();

    assert!(matches!(error, InspectError::IdTaken { .. }), "{error}");
    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn a_lock_moves_with_its_task(subject: &InspectorSubject) {
    subject
        .must_enqueue(task("a").payload("old").unique(secs(600)))
        .await;

    subject.change("a", payload("new")).await.unwrap();

    let refused = subject.enqueue(task("b").payload("new").unique(secs(600))).await;
    assert!(!is_accepted(&refused), "{refused:?}");
    subject
        .must_enqueue(task("c").payload("old").unique(secs(600)))
        .await;

    subject.to_other("a").await.unwrap();

    let refused = subject
        .enqueue(task("d").queue("other").payload("new").unique(secs(600)))
        .await;
    assert!(!is_accepted(&refused), "{refused:?}");
    subject
        .must_enqueue(task("e").payload("new").unique(secs(600)))
        .await;

    let moved = subject.dequeue(&["other"], 1).await.remove(0);
    subject.settle(&moved, done()).await;
    subject
        .must_enqueue(task("f").queue("other").payload("new").unique(secs(600)))
        .await;
}

pub async fn a_change_that_makes_a_duplicate_is_refused(subject: &InspectorSubject) {
    subject
        .must_enqueue_all([
            task("a").payload("1").unique(secs(600)),
            task("b").payload("2").unique(secs(600)),
            task("c").payload("1").queue("other").unique(secs(600)),
        ])
        .await;

    for (result, expected) in [
        (subject.change("a", payload("2")).await, "b"),
        (subject.to_other("a").await, "c"),
    ] {
        match result {
            Err(InspectError::Duplicate { holder, .. }) => assert_eq!(holder, expected),
            other => panic!("{other:?}"),
        }
    }
    let kept = subject.stored("a").await;
    assert_eq!(
        (kept.queue(), &kept.message.payload[..]),
        (&default_queue(), &b"1"[..])
    );
}

pub async fn several_things_are_changed_at_once(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;
    let change = Change {
        payload: Some("new".into()),
        process_at: Some(When::In(secs(60))),
        max_retry: Some(1),
        queue: Some(queue("other")),
    };

    subject.change("a", change).await.unwrap();

    let info = subject.inspector.task(&queue("other"), &id("a")).await.unwrap();
    assert_eq!(info.state, TaskState::Scheduled);
    assert_eq!(
        (&info.message.payload[..], info.message.max_retry),
        (&b"new"[..], 1)
    );
}

pub async fn changing_a_missing_task_names_what_is_missing(subject: &InspectorSubject) {
    let missing_queue = subject.change("a", payload("new")).await.unwrap_err();
    assert!(matches!(missing_queue, InspectError::QueueNotFound { .. }));
    subject.must_enqueue(task("b")).await;

    let missing_task = subject.change("a", payload("new")).await.unwrap_err();
    assert!(matches!(missing_task, InspectError::TaskNotFound { .. }));
}
