//! What an inspector does to many tasks, in steps.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::{Action, Filter, TaskList};
use crate::inspector::InspectError;
use crate::message::TaskState;

use super::InspectorSubject;
use super::kit::*;

impl InspectorSubject {
    async fn many(&self, count: usize, make: impl Fn(usize) -> TestTask) {
        self.must_enqueue_all((0..count).map(make)).await;
    }
}

fn numbered(n: usize) -> TestTask {
    task(&format!("{n:04}")).payload(format!("{}", n % 10))
}

pub async fn all_scheduled_tasks_are_run_in_their_order(subject: &InspectorSubject) {
    subject
        .many(1203, |n| numbered(n).delayed(secs(60 + n as u64)))
        .await;

    let bulk = subject.inspector.run_all(&default_queue(), TaskList::Scheduled);
    let progress = bulk.finish().await.unwrap();

    assert_eq!((progress.done, progress.refused, progress.total), (1203, 0, 1203));
    let pending = subject.listed(TaskState::Pending).await;
    assert_eq!(pending.len(), 1203);
    assert!(pending.is_sorted());
}

pub async fn all_tasks_of_each_list_can_be_deleted(subject: &InspectorSubject) {
    subject.one_of_each().await;

    for list in [
        TaskList::Pending,
        TaskList::Scheduled,
        TaskList::Retry,
        TaskList::Archived,
        TaskList::Completed,
        TaskList::Group(group("g")),
    ] {
        let bulk = subject.inspector.delete_all(&default_queue(), list.clone());
        assert_eq!(bulk.finish().await.unwrap().done, 1, "{list}");
    }

    assert_eq!(subject.queue_info().await.size(), 0);
    assert_eq!(subject.queue_info().await.groups, 0);
}

pub async fn deleting_all_releases_the_locks(subject: &InspectorSubject) {
    let unique = |n: usize, id: &str| task(id).payload(format!("{n}")).unique(secs(600));
    subject.many(3, |n| unique(n, &format!("a{n}"))).await;
    subject.must_enqueue(unique(9, "g").group("g")).await;

    for list in [TaskList::Pending, TaskList::Group(group("g"))] {
        let bulk = subject.inspector.delete_all(&default_queue(), list);
        bulk.finish().await.unwrap();
    }

    subject.many(3, |n| unique(n, &format!("b{n}"))).await;
    subject.must_enqueue(unique(9, "h")).await;
}

pub async fn all_tasks_of_a_group_are_run(subject: &InspectorSubject) {
    subject.many(600, |n| numbered(n).group("g")).await;
    subject.must_enqueue(task("other").group("h")).await;

    let bulk = subject
        .inspector
        .run_all(&default_queue(), TaskList::Group(group("g")));
    assert_eq!(bulk.finish().await.unwrap().done, 600);

    let info = subject.queue_info().await;
    assert_eq!((info.pending, info.aggregating, info.groups), (600, 1, 1));
}

pub async fn all_pending_tasks_are_archived(subject: &InspectorSubject) {
    subject.many(1100, numbered).await;

    let bulk = subject.inspector.archive_all(&default_queue(), TaskList::Pending);
    assert_eq!(bulk.finish().await.unwrap().done, 1100);

    assert_eq!(subject.queue_info().await.archived, 1100);
}

pub async fn archiving_more_than_an_archive_holds_keeps_the_latest(subject: &InspectorSubject) {
    subject
        .many(10_300, |n| numbered(n).delayed(secs(60 + n as u64)))
        .await;

    let bulk = subject
        .inspector
        .archive_all(&default_queue(), TaskList::Scheduled);
    assert_eq!(bulk.finish().await.unwrap().done, 10_300);

    let info = subject.queue_info().await;
    assert_eq!((info.archived, info.size()), (10_000, 10_000));
    assert_eq!(subject.state("10299").await, Some(TaskState::Archived));
}

pub async fn a_bulk_reports_its_progress(subject: &InspectorSubject) {
    subject.many(250, numbered).await;
    let mut bulk = subject
        .inspector
        .delete_all(&default_queue(), TaskList::Pending)
        .step_size(100);
    let mut done = Vec::new();

    while let Some(progress) = bulk.next().await {
        let progress = progress.unwrap();
        assert_eq!(progress.total, 250);
        done.push(progress.done);
    }

    assert_eq!(done, [100, 200, 250]);
    assert_eq!(bulk.progress().done, 250);
}

