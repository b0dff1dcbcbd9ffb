//! The tasks that this server holds a lease on: those that run, and those whose outcome is not stored yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use asynq_core::broker::ServerId;
use asynq_core::broker::{Leased, WorkerInfo};
use asynq_core::{CancelReason, CancelRequest, ContextControl, LeaseKey, TaskMessage, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

/// After this long a task counts as started: its first extension tells the broker. Tasks that end sooner are spared
/// the extra command.
const CONFIRM_START_AFTER: Duration = Duration::from_millis(50);

/// The table of held leases. One task is in it from its dequeue until its outcome is stored.
#[derive(Default)]
pub(crate) struct Running {
    tasks: Mutex<HashMap<LeaseKey, Held>>,
    added: Notify,
}

struct Held {
    control: ContextControl,
    message: Arc<TaskMessage>,
    started_at: Timestamp,
    deadline: Timestamp,
    extend_at: Instant,
    lease_ends: Instant,
    /// The handler has ended; the outcome is on its way to the broker.
    finishing: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseKey, Held>> {
        self.tasks.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn add(&self, leased: &Leased, control: ContextControl, deadline: Timestamp) {
        let now = Instant::now();
        let held = Held {
            control,
            message: leased.message.clone(),
            started_at: leased.leased_at,
            deadline,
            extend_at: now + CONFIRM_START_AFTER,
            lease_ends: now + leased.expires_at.saturating_since(leased.leased_at),
            finishing: false,
        };
        let mut tasks = self.lock();
        tasks.insert(leased.key.clone(), held);
        if tasks.len() == 1 {
            self.added.notify_one();
        }
    }

    /// The handler has ended: the task is no longer shown as running, but its lease is kept.
    pub(crate) fn finishing(&self, key: &LeaseKey) {
        if let Some(held) = self.lock().get_mut(key) {
            held.finishing = true;
        }
    }

    pub(crate) fn remove_all<'a>(&self, keys: impl IntoIterator<Item = &'a LeaseKey>) {
        let mut tasks = self.lock();
        for key in keys {
            tasks.remove(key);
        }
    }

    /// Completes at once if a lease is held, otherwise when one is added.
    pub(crate) async fn not_empty(&self) {
        while self.lock().is_empty() {
            self.added.notified().await;
        }
    }

    /// Leases that are to be extended now, and when to look again.
    pub(crate) fn due_for_extension(&self, now: Instant) -> (Vec<LeaseKey>, Option<Instant>) {
        let tasks = self.lock();
        let due = tasks
            .iter()
            .filter(|(_, held)| held.extend_at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        let next = tasks
            .values()
            .map(|held| held.extend_at)
            .filter(|at| *at > now)
            .min();
        (due, next)
    }

    pub(crate) fn extended(&self, key: &LeaseKey, extend_at: Instant, lease_ends: Instant) {
        if let Some(held) = self.lock().get_mut(key) {
            held.extend_at = extend_at;
            held.lease_ends = lease_ends;
        }
    }

    /// The lease is somebody else's, or its end has passed: the handler is told to stop. A task that was settled in the
    /// meantime is not in the table any more.
    ///
    /// A task whose outcome is on its way stays in the table: the broker decides whether it still counts.
    pub(crate) fn lost(&self, key: &LeaseKey) {
        if let Some(held) = self.lock().get_mut(key) {
            held.extend_at = far_future(held.extend_at);
            held.control.cancel(CancelReason::LeaseLost);
        }
    }

    /// Leases whose end has passed by the local clock.
    pub(crate) fn expired(&self, now: Instant) -> Vec<LeaseKey> {
        let tasks = self.lock();
        tasks
            .iter()
            .filter(|(_, held)| held.lease_ends <= now && !held.control.is_cancelled())
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Tells the handlers of all tasks that the request means to stop, and says how many there were.
    pub(crate) fn cancel(&self, request: &CancelRequest) -> usize {
        let tasks = self.lock();
        let meant = tasks.iter().filter(|(key, held)| {
            !held.finishing
                && key.id == *request.id
                && request.queue.as_ref().is_none_or(|queue| *queue == key.queue)
        });
        meant
            .map(|(_, held)| held.control.cancel(CancelReason::Requested))
            .count()
    }

    pub(crate) fn cancel_one(&self, key: &LeaseKey, reason: CancelReason) {
        if let Some(held) = self.lock().get(key) {
            held.control.cancel(reason);
        }
    }

    pub(crate) fn cancel_all(&self, reason: CancelReason) {
        for held in self.lock().values() {
            held.control.cancel(reason);
        }
    }

    /// What a heartbeat shows of the running tasks.
    pub(crate) fn workers(&self, server: &ServerId) -> Vec<WorkerInfo> {
        const SHOWN_PAYLOAD: usize = 1024;
        let tasks = self.lock();
        tasks
            .iter()
            .filter(|(_, held)| !held.finishing)
            .map(|(key, held)| WorkerInfo {
                server: server.clone(),
                task_id: key.id.clone(),
                task_type: held.message.task_type.clone(),
                payload: held
                    .message
                    .payload
                    .slice(..held.message.payload.len().min(SHOWN_PAYLOAD)),
                queue: key.queue.clone(),
                started_at: held.started_at,
                deadline: held.deadline,
            })
            .collect()
    }
}

/// A year: never, for a timer.
fn far_future(from: Instant) -> Instant {
    from + Duration::from_secs(365 * 24 * 3600)
}
