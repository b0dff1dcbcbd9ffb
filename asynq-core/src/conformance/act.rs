//! What an inspector does to single tasks.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::{Action, GroupLimits};
use crate::inspector::InspectError;
use crate::message::TaskState;

use super::InspectorSubject;
use super::kit::*;
use super::recover::lose;
use super::watch::Watch;

impl InspectorSubject {
    pub(super) async fn run(&self, id: &str) -> Result<(), InspectError> {
        self.inspector.run_task(&default_queue(), &self::id(id)).await
    }

    pub(super) async fn archive(&self, id: &str) -> Result<(), InspectError> {
        self.inspector.archive_task(&default_queue(), &self::id(id)).await
    }

    pub(super) async fn delete(&self, id: &str) -> Result<(), InspectError> {
        self.inspector.delete_task(&default_queue(), &self::id(id)).await
    }

    /// One task in each state but active, named by it.
    pub(super) async fn one_of_each(&self) {
        for (id, settlement) in [
            ("completed", done()),
            ("retry", retry(secs(60))),
            ("archived", archive()),
        ] {
            let leased = self.enqueue_and_take(task(id).retention(secs(600))).await;
            self.settle(&leased, settlement).await;
        }
        self.must_enqueue_all([
            task("pending"),
            task("scheduled").delayed(secs(60)),
            task("aggregating").group("g"),
        ])
        .await;
    }
}

#[track_caller]
pub(super) fn assert_in_state(result: Result<(), InspectError>, expected: TaskState) {
    match result {
        Err(InspectError::WrongState { state, .. }) => assert_eq!(state, expected),
        other => panic!("{other:?}"),
    }
}

pub async fn a_task_that_waits_can_be_run(subject: &InspectorSubject) {
    subject.one_of_each().await;

    for id in ["scheduled", "retry", "archived", "completed", "aggregating"] {
        subject.run(id).await.unwrap();
        assert_eq!(subject.state(id).await, Some(TaskState::Pending), "{id}");
    }

    assert_eq!(
        subject.listed(TaskState::Pending).await,
        [
            "pending",
            "scheduled",
            "retry",
            "archived",
            "completed",
            "aggregating"
        ]
    );
    assert!(subject.broker.groups(&default_queue()).await.unwrap().is_empty());
}

pub async fn a_task_that_was_run_is_pending_since_then(subject: &InspectorSubject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, archive()).await;
    subject.advance(secs(60));

    subject.run("a").await.unwrap();
    subject.advance(secs(5));

    assert_eq!(subject.queue_info().await.latency(), secs(5));
}

pub async fn running_a_task_wakes_servers(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").delayed(secs(60))).await;
    let watch = Watch::begin(subject, &["default"]).await;

    subject.run("a").await.unwrap();

    watch.pending("after a task was run").await;
}

pub async fn an_exhausted_task_that_is_run_keeps_its_errors(subject: &InspectorSubject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, archive()).await;
    let archived = subject.stored("a").await;

    subject.run("a").await.unwrap();

    assert_eq!(subject.stored("a").await.message, archived.message);
}

pub async fn a_pending_or_active_task_is_not_run_again(subject: &InspectorSubject) {
    subject.enqueue_and_take(task("active")).await;
    subject.must_enqueue(task("pending")).await;

    assert_in_state(subject.run("active").await, TaskState::Active);
    assert_in_state(subject.run("pending").await, TaskState::Pending);
}

pub async fn a_task_can_be_archived(subject: &InspectorSubject) {
    subject.one_of_each().await;

    for id in ["pending", "scheduled", "retry", "completed", "aggregating"] {
        subject.archive(id).await.unwrap();
        assert_eq!(subject.state(id).await, Some(TaskState::Archived), "{id}");
    }

    assert_eq!(subject.queue_info().await.archived, 6);
    assert!(subject.broker.groups(&default_queue()).await.unwrap().is_empty());
}

pub async fn archiving_counts_no_attempt(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;

    subject.archive("a").await.unwrap();

    let info = subject.queue_info().await;
    assert_eq!((info.processed, info.failed), (0, 0));
}

/// Somebody has looked at the task: it is no longer for the losses so far that it may be set aside.
pub async fn archiving_ends_the_row_of_losses(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;
    lose(subject).await;
    lose(subject).await;

    subject.archive("a").await.unwrap();
    subject.run("a").await.unwrap();

    assert_eq!(lose(subject).await, 0);
}

