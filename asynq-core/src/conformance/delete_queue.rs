//! Deletion of queues.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::{EntryKey, GroupLimits};
use crate::inspector::InspectError;

use super::kit::*;
use super::{InspectorSubject, START};

impl InspectorSubject {
    async fn delete_default(&self) -> Result<u64, InspectError> {
        let deletion = self.inspector.delete_queue(&default_queue());
        deletion.finish().await.map(|progress| progress.done)
    }

    async fn force_delete_default(&self) -> Result<u64, InspectError> {
        let deletion = self.inspector.force_delete_queue(&default_queue());
        deletion.finish().await.map(|progress| progress.done)
    }
}

pub async fn a_queue_without_tasks_is_deleted(subject: &InspectorSubject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, done()).await;
    subject.broker.pause(&default_queue()).await.unwrap();

    subject.delete_default().await.unwrap();

    assert!(subject.broker.queues().await.unwrap().is_empty());
    subject.must_enqueue(task("a")).await;
    let info = subject.queue_info().await;
    assert!(!info.paused, "a new queue of this name is not paused");
    assert_eq!((info.processed, info.processed_total), (0, 0));
}

pub async fn a_queue_with_tasks_in_whatever_state_is_not_deleted(subject: &InspectorSubject) {
    subject.one_of_each().await;
    for id in [
        "pending",
        "scheduled",
        "retry",
        "archived",
        "completed",
        "aggregating",
    ] {
        let error = subject.delete_default().await.unwrap_err();
        assert!(matches!(error, InspectError::QueueNotEmpty { .. }), "{error}");
        subject.delete(id).await.unwrap();
    }

    subject.delete_default().await.unwrap();
}

pub async fn a_queue_with_a_sealed_set_is_not_deleted(subject: &InspectorSubject) {
    subject.must_enqueue(task("a").group("g")).await;
    let limits = GroupLimits {
        grace_period: secs(0),
        max_delay: None,
        max_size: None,
    };
    let sealed = subject.broker.seal(&default_queue(), &group("g"), &limits).await;
    assert!(sealed.unwrap().is_some());

    let error = subject.delete_default().await.unwrap_err();
    assert!(matches!(error, InspectError::QueueNotEmpty { .. }), "{error}");

    assert_eq!(subject.force_delete_default().await.unwrap(), 1);
}

pub async fn a_forced_deletion_deletes_all_tasks(subject: &InspectorSubject) {
    subject.one_of_each().await;
    let many = (0..1200).map(|n| task(&format!("{n}")));
    subject.must_enqueue_all(many).await;
    subject.must_enqueue(task("elsewhere").queue("other")).await;

    assert_eq!(subject.force_delete_default().await.unwrap(), 1206);

    assert_eq!(subject.broker.queues().await.unwrap(), [queue("other")]);
    assert_eq!(subject.task("completed").await, None);
    subject.must_enqueue(task("aggregating").group("g")).await;
    assert_eq!(subject.queue_info().await.size(), 1);
}

pub async fn a_forced_deletion_releases_all_locks(subject: &InspectorSubject) {
    subject
        .must_enqueue_all([
            task("a").unique(secs(600)),
            task("b").payload("b").delayed(secs(60)).unique(secs(600)),
            task("c").payload("c").group("g").unique(secs(600)),
        ])
        .await;

    subject.force_delete_default().await.unwrap();

    subject
        .must_enqueue_all([
            task("d").unique(secs(600)),
            task("e").payload("b").unique(secs(600)),
            task("f").payload("c").unique(secs(600)),
        ])
        .await;
}

pub async fn the_last_ticks_of_a_queue_are_deleted_with_it(subject: &InspectorSubject) {
    let entry = |queue| EntryKey {
        queue,
        id: "e".to_owned(),
    };
    let (here, elsewhere) = (entry(default_queue()), entry(queue("other")));
    let (then, now) = (START, subject.now().saturating_add(secs(60)));
    subject
        .broker
        .enqueue_tick(&here, then, &task("a").build())
        .await
        .unwrap();
    subject.broker.last_tick(&elsewhere, then).await.unwrap();

    subject.force_delete_default().await.unwrap();

    assert_eq!(subject.broker.last_tick(&here, now).await.unwrap(), now);
    assert_eq!(subject.broker.last_tick(&elsewhere, now).await.unwrap(), then);
}

pub async fn a_queue_with_active_tasks_is_not_deleted_by_force(subject: &InspectorSubject) {
    subject.enqueue_and_take(task("a")).await;

    let error = subject.force_delete_default().await.unwrap_err();

    assert!(
        matches!(error, InspectError::QueueNotEmpty { forced: true, .. }),
        "{error}"
    );
    assert!(subject.task("a").await.is_some());
}

pub async fn a_missing_queue_is_not_deleted(subject: &InspectorSubject) {
    for result in [
        subject.delete_default().await,
        subject.force_delete_default().await,
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, InspectError::QueueNotFound { .. }), "{error}");
    }
}

pub async fn a_deletion_that_was_stopped_can_be_taken_up_again(subject: &InspectorSubject) {
    subject
        .must_enqueue_all((0..1200).map(|n| task(&format!("{n}"))))
        .await;
    let mut deletion = subject.inspector.force_delete_queue(&default_queue());
    let first = deletion.next().await.unwrap().unwrap();
    drop(deletion);

    assert!(first.done > 0 && first.done < 1200, "{first:?}");
    assert_eq!(subject.queue_info().await.pending, 1200 - first.done);

    assert_eq!(subject.force_delete_default().await.unwrap(), 1200 - first.done);
}
