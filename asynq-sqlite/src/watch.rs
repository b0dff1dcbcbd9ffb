//! Tells servers when there is something to do: at once what this process has committed, and within some milliseconds
//! what other processes and other connections have.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asynq_core::{BrokerError, Demand, QueueName, Signals, Timestamp};
use sqlx::{Row, SqliteConnection};
use tokio::sync::Notify;

use crate::broker::SqliteBroker;
use crate::cancel;
use crate::maintain::next_due;

const OPERATION: &str = "watch";
/// How often the file is looked at for changes of others. It is one number in memory that they share.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often after somebody was about to commit a transaction of theirs, and how many times.
const LOOK_CLOSELY_EVERY: Duration = Duration::from_millis(2);
const CLOSE_LOOKS: u32 = 500;
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// What a transaction changes.
#[derive(Default)]
pub(crate) struct Changes {
    pending: HashSet<QueueName>,
    due: HashSet<QueueName>,
    cancelled: bool,
}

impl Changes {
    /// A task of this queue became pending, or may be taken out again.
    pub(crate) fn pending(&mut self, queue: &QueueName) {
        if !self.pending.contains(queue) {
            self.pending.insert(queue.clone());
        }
    }

    /// A task of this queue became scheduled or waits for a retry.
    pub(crate) fn due(&mut self, queue: &QueueName) {
        if !self.due.contains(queue) {
            self.due.insert(queue.clone());
        }
    }

    /// Somebody asked for a task to be cancelled.
    pub(crate) fn cancelled(&mut self) {
        self.cancelled = true;
    }
}

/// Those of this process who watch.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<Arc<Watcher>>>);

struct Watcher {
    queues: Vec<QueueName>,
    inbox: Mutex<Inbox>,
    filled: Notify,
    close_looks: AtomicU32,
}

/// Changes gather here, so a burst of them costs no memory.
#[derive(Default)]
struct Inbox {
    pending: bool,
    due: bool,
    cancelled: bool,
}

impl Watchers {
    /// Tells what this process has committed.
    pub(crate) fn tell(&self, changes: Changes) {
        for watcher in lock(&self.0).iter() {
            let watches =
                |queues: &HashSet<QueueName>| watcher.queues.iter().any(|queue| queues.contains(queue));
            let (pending, due) = (watches(&changes.pending), watches(&changes.due));
            if pending || due || changes.cancelled {
                let mut inbox = lock(&watcher.inbox);
                inbox.pending |= pending;
                inbox.due |= due;
                inbox.cancelled |= changes.cancelled;
                watcher.filled.notify_one();
            }
        }
    }

    /// Somebody of this process is about to commit a transaction that is not the broker's.
    pub(crate) fn expect_change(&self) {
        for watcher in lock(&self.0).iter() {
            watcher.close_looks.store(CLOSE_LOOKS, Ordering::Relaxed);
            watcher.filled.notify_one();
        }
    }

    fn register(&self, queues: &[QueueName]) -> Registered<'_> {
        let watcher = Arc::new(Watcher {
            queues: queues.to_vec(),
            inbox: Mutex::default(),
            filled: Notify::new(),
            close_looks: AtomicU32::new(0),
        });
        lock(&self.0).push(watcher.clone());
        Registered {
            watcher,
            watchers: self,
        }
    }
}

/// Is told until it is dropped.
struct Registered<'a> {
    watcher: Arc<Watcher>,
    watchers: &'a Watchers,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.watchers.0).retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
    }
}

/// Sets armed to false however the watch ends.
struct Disarm<'a>(&'a Signals);

impl Drop for Disarm<'_> {
    fn drop(&mut self) {
        self.0.set_armed(false);
    }
}