pub async fn a_bulk_that_is_dropped_stops_and_can_be_resumed(subject: &InspectorSubject) {
    subject.many(1000, numbered).await;
    let filter = || Filter::new().payload("7");
    let all = |list| {
        subject
            .inspector
            .delete_all(&default_queue(), list)
            .matching(filter())
    };
    let mut bulk = all(TaskList::Pending).step_size(300);
    let first = bulk.next().await.unwrap().unwrap();
    let cursor = bulk.cursor().cloned().unwrap();

    drop(bulk);
    assert_eq!(first.done, 30);
    assert_eq!(subject.queue_info().await.pending, 970);

    let rest = all(TaskList::Pending).resume(cursor).finish().await.unwrap();
    assert_eq!((rest.done, rest.examined), (70, 700));
    assert_eq!(subject.queue_info().await.pending, 900);
}

pub async fn a_bulk_acts_on_tasks_that_pass_its_filter_only(subject: &InspectorSubject) {
    let lists = [
        (TaskList::Pending, ""),
        (TaskList::Scheduled, "s"),
        (TaskList::Group(group("g")), "g"),
    ];
    subject.many(700, numbered).await;
    subject
        .many(700, |n| {
            task(&format!("s{n}"))
                .payload(format!("{}", n % 10))
                .delayed(secs(60))
        })
        .await;
    subject
        .many(700, |n| {
            task(&format!("g{n}")).payload(format!("{}", n % 10)).group("g")
        })
        .await;

    for (list, _) in &lists {
        let bulk = subject.inspector.archive_all(&default_queue(), list.clone());
        let progress = bulk
            .matching(Filter::new().payload("3"))
            .step_size(77)
            .finish()
            .await;
        let progress = progress.unwrap();
        assert_eq!((progress.done, progress.refused), (70, 0), "{list}");
    }

    let info = subject.queue_info().await;
    assert_eq!((info.pending, info.scheduled, info.aggregating), (630, 630, 630));
    assert_eq!(info.archived, 210);
    let left = subject.listed(TaskState::Pending).await;
    assert!(left.is_sorted() && left.iter().all(|id| !id.ends_with('3')));
}

pub async fn a_bulk_ends_although_tasks_keep_coming(subject: &InspectorSubject) {
    subject.many(20, numbered).await;
    let mut bulk = subject
        .inspector
        .delete_all(&default_queue(), TaskList::Pending)
        .step_size(10);
    let mut steps = 0;

    while let Some(progress) = bulk.next().await {
        progress.unwrap();
        steps += 1;
        subject.many(10, |n| task(&format!("new-{steps}-{n}"))).await;
        assert!(steps < 10, "it does not end");
    }

    assert!(subject.state("0019").await.is_none());
    assert!(subject.queue_info().await.pending > 0);
}

pub async fn all_active_tasks_are_cancelled(subject: &InspectorSubject) {
    subject.must_enqueue_all(["a", "b", "c"].map(task)).await;
    let leased = subject.take_up_to(2).await;

    let progress = subject
        .inspector
        .cancel_all(&default_queue())
        .finish()
        .await
        .unwrap();

    assert_eq!(progress.done, 2);
    for leased in &leased {
        let extension = subject.extend(leased).await;
        assert!(
            matches!(extension, crate::broker::Extension::Held { cancel: true, .. }),
            "{extension:?}"
        );
    }
}

pub async fn what_can_be_done_to_no_task_of_a_list_is_refused(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;

    for (list, action) in [
        (TaskList::Pending, Action::Run),
        (TaskList::Archived, Action::Archive),
        (TaskList::Active, Action::Delete),
        (TaskList::Pending, Action::Cancel),
    ] {
        let bulk = subject.inspector.apply_to_all(&default_queue(), list, action);
        let error = bulk.finish().await.unwrap_err();
        assert!(matches!(error, InspectError::WrongList { .. }), "{error}");
    }
}

pub async fn a_bulk_on_a_missing_queue_is_refused(subject: &InspectorSubject) {
    let bulk = subject.inspector.run_all(&queue("nowhere"), TaskList::Retry);

    let error = bulk.finish().await.unwrap_err();

    assert!(matches!(error, InspectError::QueueNotFound { .. }), "{error}");
}

pub async fn a_bulk_on_an_empty_list_does_nothing(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;

    let bulk = subject.inspector.run_all(&default_queue(), TaskList::Retry);

    assert_eq!(
        bulk.finish().await.unwrap(),
        crate::inspector::Progress::default()
    );
}
