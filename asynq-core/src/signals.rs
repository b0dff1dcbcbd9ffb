//! How a broker's watch tells a server that there is something to do.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc, watch};

use crate::names::QueueName;

/// Between a broker's [`watch`](crate::Dequeue::watch) and the server that started it.
///
/// Wakes coalesce: a thousand changes while nobody waits are one wake. A wake is a hint; whoever gets it asks the
/// broker what there is.
#[derive(Debug)]
pub struct Signals {
    pending: Notify,
    due: Notify,
    armed: AtomicBool,
    cancels: mpsc::UnboundedSender<CancelRequest>,
    demand: watch::Sender<Demand>,
}

/// A task that is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Its queue; without one, every task of this id.
    pub queue: Option<QueueName>,
    /// Its id, as it came: from other programs, unchecked.
    pub id: String,
}

/// What a server wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Workers are free: tell of everything.
    Idle,
    /// All workers have been busy for a while: new pending tasks need not be told, which spares the broker messages.
    Busy,
}

impl Signals {
    /// Signals and the receiver of the tasks to be cancelled.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<CancelRequest>) {
        let (cancels, receiver) = mpsc::unbounded_channel();
        let (demand, _) = watch::channel(Demand::Idle);
        let signals = Signals {
            pending: Notify::new(),
            due: Notify::new(),
            armed: AtomicBool::new(false),
            cancels,
            demand,
        };
        (signals, receiver)
    }

    /// For brokers: there may be a task to take out.
    pub fn wake_pending(&self) {
        self.pending.notify_one();
    }

    /// For brokers: a scheduled task or a retry came that may be due before all others.
    pub fn wake_due(&self) {
        self.due.notify_one();
    }

    /// For brokers: this task is to be cancelled.
    pub fn cancel(&self, request: CancelRequest) {
        // A server that does not listen any more is shutting down.
        let _ = self.cancels.send(request);
    }

    /// For brokers: whether changes are told at the moment. When they are not, the server polls more often.
    pub fn set_armed(&self, armed: bool) {
        self.armed.store(armed, Ordering::Release);
    }

    /// For brokers: what the server wants to be told, now and when that changes.
    pub fn demand(&self) -> watch::Receiver<Demand> {
        self.demand.subscribe()
    }

    /// For servers: waits until there may be a task to take out. Returns at once if that was told since the last time.
    pub async fn pending(&self) {
        self.pending.notified().await;
    }

    /// For servers: waits until the earliest due time may have changed.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// For servers: whether changes are told at the moment.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// For servers: what they want to be told.
    pub fn set_demand(&self, demand: Demand) {
        self.demand
            .send_if_modified(|current| std::mem::replace(current, demand) != demand);
    }
}
