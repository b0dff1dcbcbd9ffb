//! Tower layers around handlers.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asynq_server::prelude::*;
use asynq_server::{Handlers, TaskCall, TowerLayer};
use tower::ServiceBuilder;

fn raw_and_typed() -> ServeMux {
    let list: fn(Handlers) -> Handlers = tasks![nap];
    list(Handlers::new())
        .into_mux(())
        .unwrap()
        .handle("raw", |_: Context, _: RawTask| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
        })
}

#[task(name = "nap")]
async fn nap(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn run(mux: &ServeMux, task: RawTask) -> Outcome {
    mux.process(Context::for_test(), task).await
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_layer_fails_the_task_typed_or_raw() {
    let layers = ServiceBuilder::new().timeout(Duration::from_secs(5));
    let mux = raw_and_typed().layer(TowerLayer::new(layers));

    let quick = run(&mux, RawTask::new("nap", r#"{"seconds":1}"#)).await;
    let slow = run(&mux, RawTask::new("nap", r#"{"seconds":10}"#)).await;
    let raw = run(&mux, RawTask::new("raw", "")).await;

    assert!(matches!(quick, Outcome::Done(None)));
    for outcome in [slow, raw] {
        assert!(matches!(outcome, Outcome::Retry(error) if error.to_string() == "request timed out"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_counts_counts_for_all_tasks() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = {
        let (now, most) = (now.clone(), most.clone());
        move |cx: Context, task: RawTask, next: Next| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let outcome = next.run(cx, task).await;
                now.fetch_sub(1, Ordering::SeqCst);
                outcome
            }
        }
    };
    let layers = ServiceBuilder::new().concurrency_limit(2);
    let mux = raw_and_typed().layer(TowerLayer::new(layers)).layer(counted);

    let tasks = (0..6).map(|_| {
        let mux = mux.clone();
        tokio::spawn(async move { run(&mux, RawTask::new("nap", r#"{"seconds":1}"#)).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }

    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_layer_sees_the_task_and_may_change_it() {
    let layers = ServiceBuilder::new().map_request(|mut call: TaskCall| {
        call.task.payload = r#"{"seconds":0}"#.into();
        call
    });
    let mux = raw_and_typed().layer(TowerLayer::new(layers));

    let outcome = run(&mux, RawTask::new("nap", "bad")).await;

    assert!(matches!(outcome, Outcome::Done(None)), "{outcome:?}");
}
