//! What it costs to handle a typed task instead of a raw one: `cargo bench -p asynq-server --bench typed`.
//!
//! Each round enqueues a batch on the memory broker and waits until a server has handled it.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark has no users, and fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asynq_server::Handlers;
use asynq_server::prelude::*;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

const BATCH: usize = 1000;

#[derive(Serialize, Deserialize, Task)]
#[task(name = "typed")]
struct Empty;

#[derive(Clone, Default)]
struct Counter(Arc<(AtomicUsize, Notify)>);

impl Counter {
    fn count(&self) {
        if self.0.0.fetch_add(1, Ordering::Relaxed) + 1 == BATCH {
            self.0.1.notify_one();
        }
    }

    async fn full(&self) {
        self.0.1.notified().await;
        self.0.0.store(0, Ordering::Relaxed);
    }
}

#[task]
async fn handle_typed(_: Empty, State(counter): State<Counter>, _cx: Context) {
    counter.count();
}

fn raw(counter: Counter) -> impl Handler {
    move |_: Context, _: RawTask| {
        let counter = counter.clone();
        async move { counter.count() }
    }
}

fn builder(counter: &Counter, broker: MemoryBroker) -> ServerBuilder<Counter> {
    Server::builder(broker)
        .concurrency(64)
        .state(counter.clone())
        .handler(handle_typed)
        .handle("raw", raw(counter.clone()))
}

fn whole_way(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("whole_way");
    group
        .throughput(Throughput::Elements(BATCH as u64))
        .measurement_time(Duration::from_secs(8));
    let counter = Counter::default();
    let broker = MemoryBroker::new();
    let server = builder(&counter, broker.clone()).build().unwrap();
    runtime.block_on(server.start()).unwrap();
    let client = Client::new(broker);
    // The same bytes, so that only the handling differs.
    let task = |name: &'static str| RawTask::new(name, "null");
    for name in ["raw", "typed"] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                for answer in client.enqueue_all((0..BATCH).map(|_| task(name))).await {
                    answer.unwrap();
                }
                counter.full().await;
            });
        });
    }
    runtime.block_on(server.shutdown());
    group.finish();
}

/// One call of the handler by itself, through the mux.
fn handler(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("handler");
    let counter = Counter::default();
    let list: fn(Handlers<Counter>) -> Handlers<Counter> = tasks![handle_typed];
    let mux = list(Handlers::new()).into_mux(counter.clone()).unwrap();
    let mux = mux.handle("raw", raw(counter));
    let cx = Context::for_test();
    for name in ["raw", "typed"] {
        let task = RawTask::new(name, "null");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| mux.process(cx.clone(), task.clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, handler, whole_way);
criterion_main!(benches);
