use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;

use crate::broker::{EntryKey, NewTask, Now, Page, ScheduleEntry, ScheduleEvent, ScheduleStore, TickReceipt};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::QueueName;

use super::MemoryBroker;

const MAX_EVENTS: usize = 1000;

/// What schedulers share. Nothing is forgotten here: the process ends sooner.
#[derive(Default)]
pub(super) struct Schedules {
    ticks: BTreeMap<EntryKey, Timestamp>,
    shown: BTreeMap<String, ShownEntries>,
    /// The latest event of each entry first.
    events: BTreeMap<String, VecDeque<ScheduleEvent>>,
}

impl Schedules {
    /// Forgets the ticks of a queue that is deleted.
    pub(super) fn forget_queue(&mut self, queue: &QueueName) {
        self.ticks.retain(|entry, _| entry.queue != *queue);
    }
}

struct ShownEntries {
    entries: Vec<ScheduleEntry>,
    expires: Timestamp,
}

#[async_trait]
impl ScheduleStore for MemoryBroker {
    async fn last_tick(&self, entry: &EntryKey, since: Timestamp) -> Result<Timestamp, BrokerError> {
        let mut state = self.state();
        Ok(*state.schedules.ticks.entry(entry.clone()).or_insert(since))
    }

    async fn enqueue_tick(
        &self,
        entry: &EntryKey,
        tick: Timestamp,
        task: &NewTask,
    ) -> Result<TickReceipt, BrokerError> {
        entry.check(task)?;
        let now = self.now();
        let mut state = self.state();
        if let Some(last) = state.schedules.ticks.get(entry).filter(|last| **last >= tick) {
            return Ok(TickReceipt::Passed { last: *last });
        }
        state.schedules.ticks.insert(entry.clone(), tick);
        Ok(TickReceipt::Taken(self.enqueue_one(&mut state, task, now)))
    }

    async fn publish_entries(
        &self,
        scheduler: &str,
        entries: &[ScheduleEntry],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let now = self.now();
        let mut state = self.state();
        let shown = &mut state.schedules.shown;
        shown.retain(|_, shown| now < shown.expires);
        shown.insert(
            scheduler.to_owned(),
            ShownEntries {
                entries: entries.to_vec(),
                expires: now.saturating_add(ttl),
            },
        );
        Ok(())
    }

    async fn withdraw_entries(&self, scheduler: &str) -> Result<(), BrokerError> {
        self.state().schedules.shown.remove(scheduler);
        Ok(())
    }

    async fn record_event(&self, entry: &str, event: &ScheduleEvent) -> Result<(), BrokerError> {
        let mut state = self.state();
        let events = state.schedules.events.entry(entry.to_owned()).or_default();
        if !events.contains(event) {
            events.push_front(event.clone());
            events.truncate(MAX_EVENTS);
        }
        Ok(())
    }

    async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        let now = self.now();
        let state = self.state();
        let shown = state.schedules.shown.values();
        Ok(shown
            .filter(|shown| now < shown.expires)
            .flat_map(|shown| shown.entries.iter().cloned())
            .collect())
    }

    async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError> {
        let state = self.state();
        let events = state.schedules.events.get(entry);
        let events = events.into_iter().flatten().skip(page.offset);
        Ok(events.take(page.limit).cloned().collect())
    }
}
