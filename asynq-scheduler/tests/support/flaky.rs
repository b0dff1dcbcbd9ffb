//! A broker that can be made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{
    EntryKey, NewTask, Receipt, ScheduleEntry, ScheduleEvent, ScheduleStore, TickReceipt,
};
use asynq_core::{BrokerError, Enqueue, MemoryBroker, Now, Page, Timestamp};
use asynq_scheduler::SchedulerBuilder;

/// The memory broker behind a connection that can be cut.
#[derive(Clone)]
pub(crate) struct Flaky {
    pub(crate) broker: MemoryBroker,
    pub(crate) is_down: Arc<AtomicBool>,
    pub(crate) refused: Arc<AtomicUsize>,
    /// Carries calls out and loses their answers.
    pub(crate) loses_answers: Arc<AtomicBool>,
}

impl Flaky {
    pub(crate) fn new(broker: MemoryBroker) -> Self {
        Flaky {
            broker,
            is_down: Arc::default(),
            refused: Arc::default(),
            loses_answers: Arc::default(),
        }
    }

    /// A scheduler of this broker, to be set up.
    pub(crate) fn scheduler(&self) -> SchedulerBuilder {
        SchedulerBuilder::new(Arc::new(self.clone()))
    }

    fn check(&self) -> Result<(), BrokerError> {
        if !self.is_down.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(unavailable(false))
    }
}

fn unavailable(maybe_applied: bool) -> BrokerError {
    BrokerError::Unavailable {
        operation: "test",
        maybe_applied,
        source: Arc::new(std::io::Error::other("cut")),
    }
}

impl Now for Flaky {
    fn now(&self) -> Timestamp {
        self.broker.now()
    }
}

#[async_trait]
impl Enqueue for Flaky {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Receipt>, BrokerError> {
        self.check()?;
        self.broker.enqueue(tasks).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.check()
    }
}

#[async_trait]
impl ScheduleStore for Flaky {
    async fn last_tick(&self, entry: &EntryKey, since: Timestamp) -> Result<Timestamp, BrokerError> {
        self.check()?;
        self.broker.last_tick(entry, since).await
    }

    async fn enqueue_tick(
        &self,
        entry: &EntryKey,
        tick: Timestamp,
        task: &NewTask,
    ) -> Result<TickReceipt, BrokerError> {
        self.check()?;
        let receipt = self.broker.enqueue_tick(entry, tick, task).await;
        if self.loses_answers.load(Ordering::SeqCst) {
            return Err(unavailable(true));
        }
        receipt
    }

    async fn publish_entries(
        &self,
        scheduler: &str,
        entries: &[ScheduleEntry],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        self.check()?;
        self.broker.publish_entries(scheduler, entries, ttl).await
    }

    async fn withdraw_entries(&self, scheduler: &str) -> Result<(), BrokerError> {
        self.check()?;
        self.broker.withdraw_entries(scheduler).await
    }

    async fn record_event(&self, entry: &str, event: &ScheduleEvent) -> Result<(), BrokerError> {
        self.check()?;
        self.broker.record_event(entry, event).await
    }

    async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        self.broker.schedule_entries().await
    }

    async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError> {
        self.broker.schedule_events(entry, page).await
    }
}
