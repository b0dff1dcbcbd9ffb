use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::TaskMessage;
use crate::names::{QueueName, TaskId};
use crate::signals::Signals;

/// Takes tasks out of queues, under a lease, and settles them. Asked by servers; implemented by brokers.
///
/// # Leases and fences
///
/// A task that is taken out becomes active under a lease. Its holder extends the lease until it finishes the task; a
/// task whose lease has expired is given to somebody else. Each taking-out draws a nonce, and a holder acts only with
/// the nonce it got: one that was too slow, whose task runs elsewhere by now, is refused
/// ([`Finished::NotOwner`], [`Extension::Lost`]) and changes nothing.
#[async_trait]
pub trait Dequeue: Send + Sync + 'static {
    /// Takes up to `max` tasks out of `queues`, those of the first queue first, oldest first, and leases them.
    ///
    /// Paused queues give nothing. What cannot be run is left out and dealt with: an id without a task is dropped, an
    /// undecodable task is set aside as archived with its reason, both are logged. A queue that fails does not stop
    /// the others; its error is among the [`Dequeued::errors`]. Works when the broker is full.
    ///
    /// # Cancel safety
    ///
    /// None: tasks of a call that was dropped stay leased until the broker finds them by their nonce or their lease
    /// expires.
    async fn dequeue(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError>;

    /// Settles tasks. Each only if its claim holds; otherwise [`Finished::NotOwner`], and nothing changes.
    ///
    /// Repeating a call whose answer was lost is safe: what was settled answers `NotOwner`. Works when the broker is
    /// full.
    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, BrokerError>;

    /// Sets each lease that is still held to expire after `lease` from now, and notes that its task has been started.
    ///
    /// A lease is held until the task is settled or taken by somebody else, also after it has expired. A task whose
    /// lease expires before the first extension counts as never started: it is not charged with an attempt. Works when
    /// the broker is full.
    async fn extend(&self, leases: &[LeaseKey], lease: Duration) -> Result<Vec<Extension>, BrokerError>;

    /// Stores an intermediate result, if the lease is still held, in place of an earlier one. False if it is not held:
    /// then nothing is stored. A result stays with its task over retries. Go: `ResultWriter`.
    async fn write_result(&self, lease: &LeaseKey, result: Bytes) -> Result<bool, BrokerError>;

    /// Watches `queues` and tells `signals` when there may be something to take out, when something scheduled may have
    /// become the next, and which tasks are to be cancelled.
    ///
    /// As soon as it watches, also after each reconnection, it sets [`Signals::set_armed`] to true and then wakes both
    /// for pending tasks and for due times: what changed before was told to nobody. When it ends or is dropped,
    /// `set_armed` is false again.
    ///
    /// Does not return while it can watch, and reconnects by itself. A broker that cannot watch sets
    /// [`Signals::set_armed`] to false and the server polls.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch and leaves nothing behind.
    async fn watch(&self, queues: &[QueueName], signals: &Signals) -> Result<(), BrokerError>;
}

/// What a [`dequeue`](Dequeue::dequeue) gave.
#[derive(Debug, Default)]
pub struct Dequeued {
    /// The tasks, in the order of the queues asked for.
    pub tasks: Vec<Leased>,
    /// Queues that failed. The others were served.
    pub errors: Vec<(QueueName, BrokerError)>,
}

/// A task under lease.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The right to act on it.
    pub key: LeaseKey,
    /// What is stored about it.
    pub message: Arc<TaskMessage>,
    /// The broker's time when it was taken out.
    pub leased_at: Timestamp,
    /// When the lease ends unless it is extended.
    pub expires_at: Timestamp,
}

/// The right to act on a task that was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The queue of the task.
    pub queue: QueueName,
    /// The id of the task. Ids are unique within a queue only.
    pub id: TaskId,
    /// Drawn when the task was taken out. With the id it names this attempt. Zero means that the holder is a worker
    /// that draws none, such as one of Go asynq.
    pub nonce: u32,
}

/// One task to be settled.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The right to act on it.
    pub key: LeaseKey,
    /// The task as it was taken out.
    pub message: Arc<TaskMessage>,
    /// Who acts.
    pub claim: Claim,
    /// What becomes of the task.
    pub settlement: Settlement,
}

/// In which right a task is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The worker that took it out. Holds as long as nobody else has taken the task, also shortly after the lease has
    /// expired.
    Holder,
    /// Somebody who found the lease expired. Holds only while it still is.
    Expired,
}

/// What becomes of a task. Go: `Done`, `MarkAsComplete`, `Retry`, `Archive`, `Requeue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Done. Kept as completed with its result if it has a retention, otherwise deleted. Counted as processed; its
    /// uniqueness lock is released.
    Done {
        /// What the handler gave. None keeps what was [written](Dequeue::write_result) while it ran.
        result: Option<Bytes>,
    },
    /// Deleted, retention or not. Counted as processed; its uniqueness lock is released.
    Drop,
    /// To be run again after a delay, by itself even if it came from a group. The error and the time of the failure are
    /// noted in the message either way.
    Retry {
        /// How long it waits.
        delay: Duration,
        /// Why it failed. Text over 4 KiB is cut, see [`cut_error_text`].
        error: String,
        /// Whether it counts as a failure: one retry more used up, one more processed and failed.
        is_failure: bool,
    },
    /// To be run again after a delay, as if it had been scheduled so, by itself even if it came from a group. Nothing is
    /// counted.
    Snooze {
        /// How long it waits.
        delay: Duration,
    },
    /// Kept as archived. Counted as processed and failed; its uniqueness lock stays, as in Go asynq.
    Archive {
        /// Why it failed. Text over 4 KiB is cut, see [`cut_error_text`].
        error: String,
    },
    /// Put back to be run next. Nothing is counted.
    Requeue {
        /// Its worker died before it started the task. The broker counts how often in a row; an extension of the
        /// lease, or an attempt settled in any other way, ends the row.
        lost: bool,
    },
}

/// What became of a task that was to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Settled.
    Settled,
    /// Not settled: the claim does not hold (any more). It was settled before, or is somebody else's.
    NotOwner,
}

/// What became of a lease that was to be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Still held.
    Held {
        /// When it ends unless it is extended again.
        expires_at: Timestamp,
        /// Somebody asked for this attempt of the task to be cancelled. The next attempt is not.
        cancel: bool,
    },
    /// Not held any more: the task is somebody else's or gone.
    Lost,
}

/// The longest error text that is stored with a task, in bytes.
const MAX_ERROR_TEXT: usize = 4096;

/// Cuts an error text to 4 KiB, at a character's border, and says so at its end.
pub fn cut_error_text(text: &str) -> String {
    const MARK: &str = " … (cut)";
    if text.len() <= MAX_ERROR_TEXT {
        return text.to_owned();
    }
    let mut end = MAX_ERROR_TEXT - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_error_text_is_cut_at_a_character() {
        let cut = cut_error_text(&"é".repeat(5000));

        assert!(cut.len() <= MAX_ERROR_TEXT);
        assert!(cut.ends_with("é … (cut)"));
        assert_eq!(cut_error_text("short"), "short");
    }
}