pub(crate) async fn watch(
    broker: &SqliteBroker,
    queues: &[QueueName],
    signals: &Signals,
) -> Result<(), BrokerError> {
    let _disarm = Disarm(signals);
    let registered = broker.watchers().register(queues);
    let mut has_warned = false;
    loop {
        let Err(error) = listen(broker, &registered.watcher, signals).await;
        signals.set_armed(false);
        if !std::mem::replace(&mut has_warned, true) {
            tracing::warn!(%error, "the file cannot be watched; queues are polled until it can");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Passes on what changes, until the file cannot be read.
async fn listen(
    broker: &SqliteBroker,
    watcher: &Watcher,
    signals: &Signals,
) -> Result<std::convert::Infallible, BrokerError> {
    let failed = broker.failed(OPERATION, None);
    let connection = broker.readers().connect(OPERATION).await?;
    let mut view = View::new(connection).await.map_err(failed)?;
    signals.set_armed(true);
    // What changed before was told to nobody.
    signals.wake_pending();
    signals.wake_due();
    loop {
        let is_told = tokio::time::timeout(watcher.pause(), watcher.filled.notified())
            .await
            .is_ok();
        let told = std::mem::take(&mut *lock(&watcher.inbox));
        if told.pending {
            signals.wake_pending();
        }
        if told.due {
            signals.wake_due();
        }
        if told.cancelled {
            view.pass_on_cancellations(signals).await.map_err(failed)?;
        }
        if !is_told && view.has_changed().await.map_err(failed)? {
            view.pass_on_changes(&watcher.queues, signals)
                .await
                .map_err(failed)?;
        }
    }
}

impl Watcher {
    /// How long to wait before the next look at the file.
    fn pause(&self) -> Duration {
        let counted = self
            .close_looks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if counted.is_ok() {
            LOOK_CLOSELY_EVERY
        } else {
            LOOK_EVERY
        }
    }
}

/// The file as somebody sees it who only watches.
struct View {
    connection: SqliteConnection,
    version: i64,
    last_cancellation: i64,
    next_due: Vec<Option<Timestamp>>,
}

const DATA_VERSION: &str = "PRAGMA data_version";

impl View {
    async fn new(mut connection: SqliteConnection) -> Result<Self, sqlx::Error> {
        let last_cancellation = cancel::latest(&mut connection).await?;
        let mut view = View {
            connection,
            version: 0,
            last_cancellation,
            next_due: Vec::new(),
        };
        view.has_changed().await?;
        Ok(view)
    }

    /// Whether anybody has committed anything since the last time.
    async fn has_changed(&mut self) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(DATA_VERSION).fetch_one(&mut self.connection).await?;
        let version = row.try_get(0)?;
        Ok(std::mem::replace(&mut self.version, version) != version)
    }

    async fn pass_on_cancellations(&mut self, signals: &Signals) -> Result<(), sqlx::Error> {
        for request in cancel::since(&mut self.connection, &mut self.last_cancellation).await? {
            signals.cancel(request);
        }
        Ok(())
    }

    /// Somebody has changed something: finds out whether it matters here.
    async fn pass_on_changes(&mut self, queues: &[QueueName], signals: &Signals) -> Result<(), sqlx::Error> {
        self.pass_on_cancellations(signals).await?;
        if *signals.demand().borrow() == Demand::Idle && self.has_pending(queues).await? {
            signals.wake_pending();
        }
        let mut all_due = Vec::with_capacity(queues.len());
        for queue in queues {
            all_due.push(next_due(&mut self.connection, queue).await?);
        }
        if std::mem::replace(&mut self.next_due, all_due) != self.next_due {
            signals.wake_due();
        }
        Ok(())
    }

    async fn has_pending(&mut self, queues: &[QueueName]) -> Result<bool, sqlx::Error> {
        for queue in queues {
            let row = sqlx::query(HAS_PENDING)
                .bind(queue.as_str())
                .fetch_one(&mut self.connection)
                .await?;
            if row.try_get(0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

const HAS_PENDING: &str = "SELECT EXISTS (SELECT 1 FROM asynq_tasks WHERE queue = ?1 AND state = 'pending')
    AND NOT EXISTS (SELECT 1 FROM asynq_queues WHERE name = ?1 AND paused = 1)";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![DATA_VERSION, HAS_PENDING]
}
