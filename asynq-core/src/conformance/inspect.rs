//! What is shown of queues and tasks.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::Page;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

pub async fn an_empty_broker_has_no_queues(subject: &Subject) {
    assert!(subject.broker.queues().await.unwrap().is_empty());
    assert_eq!(subject.broker.queue_info(&default_queue()).await.unwrap(), None);
    assert_eq!(subject.task("a").await, None);
    for state in TaskState::ALL {
        assert!(subject.listed(state).await.is_empty());
    }
}

pub async fn a_queue_stays_when_its_tasks_are_done(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    subject.settle(&leased, done()).await;

    assert_eq!(subject.broker.queues().await.unwrap(), [default_queue()]);
    assert_eq!(subject.queue_info().await.size(), 0);
}

pub async fn the_tasks_of_each_state_are_counted(subject: &Subject) {
    for (id, settlement) in [
        ("completed", done()),
        ("retry", retry(secs(60))),
        ("archived", archive()),
    ] {
        let leased = subject.enqueue_and_take(task(id).retention(secs(60))).await;
        subject.settle(&leased, settlement).await;
    }
    subject.enqueue_and_take(task("active")).await;
    subject
        .must_enqueue_all([
            task("p1"),
            task("p2"),
            task("scheduled").delayed(secs(60)),
            task("g1").group("g"),
            task("g2").group("g"),
            task("h").group("h"),
        ])
        .await;

    let info = subject.queue_info().await;

    assert_eq!(info.queue, default_queue());
    assert_eq!((info.pending, info.active, info.scheduled), (2, 1, 1));
    assert_eq!((info.retry, info.archived, info.completed), (1, 1, 1));
    assert_eq!((info.aggregating, info.groups, info.size()), (3, 2, 10));
    assert_within_a_second(info.timestamp, subject.now());
}

pub async fn pending_tasks_are_listed_in_the_order_they_are_run(subject: &Subject) {
    let first = subject.enqueue_and_take(task("requeued")).await;
    subject.must_enqueue_all(["1", "2", "3"].map(task)).await;
    subject.settle(&first, requeue()).await;

    let listed = subject.listed(TaskState::Pending).await;

    assert_eq!(listed, ["requeued", "1", "2", "3"]);
    assert_eq!(ids(&subject.take_up_to(4).await), listed);
}

pub async fn active_tasks_are_listed_oldest_first(subject: &Subject) {
    subject.must_enqueue_all(["1", "2", "3"].map(task)).await;
    let first = subject.take().await;
    subject.take_up_to(2).await;
    subject.advance(secs(5));

    subject.extend(&first).await;

    assert_eq!(subject.listed(TaskState::Active).await, ["1", "2", "3"]);
}

pub async fn scheduled_tasks_and_retries_are_listed_by_their_time(subject: &Subject) {
    for (id, delay) in [("r2", 200), ("r1", 100)] {
        let leased = subject.enqueue_and_take(task(id)).await;
        subject.settle(&leased, retry(secs(delay))).await;
    }
    subject
        .must_enqueue_all([task("s2").delayed(secs(20)), task("s1").delayed(secs(10))])
        .await;

    assert_eq!(subject.listed(TaskState::Scheduled).await, ["s1", "s2"]);
    assert_eq!(subject.listed(TaskState::Retry).await, ["r1", "r2"]);
}

pub async fn archived_tasks_are_listed_oldest_first(subject: &Subject) {
    for id in ["b", "a"] {
        let leased = subject.enqueue_and_take(task(id)).await;
        subject.settle(&leased, archive()).await;
        subject.advance(secs(2));
    }

    assert_eq!(subject.listed(TaskState::Archived).await, ["b", "a"]);
}

pub async fn completed_tasks_are_listed_by_their_end(subject: &Subject) {
    for (id, retention) in [("long", 600), ("short", 60)] {
        let leased = subject
            .enqueue_and_take(task(id).retention(secs(retention)))
            .await;
        subject.settle(&leased, done()).await;
    }

    assert_eq!(subject.listed(TaskState::Completed).await, ["short", "long"]);
}

pub async fn aggregating_tasks_are_listed_by_group(subject: &Subject) {
    for (id, name) in [("b", "g"), ("x", "h"), ("a", "g")] {
        subject.must_enqueue(task(id).group(name)).await;
        subject.advance(secs(2));
    }

    let of = |name| async move {
        let name = group(name);
        let state = TaskState::Aggregating;
        let tasks = subject
            .broker
            .tasks(&default_queue(), state, Some(&name), ALL)
            .await;
        let ids = |info: &crate::message::TaskInfo| info.id().to_string();
        tasks.unwrap().iter().map(ids).collect::<Vec<_>>()
    };

    assert_eq!(of("g").await, ["b", "a"]);
    assert_eq!(of("h").await, ["x"]);
    assert!(of("nobody").await.is_empty());
    assert!(
        subject.listed(TaskState::Aggregating).await.is_empty(),
        "without a group"
    );
}

