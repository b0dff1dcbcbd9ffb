//! Going through lists.

#![allow(missing_docs, reason = "the names are sentences")]

use std::collections::BTreeSet;

use crate::broker::{Cursor, Filter, Page, TaskList};
use crate::inspector::{InspectError, Search};
use crate::message::TaskInfo;
use crate::names::TaskId;

use super::InspectorSubject;
use super::kit::*;

impl InspectorSubject {
    fn search(&self, list: TaskList) -> Search {
        self.inspector.search(&default_queue(), list)
    }

    async fn found(&self, list: TaskList, filter: Filter) -> Vec<String> {
        names(&self.search(list).matching(filter).collect().await.unwrap())
    }
}

fn names(tasks: &[TaskInfo]) -> Vec<String> {
    tasks.iter().map(|task| task.id().to_string()).collect()
}

fn every_list() -> [TaskList; 7] {
    [
        TaskList::Active,
        TaskList::Pending,
        TaskList::Scheduled,
        TaskList::Retry,
        TaskList::Archived,
        TaskList::Completed,
        TaskList::Group(group("g")),
    ]
}

pub async fn every_list_is_gone_through_in_its_order(subject: &InspectorSubject) {
    for (settlement, letter) in [(done(), "c"), (retry(secs(60)), "r"), (archive(), "x")] {
        for n in 0..7 {
            let leased = subject
                .enqueue_and_take(task(&format!("{letter}{n}")).retention(secs(600)))
                .await;
            subject.settle(&leased, settlement.clone()).await;
        }
    }
    let some = |letter: &'static str| (0..7).map(move |n| task(&format!("{letter}{n}")));
    subject.must_enqueue_all(some("a")).await;
    subject.take_up_to(7).await;
    subject.must_enqueue_all(some("p")).await;
    subject
        .must_enqueue_all(
            some("s")
                .enumerate()
                .map(|(n, task)| task.delayed(secs(90 - n as u64))),
        )
        .await;
    subject
        .must_enqueue_all(some("g").map(|task| task.group("g")))
        .await;

    for list in every_list() {
        let all = subject
            .broker
            .tasks(&default_queue(), list.state(), list.group(), ALL)
            .await
            .unwrap();
        assert_eq!(all.len(), 7, "{list}");
        let mut search = subject.search(list.clone()).page_size(3);
        let mut pages = Vec::new();
        while let Some(page) = search.next().await {
            pages.push(page.unwrap());
        }

        assert_eq!(
            pages.iter().map(Vec::len).collect::<Vec<_>>(),
            [3, 3, 1],
            "{list}"
        );
        assert_eq!(pages.concat(), all, "{list}");
    }
}

pub async fn a_list_is_read_by_page_number(subject: &InspectorSubject) {
    subject
        .must_enqueue_all((0..5).map(|n| task(&format!("{n}"))))
        .await;
    let page = Page { offset: 2, limit: 2 };

    let tasks = subject
        .inspector
        .list(&default_queue(), &TaskList::Pending, page)
        .await;

    assert_eq!(names(&tasks.unwrap()), ["2", "3"]);
}

pub async fn a_search_goes_on_at_a_kept_cursor(subject: &InspectorSubject) {
    for list in [TaskList::Pending, TaskList::Scheduled] {
        let letter = list.state().as_str();
        subject
            .must_enqueue_all((0..9).map(|n| {
                let new = task(&format!("{letter}{n}"));
                if list == TaskList::Scheduled {
                    new.delayed(secs(60))
                } else {
                    new
                }
            }))
            .await;
        let mut search = subject.search(list.clone()).page_size(4);
        let first = search.next().await.unwrap().unwrap();
        let kept = search.cursor().unwrap().as_str().to_owned();

        let rest = subject
            .search(list.clone())
            .resume(Cursor::new(kept))
            .collect()
            .await
            .unwrap();

        let all: Vec<String> = (0..9).map(|n| format!("{letter}{n}")).collect();
        assert_eq!([names(&first), names(&rest)].concat(), all, "{list}");
    }
}

pub async fn a_cursor_that_makes_no_sense_is_refused(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;

    let result = subject
        .search(TaskList::Pending)
        .resume(Cursor::new("nonsense"))
        .collect()
        .await;

    let error = result.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}

pub async fn no_task_that_stays_is_missed_when_others_are_taken_out(subject: &InspectorSubject) {
    subject
        .must_enqueue_all((0..60).map(|n| task(&format!("{n:02}"))))
        .await;
    let mut search = subject.search(TaskList::Pending).page_size(5);
    let mut seen = BTreeSet::new();

    while let Some(page) = search.next().await {
        seen.extend(names(&page.unwrap()));
        subject.take_up_to(3).await;
        let name = format!("new-{}", seen.len());
        subject.must_enqueue(task(&name)).await;
    }

    for waiting in subject.listed(crate::message::TaskState::Pending).await {
        assert!(
            waiting.starts_with("new-") || seen.contains(&waiting),
            "{waiting} was missed"
        );
    }
}

