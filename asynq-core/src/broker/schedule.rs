use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};

use super::{Enqueue, NewTask, Now, Page, Receipt};

/// Keeps what schedulers share: up to which tick each entry has been enqueued, and what is shown of them. Asked by
/// schedulers, and by tools that look at them; implemented by brokers.
///
/// # Ticks
///
/// A tick is a moment at which an entry is to be enqueued. Any number of schedulers may enqueue the same tick: the first
/// wins, since the broker keeps the last tick of each entry and takes none that is not after it. Keeping the tick and
/// storing the task is one step: a scheduler that dies leaves both or neither.
///
/// The ticks of a queue are deleted with the queue. Schedulers that run go on from where they were; for those that start
/// later its entries are new.
#[async_trait]
pub trait ScheduleStore: Send + Sync + 'static {
    /// The last tick of an entry. One that is not known yet is noted as of `since`, which is then the answer: its ticks
    /// after that can be missed. Entries that nobody asks for and that do not tick are forgotten, after 400 days at the
    /// earliest.
    async fn last_tick(&self, entry: &EntryKey, since: Timestamp) -> Result<Timestamp, BrokerError>;

    /// Enqueues the task of a tick if the tick is after the last one, which it becomes, whatever the receipt says. The task
    /// must be of the entry's queue.
    ///
    /// When no answer came, the call can be repeated: the tick is enqueued once.
    async fn enqueue_tick(
        &self,
        entry: &EntryKey,
        tick: Timestamp,
        task: &NewTask,
    ) -> Result<TickReceipt, BrokerError>;

    /// Shows the entries of a scheduler for `ttl`, in place of those shown before. Go: `WriteSchedulerEntries`.
    async fn publish_entries(
        &self,
        scheduler: &str,
        entries: &[ScheduleEntry],
        ttl: Duration,
    ) -> Result<(), BrokerError>;

    /// Stops showing the entries of a scheduler. Go: `ClearSchedulerEntries`.
    async fn withdraw_entries(&self, scheduler: &str) -> Result<(), BrokerError>;

    /// Notes what was enqueued for an entry; the newest 1000 are kept, for 90 days after the last. Go:
    /// `RecordSchedulerEnqueueEvent`.
    async fn record_event(&self, entry: &str, event: &ScheduleEvent) -> Result<(), BrokerError>;

    /// What the schedulers that run now will enqueue, in the order they registered it. Go: `SchedulerEntries`.
    async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError>;

    /// What was enqueued for an entry, the latest first. Go: `ListSchedulerEnqueueEvents`.
    async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError>;
}

/// Everything that a scheduler needs of a broker.
///
/// Implemented for whatever has all the parts.
pub trait ScheduleBroker: Enqueue + ScheduleStore + Now {}

impl<B: Enqueue + ScheduleStore + Now> ScheduleBroker for B {}

/// Names an entry whose ticks are enqueued once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The queue of its tasks. Brokers may keep ticks by queue, so an entry that changes its queue begins anew.
    pub queue: QueueName,
    /// The same for all schedulers that have the entry.
    pub id: String,
}

impl EntryKey {
    /// Whether a task can be that of a tick of this entry; for brokers.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Config`] if it is of another queue.
    pub fn check(&self, task: &NewTask) -> Result<(), BrokerError> {
        if task.message.queue == self.queue {
            return Ok(());
        }
        Err(BrokerError::Config(format!(
            "the entry {:?} is of queue {:?}, its task of queue {:?}",
            self.id, self.queue, task.message.queue
        )))
    }
}

/// What became of a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TickReceipt {
    /// This call was the first for the tick. The task may have been refused all the same.
    Taken(Receipt),
    /// Enqueued before, or left behind: the last tick is not before it.
    Passed {
        /// The last tick.
        last: Timestamp,
    },
}

/// What a scheduler will enqueue. Go: `SchedulerEntry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Names it.
    pub id: String,
    /// When, as it was written: a cron line or `@every`.
    pub spec: String,
    /// Type of the task.
    pub task_type: String,
    /// Payload of the task.
    pub payload: Bytes,
    /// Options of the task as text, such as `Queue("low")`.
    pub options: Vec<String>,
    /// When it is enqueued next, if ever.
    pub next_enqueue_at: Option<Timestamp>,
    /// When it was enqueued last, if ever.
    pub previous_enqueue_at: Option<Timestamp>,
}

/// A task that a scheduler enqueued. Go: `SchedulerEnqueueEvent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEvent {
    /// The id of the task.
    pub task_id: TaskId,
    /// When.
    pub enqueued_at: Timestamp,
}
