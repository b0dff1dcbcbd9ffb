//! How much a typed handler allocates: no more than a raw one, apart from decoding.
#![cfg(feature = "macros")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;

use asynq_server::Handlers;
use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "empty")]
struct Empty;

#[derive(Serialize, Deserialize, Task)]
#[task(name = "text")]
struct Text {
    first: String,
    second: String,
}

#[derive(Clone, FromRef)]
struct App {
    name: Arc<str>,
}

#[task]
async fn empty(_: Empty, State(name): State<Arc<str>>, _cx: Context, _id: TaskId, Attempt(_): Attempt) {
    std::hint::black_box(name);
}

#[task(backoff = "fixed(5s)", concurrency = 3)]
async fn text(text: Text) -> Result<(), TaskError> {
    std::hint::black_box((text.first, text.second));
    Ok(())
}

/// Of one attempt at a task.
fn allocations(mux: &ServeMux, task: &RawTask) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut counts = (0..3).map(|_| {
        let (cx, task) = (Context::for_test(), task.clone());
        let info = allocation_counter::measure(|| {
            let outcome = runtime.block_on(mux.process(cx, task));
            assert!(matches!(outcome, Outcome::Done(None)), "{outcome:?}");
        });
        info.count_total
    });
    // The first may set up what stays.
    counts.nth(2).unwrap()
}

fn raw(mux: ServeMux) -> ServeMux {
    mux.handle("raw", |_: Context, _: RawTask| async {})
}

fn typed() -> ServeMux {
    let app = App { name: "app".into() };
    let list: fn(Handlers<App>) -> Handlers<App> = tasks![empty, text];
    list(Handlers::new()).into_mux(app).unwrap()
}

#[test]
fn an_empty_typed_task_allocates_no_more_than_a_raw_one() {
    let raw = allocations(&raw(ServeMux::new()), &RawTask::new("raw", "null"));
    let typed = allocations(&typed(), &RawTask::new("empty", "null"));

    assert_eq!(typed, raw);
}

#[test]
fn a_typed_task_allocates_what_its_payload_needs_and_no_more() {
    let raw = allocations(&raw(ServeMux::new()), &RawTask::new("raw", "null"));
    let payload = r#"{"first":"one","second":"two"}"#;
    let typed = allocations(&typed(), &RawTask::new("text", payload));

    // Its two strings.
    assert_eq!(typed, raw + 2);
}