pub async fn no_task_that_stays_is_missed_when_those_on_a_page_are_deleted(subject: &InspectorSubject) {
    for list in [
        TaskList::Pending,
        TaskList::Scheduled,
        TaskList::Group(group("g")),
    ] {
        let letter = list.state().as_str();
        subject
            .must_enqueue_all((0..40).map(|n| {
                let new = task(&format!("{letter}-{n:02}"));
                match list {
                    TaskList::Scheduled => new.delayed(secs(60)),
                    TaskList::Group(_) => new.group("g"),
                    _ => new,
                }
            }))
            .await;
        let mut search = subject.search(list.clone()).page_size(5);
        let mut seen = BTreeSet::new();

        while let Some(page) = search.next().await {
            let page = page.unwrap();
            seen.extend(names(&page));
            let doomed: Vec<TaskId> = page.iter().skip(1).map(|task| task.id().clone()).collect();
            let action = crate::broker::Action::Delete;
            subject
                .inspector
                .apply_to(&default_queue(), action, &doomed)
                .await
                .unwrap();
        }

        assert_eq!(seen.len(), 40, "{list}");
    }
}

pub async fn tasks_are_found_by_type_id_payload_error_and_header(subject: &InspectorSubject) {
    for id in ["mail-1", "mail-2", "image-1"] {
        let kind = id.split('-').next().unwrap();
        let new = task(id).task_type(kind).payload(format!("{{\"of\":\"{id}\"}}"));
        let leased = subject
            .enqueue_and_take(new.with(|message| {
                message.headers.insert("tenant".into(), id.into());
            }))
            .await;
        subject.settle(&leased, retry(secs(60))).await;
    }
    let found = |filter| subject.found(TaskList::Retry, filter);

    assert_eq!(found(Filter::new()).await.len(), 3);
    assert_eq!(found(Filter::new().task_type("mail")).await, ["mail-1", "mail-2"]);
    assert_eq!(found(Filter::new().id_prefix("image-")).await, ["image-1"]);
    assert_eq!(found(Filter::new().payload("\"mail-2\"")).await, ["mail-2"]);
    assert_eq!(found(Filter::new().error("oo")).await.len(), 3);
    assert!(found(Filter::new().error("zoo")).await.is_empty());
    assert_eq!(found(Filter::new().has_header("tenant")).await.len(), 3);
    assert_eq!(
        found(Filter::new().header("tenant", "image-1")).await,
        ["image-1"]
    );
    assert!(found(Filter::new().has_header("other")).await.is_empty());
    assert!(
        found(Filter::new().task_type("mail").id_prefix("image"))
            .await
            .is_empty()
    );
}

pub async fn tasks_are_found_by_age(subject: &InspectorSubject) {
    for minutes in 0..3 {
        let name = |state: &str| format!("{state}{minutes}");
        for (state, settlement) in [("c", done()), ("r", retry(secs(9_000))), ("x", archive())] {
            let leased = subject
                .enqueue_and_take(task(&name(state)).retention(secs(9_000)))
                .await;
            subject.settle(&leased, settlement).await;
        }
        subject.must_enqueue(task(&name("g")).group("g")).await;
        subject.advance(secs(60));
    }
    for minutes in 0..3 {
        subject.must_enqueue(task(&format!("p{minutes}"))).await;
        subject.advance(secs(60));
    }

    for (list, letter, now) in [
        (TaskList::Completed, "c", 6),
        (TaskList::Retry, "r", 6),
        (TaskList::Archived, "x", 6),
        (TaskList::Group(group("g")), "g", 6),
        (TaskList::Pending, "p", 3),
    ] {
        let minutes = |n: u64| secs(n * 60);
        let oldest = subject
            .found(list.clone(), Filter::new().older_than(minutes(now)))
            .await;
        assert_eq!(oldest, [format!("{letter}0")], "{list}");
        let youngest = Filter::new().younger_than(minutes(now - 1));
        assert_eq!(
            subject.found(list.clone(), youngest).await,
            [format!("{letter}2")],
            "{list}"
        );
    }
}

pub async fn a_page_has_no_more_tasks_than_asked_for(subject: &InspectorSubject) {
    subject
        .must_enqueue_all((0..300).map(|n| task(&format!("{n:03}")).payload(format!("{}", n % 2))))
        .await;
    let mut search = subject
        .search(TaskList::Pending)
        .matching(Filter::new().payload("1"))
        .page_size(40);
    let mut all = Vec::new();

    while let Some(page) = search.next().await {
        let page = names(&page.unwrap());
        assert!(page.len() <= 40);
        all.extend(page);
    }

    let expected: Vec<String> = (0..300)
        .filter(|n| n % 2 == 1)
        .map(|n| format!("{n:03}"))
        .collect();
    assert_eq!(all, expected);
}

pub async fn a_search_in_a_missing_queue_is_refused(subject: &InspectorSubject) {
    let result = subject.search(TaskList::Pending).collect().await;

    assert!(matches!(result, Err(InspectError::QueueNotFound { .. })));
}

pub async fn searching_changes_nothing(subject: &InspectorSubject) {
    subject.one_of_each().await;
    subject.advance(secs(100_000));
    let before = subject.queue_info().await;

    for list in every_list() {
        subject.search(list).collect().await.unwrap();
    }
    subject.inspector.groups(&default_queue()).await.unwrap();
    subject.inspector.servers().await.unwrap();
    subject.inspector.schedule_entries().await.unwrap();

    assert_eq!(subject.queue_info().await, before);
}
