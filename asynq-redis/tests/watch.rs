//! What a watching server is told about, whoever did it.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::sync::Arc;

use asynq_core::{Demand, Dequeue, Inspect, Signals};
use asynq_fixtures::RedisServer;
use asynq_redis::RedisBroker;
use tokio::task::JoinHandle;

use support::*;

struct Watch {
    signals: Arc<Signals>,
    task: JoinHandle<()>,
}

impl Watch {
    async fn begin(broker: &RedisBroker) -> Self {
        let (signals, _cancels) = Signals::new();
        let signals = Arc::new(signals);
        let (broker, told) = (broker.clone(), signals.clone());
        let task = tokio::spawn(async move {
            broker.watch(&[queue("q")], &told).await.unwrap();
        });
        within("the first wake", signals.pending()).await;
        within("the first wake", signals.due()).await;
        assert!(signals.is_armed());
        Watch { signals, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_push_from_a_script_of_another_program_wakes() {
    let mut subject = Subject::new().await;
    let watch = Watch::begin(&subject.broker).await;

    // As Go asynq enqueues.
    let push = "redis.call('HSET',KEYS[1],'msg',ARGV[1],'state','pending') redis.call('LPUSH',KEYS[2],ARGV[2]) return 1";
    let _: i64 = redis::cmd("EVAL")
        .arg(push)
        .arg(2)
        .arg("asynq:{q}:t:a")
        .arg("asynq:{q}:pending")
        .arg("message")
        .arg("a")
        .query_async(&mut subject.raw)
        .await
        .unwrap();
    within("a wake for a pushed task", watch.signals.pending()).await;

    let _: i64 = subject.raw("ZADD asynq:{q}:retry 1 a").await;
    within("a wake for a retry", watch.signals.due()).await;
}

#[tokio::test]
async fn keys_that_only_begin_alike_do_not_wake() {
    // The server tells changes of all databases, and of all keys when one is flushed.
    let server = RedisServer::start();
    let mut subject = Subject::at(&server.url()).await;
    let watch = Watch::begin(&subject.broker).await;

    let _: i64 = subject.raw("LPUSH asynq:{q}:pending:other x").await;
    let _: i64 = subject.raw("LPUSH asynq:{q2}:pending x").await;
    let _: i64 = subject.raw("ZADD asynq:{q}:scheduled 1 x").await;
    within("the wake that follows", watch.signals.due()).await;

    let pending = tokio::time::timeout(std::time::Duration::ZERO, watch.signals.pending());
    assert!(pending.await.is_err(), "what was told before it was no wake");
}

#[tokio::test]
async fn a_resumed_queue_wakes() {
    let subject = Subject::new().await;
    subject.broker.pause(&queue("q")).await.unwrap();
    let watch = Watch::begin(&subject.broker).await;

    subject.broker.resume(&queue("q")).await.unwrap();

    within("a wake for the resumed queue", watch.signals.pending()).await;
}

#[tokio::test]
async fn a_busy_server_is_told_of_due_times_only() {
    // The server tells changes of all databases, and of all keys when one is flushed.
    let server = RedisServer::start();
    let subject = Subject::at(&server.url()).await;
    let watch = Watch::begin(&subject.broker).await;
    watch.signals.set_demand(Demand::Busy);
    within("the change of keys", watch.signals.due()).await;

    subject.enqueue(&["a"]).await;
    let later = asynq_core::broker::NewTask {
        placement: asynq_core::broker::Placement::Later(asynq_core::When::In(LEASE)),
        ..task("b")
    };
    asynq_core::Enqueue::enqueue(&subject.broker, &[later])
        .await
        .unwrap();
    within("a wake for a scheduled task", watch.signals.due()).await;
    let pending = tokio::time::timeout(std::time::Duration::ZERO, watch.signals.pending());
    assert!(pending.await.is_err(), "told of a pending task");

    watch.signals.set_demand(Demand::Idle);
    within("a wake on becoming idle", watch.signals.pending()).await;
    within("a wake on becoming idle", watch.signals.due()).await;
    subject.enqueue(&["c"]).await;
    within("a wake for a pending task", watch.signals.pending()).await;
}

#[tokio::test]
async fn a_watch_goes_on_after_its_connection_broke() {
    let mut server = RedisServer::start();
    let subject = Subject::at(&server.url()).await;
    let watch = Watch::begin(&subject.broker).await;

    server.kill();
    let signals = &watch.signals;
    eventually("it is said not to be armed", || async { !signals.is_armed() }).await;
    server.restart();

    within("the wake of the new connection", watch.signals.pending()).await;
    within("the wake of the new connection", watch.signals.due()).await;
    assert!(watch.signals.is_armed());
    subject.enqueue(&["a"]).await;
    within("a wake for a task", watch.signals.pending()).await;
}

#[tokio::test]
async fn ids_published_by_others_are_cancelled() {
    let server = RedisServer::start();
    let mut subject = Subject::at(&server.url()).await;
    let (signals, mut cancels) = Signals::new();
    let broker = subject.broker.clone();
    let watching = tokio::spawn(async move { broker.watch(&[queue("q")], &signals).await });
    let mut raw = subject.raw.clone();
    eventually("somebody listens", || {
        let mut raw = raw.clone();
        async move {
            let heard: i64 = redis::cmd("PUBLISH")
                .arg("asynq:cancel")
                .arg("x")
                .query_async(&mut raw)
                .await
                .unwrap();
            heard == 1
        }
    })
    .await;
    let _: i64 = redis::cmd("PUBLISH")
        .arg("asynq:cancel")
        .arg("a b")
        .query_async(&mut raw)
        .await
        .unwrap();

    assert_eq!(within("a cancellation", cancels.recv()).await.unwrap().id, "x");
    let request = within("a cancellation", cancels.recv()).await.unwrap();
    assert_eq!((request.queue, request.id.as_str()), (None, "a b"));
    let _: String = subject.raw("PING").await;
    watching.abort();
}
