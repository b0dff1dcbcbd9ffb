//! What queues did and take.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::GroupSize;
use crate::inspector::InspectError;

use super::InspectorSubject;
use super::kit::*;

pub async fn the_history_is_by_day_today_first(subject: &InspectorSubject) {
    for (id, settlement) in [("a", done()), ("b", archive())] {
        let leased = subject.enqueue_and_take(task(id)).await;
        subject.settle(&leased, settlement).await;
    }
    subject.advance(secs(86_400));
    let leased = subject.enqueue_and_take(task("c")).await;
    subject.settle(&leased, done()).await;

    let history = subject.inspector.history(&default_queue(), 3).await.unwrap();

    let counts: Vec<_> = history.iter().map(|day| (day.processed, day.failed)).collect();
    assert_eq!(counts, [(1, 0), (2, 1), (0, 0)]);
    let today = history[0].day.unix_seconds();
    assert_eq!(today % 86_400, 0);
    assert!((0..86_400).contains(&(subject.now().unix_seconds() - today)));
    assert_eq!(history[1].day.unix_seconds(), today - 86_400);
}

pub async fn a_history_is_no_longer_than_it_is_kept(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;

    assert_eq!(
        subject
            .inspector
            .history(&default_queue(), 5_000)
            .await
            .unwrap()
            .len(),
        90
    );
    assert!(
        subject
            .inspector
            .history(&default_queue(), 0)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn groups_are_shown_with_their_sizes(subject: &InspectorSubject) {
    subject
        .must_enqueue_all([
            task("a").group("h"),
            task("b").group("g"),
            task("c").group("g"),
            task("d"),
        ])
        .await;

    let groups = subject.inspector.groups(&default_queue()).await.unwrap();

    let size = |name, size| GroupSize {
        group: group(name),
        size,
    };
    assert_eq!(groups, [size("g", 2), size("h", 1)]);
    assert!(
        subject
            .inspector
            .groups(&queue("nowhere"))
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_queue_with_larger_tasks_takes_more_memory(subject: &InspectorSubject) {
    subject
        .must_enqueue_all((0..100).map(|n| task(&format!("{n}")).payload(vec![b'x'; 1000])))
        .await;
    let small = subject.inspector.memory_usage(&default_queue()).await.unwrap();
    subject
        .must_enqueue_all((0..100).map(|n| task(&format!("g{n}")).group("g").payload(vec![b'x'; 5000])))
        .await;
    let large = subject.inspector.memory_usage(&default_queue()).await.unwrap();

    assert!((100_000..300_000).contains(&small), "{small}");
    assert!((600_000..1_200_000).contains(&large), "{large}");
}

pub async fn the_statistics_of_a_missing_queue_are_refused(subject: &InspectorSubject) {
    let queue = default_queue();
    for error in [
        subject.inspector.queue_info(&queue).await.unwrap_err(),
        subject.inspector.memory_usage(&queue).await.unwrap_err(),
        subject.inspector.history(&queue, 1).await.unwrap_err(),
    ] {
        assert!(matches!(error, InspectError::QueueNotFound { .. }), "{error}");
    }
}

pub async fn the_latency_is_that_of_the_task_that_runs_next(subject: &InspectorSubject) {
    subject.must_enqueue(task("a")).await;
    subject.advance(secs(7));

    assert_eq!(subject.queue_info().await.latency(), secs(7));

    subject.take().await;
    assert_eq!(subject.queue_info().await.latency(), secs(0));
}