pub async fn an_active_or_archived_task_is_not_archived(subject: &InspectorSubject) {
    let leased = subject.enqueue_and_take(task("archived")).await;
    subject.settle(&leased, archive()).await;
    subject.enqueue_and_take(task("active")).await;

    assert_in_state(subject.archive("active").await, TaskState::Active);
    assert_in_state(subject.archive("archived").await, TaskState::Archived);
}

pub async fn a_task_can_be_deleted(subject: &InspectorSubject) {
    subject.one_of_each().await;

    for id in [
        "pending",
        "scheduled",
        "retry",
        "archived",
        "completed",
        "aggregating",
    ] {
        subject.delete(id).await.unwrap();
        assert_eq!(subject.task(id).await, None, "{id}");
    }

    assert_eq!(subject.queue_info().await.size(), 0);
    assert!(subject.broker.groups(&default_queue()).await.unwrap().is_empty());
}

pub async fn an_active_task_is_not_deleted(subject: &InspectorSubject) {
    subject.enqueue_and_take(task("a")).await;

    assert_in_state(subject.delete("a").await, TaskState::Active);
}

pub async fn deleting_releases_the_lock(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").unique(secs(600))).await;
    subject
        .must_enqueue(task("g").payload("g").group("g").unique(secs(600)))
        .await;

    subject.delete("a").await.unwrap();
    subject.delete("g").await.unwrap();

    subject.must_enqueue(task("b").unique(secs(600))).await;
    subject
        .must_enqueue(task("h").payload("g").unique(secs(600)))
        .await;
}

pub async fn an_id_is_free_again_when_its_task_was_deleted(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;

    subject.delete("a").await.unwrap();

    subject.must_enqueue(task("a")).await;
}

pub async fn a_task_in_a_sealed_set_is_left_alone(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").group("g")).await;
    let limits = GroupLimits {
        grace_period: secs(0),
        max_delay: None,
        max_size: None,
    };
    let sealed = subject.broker.seal(&default_queue(), &group("g"), &limits).await;
    assert!(sealed.unwrap().is_some());

    assert_in_state(subject.run("a").await, TaskState::Aggregating);
    assert_in_state(subject.archive("a").await, TaskState::Aggregating);
    assert_in_state(subject.delete("a").await, TaskState::Aggregating);
}

pub async fn a_task_of_a_group_that_was_run_by_itself_waits_by_itself(subject: &InspectorSubject) {
    for settlement in [snooze(secs(5)), retry(secs(5))] {
        subject.must_enqueue(task("a").group("g")).await;
        subject.run("a").await.unwrap();
        let leased = subject.take().await;
        subject.settle(&leased, settlement.clone()).await;
        subject.advance(secs(5));

        assert_eq!(subject.forward().await, 1);

        assert_eq!(
            subject.state("a").await,
            Some(TaskState::Pending),
            "{settlement:?}"
        );
        subject.delete("a").await.unwrap();
    }
}

pub async fn only_an_active_task_is_cancelled(subject: &InspectorSubject) {
    let leased = subject.enqueue_and_take(task("active")).await;
    subject.must_enqueue(task("pending")).await;
    let cancel = |id| async move {
        subject
            .inspector
            .cancel_task(&default_queue(), &self::id(id))
            .await
    };

    cancel("active").await.unwrap();

    assert_in_state(cancel("pending").await, TaskState::Pending);
    let extension = subject.extend(&leased).await;
    assert!(
        matches!(extension, crate::broker::Extension::Held { cancel: true, .. }),
        "{extension:?}"
    );
}

pub async fn a_missing_task_or_queue_is_named(subject: &InspectorSubject) {
    let missing_queue = subject.run("a").await.unwrap_err();
    assert!(matches!(missing_queue, InspectError::QueueNotFound { .. }));
    subject.must_enqueue(task("a")).await;

    for result in [
        subject.run("b").await,
        subject.archive("b").await,
        subject.delete("b").await,
        subject.inspector.task(&default_queue(), &id("b")).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, InspectError::TaskNotFound { .. }), "{error}");
        assert!(error.is_not_found());
    }
}

pub async fn a_selection_is_answered_in_order(subject: &InspectorSubject) {
    subject.enqueue_and_take(task("active")).await;
    subject
        .must_enqueue_all([task("a"), task("b").delayed(secs(60)), task("c")])
        .await;
    let ids = ["a", "missing", "active", "b"].map(id);

    let results = subject
        .inspector
        .apply_to(&default_queue(), Action::Delete, &ids)
        .await
        .unwrap();

    assert!(results[0].is_ok() && results[3].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(InspectError::TaskNotFound { .. })));
    assert!(matches!(results[2], Err(InspectError::WrongState { .. })));
    assert_eq!(subject.listed(TaskState::Pending).await, ["c"]);
}