pub async fn a_page_is_a_part_of_the_list(subject: &Subject) {
    subject
        .must_enqueue_all((0..10).map(|n| task(&format!("p{n}"))))
        .await;
    subject
        .must_enqueue_all((0..10).map(|n| task(&format!("s{n}")).delayed(secs(10 + n))))
        .await;

    for (state, letter) in [(TaskState::Pending, "p"), (TaskState::Scheduled, "s")] {
        let page = |offset, limit| async move {
            let page = Page { offset, limit };
            let tasks = subject.broker.tasks(&default_queue(), state, None, page).await;
            tasks
                .unwrap()
                .iter()
                .map(|info| info.id().to_string())
                .collect::<Vec<_>>()
        };

        assert_eq!(page(0, 3).await, ["0", "1", "2"].map(|n| format!("{letter}{n}")));
        assert_eq!(page(8, 3).await, ["8", "9"].map(|n| format!("{letter}{n}")));
        assert!(page(10, 3).await.is_empty());
        assert!(page(0, 0).await.is_empty(), "a page of none is empty");
    }
}

pub async fn a_task_tells_when_it_runs_next(subject: &Subject) {
    let now = subject.now();
    let failed = subject.enqueue_and_take(task("retry")).await;
    subject.settle(&failed, retry(secs(20))).await;
    subject.enqueue_and_take(task("active")).await;
    subject
        .must_enqueue_all([
            task("pending"),
            task("scheduled").delayed(secs(10)),
            task("grouped").group("g"),
        ])
        .await;

    let next = |id| async move { subject.stored(id).await.next_process_at };

    assert_eq!(next("active").await, None);
    assert_eq!(next("grouped").await, None);
    assert_within_a_second(next("pending").await.unwrap(), now);
    assert_within_a_second(next("scheduled").await.unwrap(), now.saturating_add(secs(10)));
    assert_within_a_second(next("retry").await.unwrap(), now.saturating_add(secs(20)));
}

pub async fn a_queue_tells_since_when_its_next_task_is_pending(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    let since = subject.now();
    subject.advance(secs(5));
    subject.must_enqueue(task("b")).await;
    subject.advance(secs(5));

    assert_eq!(subject.queue_info().await.oldest_pending_since, Some(since));

    subject.take_up_to(2).await;
    assert_eq!(subject.queue_info().await.oldest_pending_since, None);
}

pub async fn pausing_is_told_once(subject: &Subject) {
    subject.must_enqueue(task("a")).await;
    let queue = default_queue();
    assert!(!subject.queue_info().await.paused);

    assert!(subject.broker.pause(&queue).await.unwrap());
    assert!(!subject.broker.pause(&queue).await.unwrap());
    assert!(subject.queue_info().await.paused);

    assert!(subject.broker.resume(&queue).await.unwrap());
    assert!(!subject.broker.resume(&queue).await.unwrap());
    assert!(!subject.queue_info().await.paused);
}

pub async fn a_queue_can_be_paused_before_it_has_tasks(subject: &Subject) {
    assert!(subject.broker.pause(&default_queue()).await.unwrap());
    assert!(subject.broker.queues().await.unwrap().is_empty());
    assert_eq!(subject.broker.queue_info(&default_queue()).await.unwrap(), None);

    subject.must_enqueue(task("a")).await;

    assert!(subject.take_up_to(1).await.is_empty());
}

pub async fn a_paused_queue_accepts_tasks(subject: &Subject) {
    subject.broker.pause(&default_queue()).await.unwrap();

    subject.must_enqueue(task("a")).await;

    assert_eq!(subject.state("a").await, Some(TaskState::Pending));
}

pub async fn looking_changes_nothing(subject: &Subject) {
    subject
        .must_enqueue_all([task("a"), task("b").delayed(secs(1)), task("c").group("g")])
        .await;
    subject.advance(secs(100));
    let look = || async {
        let info = subject.queue_info().await;
        let tasks = [
            subject.task("a").await,
            subject.task("b").await,
            subject.task("c").await,
        ];
        (info, tasks, subject.broker.servers().await.unwrap())
    };

    assert_eq!(look().await, look().await);
    assert_eq!(subject.state("b").await, Some(TaskState::Scheduled));
}
