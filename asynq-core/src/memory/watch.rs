//! Tells watchers what changed. Changes gather in an inbox per watcher, so a burst of them costs no memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::names::QueueName;
use crate::signals::{CancelRequest, Signals};

#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Arc<Watcher>>>);

#[derive(Clone, Copy)]
pub(super) enum Change {
    /// A task became pending, or may be taken out again.
    Pending,
    /// A task became scheduled or waits for a retry.
    Due,
}

struct Watcher {
    queues: Vec<QueueName>,
    inbox: Mutex<Inbox>,
    filled: Notify,
}

#[derive(Default)]
struct Inbox {
    pending: bool,
    due: bool,
    cancels: Vec<CancelRequest>,
}

impl Watchers {
    pub(super) fn tell(&self, queue: &QueueName, change: Change) {
        for watcher in lock(&self.0).iter().filter(|watcher| watcher.watches(queue)) {
            let mut inbox = lock(&watcher.inbox);
            match change {
                Change::Pending => inbox.pending = true,
                Change::Due => inbox.due = true,
            }
            watcher.filled.notify_one();
        }
    }

    pub(super) fn cancel(&self, request: &CancelRequest) {
        for watcher in lock(&self.0).iter() {
            if request.queue.as_ref().is_none_or(|queue| watcher.watches(queue)) {
                lock(&watcher.inbox).cancels.push(request.clone());
                watcher.filled.notify_one();
            }
        }
    }

    /// Passes on what changes in `queues`, until the future is dropped.
    pub(super) async fn watch(&self, queues: &[QueueName], signals: &Signals) {
        let watch = self.register(queues, signals);
        // What changed before we were registered was told to nobody.
        signals.wake_pending();
        signals.wake_due();
        loop {
            watch.watcher.filled.notified().await;
            let changes = std::mem::take(&mut *lock(&watch.watcher.inbox));
            if changes.pending {
                signals.wake_pending();
            }
            if changes.due {
                signals.wake_due();
            }
            for request in changes.cancels {
                signals.cancel(request);
            }
        }
    }

    fn register<'a>(&'a self, queues: &[QueueName], signals: &'a Signals) -> Watch<'a> {
        let watcher = Arc::new(Watcher {
            queues: queues.to_vec(),
            inbox: Mutex::default(),
            filled: Notify::new(),
        });
        lock(&self.0).push(watcher.clone());
        signals.set_armed(true);
        Watch {
            watcher,
            watchers: self,
            signals,
        }
    }
}

impl Watcher {
    fn watches(&self, queue: &QueueName) -> bool {
        self.queues.contains(queue)
    }
}

/// Ends the watch when it is dropped.
struct Watch<'a> {
    watcher: Arc<Watcher>,
    watchers: &'a Watchers,
    signals: &'a Signals,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        lock(&self.watchers.0).retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.signals.set_armed(false);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
