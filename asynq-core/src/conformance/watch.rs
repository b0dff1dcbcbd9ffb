//! What a watching server is told. These tests wait for signals in real time, and longest for `PATIENCE`.

#![allow(missing_docs, reason = "the names are sentences")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::signals::{CancelRequest, Signals};

use super::Subject;
use super::kit::*;

const PATIENCE: Duration = Duration::from_secs(5);

/// A watch that has begun: its first wakes are taken.
pub(super) struct Watch {
    signals: Arc<Signals>,
    cancels: UnboundedReceiver<CancelRequest>,
    running: JoinHandle<()>,
}

impl Watch {
    pub(super) async fn begin(subject: &Subject, queues: &[&str]) -> Self {
        let (signals, cancels) = Signals::new();
        let signals = Arc::new(signals);
        let queues: Vec<_> = queues.iter().map(|name| queue(name)).collect();
        let running = tokio::spawn({
            let (broker, signals) = (subject.broker.clone(), signals.clone());
            async move { broker.watch(&queues, &signals).await.unwrap() }
        });
        let watch = Watch {
            signals,
            cancels,
            running,
        };
        watch.pending("at the beginning").await;
        watch.due("at the beginning").await;
        watch
    }

    pub(super) async fn pending(&self, when: &str) {
        within_patience(
            self.signals.pending(),
            &format!("a wake for pending tasks {when}"),
        )
        .await;
    }

    async fn due(&self, when: &str) {
        within_patience(self.signals.due(), &format!("a wake for due times {when}")).await;
    }

    /// The cancellation of a task of this id. Others may come in between: the channel may be one of all programs that
    /// use the server.
    async fn cancelled(&mut self, id: &str) -> CancelRequest {
        loop {
            let request = within_patience(self.cancels.recv(), "a cancellation")
                .await
                .unwrap();
            if request.id == id {
                return request;
            }
        }
    }

    async fn end(self) -> Arc<Signals> {
        self.running.abort();
        let _ = self.running.await;
        self.signals
    }
}

async fn within_patience<T>(signal: impl Future<Output = T>, what: &str) -> T {
    let waited = tokio::time::timeout(PATIENCE, signal).await;
    waited.unwrap_or_else(|_| panic!("no sign of {what}"))
}

pub async fn a_watch_is_armed_and_wakes_once_it_has_begun(subject: &Subject) {
    let watch = Watch::begin(subject, &["default"]).await;

    assert!(watch.signals.is_armed());
    watch.end().await;
}

pub async fn a_watch_that_is_dropped_is_not_armed(subject: &Subject) {
    let watch = Watch::begin(subject, &["default"]).await;

    let signals = watch.end().await;

    assert!(!signals.is_armed());
    subject.must_enqueue(task("a")).await;
}

pub async fn a_new_pending_task_wakes(subject: &Subject) {
    let watch = Watch::begin(subject, &["other", "default"]).await;

    subject.must_enqueue(task("a")).await;

    watch.pending("after an enqueue").await;
    watch.end().await;
}

pub async fn every_new_pending_task_wakes(subject: &Subject) {
    let watch = Watch::begin(subject, &["default"]).await;

    for n in 0..5 {
        subject.must_enqueue(task(&format!("task-{n}"))).await;
        watch.pending("after an enqueue").await;
        subject.take().await;
    }
    watch.end().await;
}

pub async fn a_new_scheduled_task_wakes_the_forwarder(subject: &Subject) {
    let watch = Watch::begin(subject, &["default"]).await;

    subject.must_enqueue(task("a").delayed(secs(5))).await;

    watch.due("after an enqueue with a delay").await;
    watch.end().await;
}

pub async fn a_retry_wakes_the_forwarder(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let watch = Watch::begin(subject, &["default"]).await;

    subject.settle(&leased, retry(secs(5))).await;

    watch.due("after a retry").await;
    watch.end().await;
}

pub async fn a_snooze_wakes_the_forwarder(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let watch = Watch::begin(subject, &["default"]).await;

    subject.settle(&leased, snooze(secs(5))).await;

    watch.due("after a snooze").await;
    watch.end().await;
}

pub async fn a_forwarded_task_wakes(subject: &Subject) {
    subject.must_enqueue(task("a").delayed(secs(5))).await;
    let watch = Watch::begin(subject, &["default"]).await;
    subject.advance(secs(5));

    subject.forward().await;

    watch.pending("after forwarding").await;
    watch.end().await;
}

pub async fn a_requeued_task_wakes(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a")).await;
    let watch = Watch::begin(subject, &["default"]).await;

    subject.settle(&leased, requeue()).await;

    watch.pending("after a requeue").await;
    watch.end().await;
}

pub async fn a_merged_task_wakes(subject: &Subject) {
    subject.must_enqueue(task("a").group("g")).await;
    let limits = crate::broker::GroupLimits {
        grace_period: Duration::ZERO,
        max_delay: None,
        max_size: None,
    };
    let sealed = subject.broker.seal(&default_queue(), &group("g"), &limits).await;
    let set = sealed.unwrap().unwrap();
    let watch = Watch::begin(subject, &["default"]).await;

    subject
        .broker
        .finish_set(&set.key, &task("merged").build())
        .await
        .unwrap();

    watch.pending("after a set was finished").await;
    watch.end().await;
}

pub async fn several_watches_are_all_told(subject: &Subject) {
    let first = Watch::begin(subject, &["default"]).await;
    let second = Watch::begin(subject, &["default"]).await;

    subject.must_enqueue(task("a")).await;

    first.pending("after an enqueue").await;
    second.pending("after an enqueue").await;
    first.end().await;
    second.end().await;
}

pub async fn a_watch_is_told_of_a_cancelled_task(subject: &Subject) {
    subject.enqueue_and_take(task("a")).await;
    let mut watch = Watch::begin(subject, &["default"]).await;

    subject
        .broker
        .cancel(Some(&default_queue()), &id("a"))
        .await
        .unwrap();

    let request = watch.cancelled("a").await;
    // A channel shared with other programs may carry the id only.
    assert!(request.queue.is_none_or(|queue| queue == default_queue()));
    watch.end().await;
}

pub async fn a_watch_is_told_of_an_id_cancelled_in_every_queue(subject: &Subject) {
    let mut watch = Watch::begin(subject, &["default"]).await;

    subject.broker.cancel(None, &id("schön:}")).await.unwrap();

    let request = watch.cancelled("schön:}").await;
    assert_eq!(request.queue, None);
    watch.end().await;
}
