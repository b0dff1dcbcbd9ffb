//! What is shown of schedulers.

use std::time::Duration;

use asynq_core::TaskId;
use asynq_core::broker::{Page, ScheduleEntry, ScheduleEvent, ScheduleStore as _};
use serde_json::{Value, json};

use super::op::Who;
use super::world::{Step, World, same};
use crate::differences::Difference;
use crate::message;

const TTL: Duration = Duration::from_secs(20);
const ENTRIES: u8 = 3;
const EVENTS: usize = 1000;

impl World<'_> {
    pub(super) async fn show_entries(&mut self, scheduler: u8, numbers: &[u8], who: Who) -> Step {
        let id = scheduler_id(scheduler);
        let entries: Vec<ScheduleEntry> = numbers.iter().map(|number| self.entry(*number)).collect();
        for side in World::sides(who) {
            self.must(*side, "write_scheduler_entries", |request| {
                let entries: Vec<Value> = entries.iter().map(message::entry_to_json).collect();
                request
                    .with("id", id.as_str())
                    .with("entries", entries)
                    .with("ttl", TTL.as_micros() as i64)
            })?;
        }
        if who == Who::Ours {
            self.broker.publish_entries(&id, &entries, TTL).await?;
        }
        Ok(())
    }

    fn entry(&self, number: u8) -> ScheduleEntry {
        let now = self.now();
        let ago = Duration::from_micros(1_500_001 * u64::from(number));
        ScheduleEntry {
            id: entry_id(number),
            spec: "@every 1m30s".to_owned(),
            task_type: "periodic".to_owned(),
            payload: bytes::Bytes::copy_from_slice(&[0xff; 3][..usize::from(number % ENTRIES)]),
            options: (0..number % ENTRIES)
                .map(|retries| format!("MaxRetry({retries})"))
                .collect(),
            next_enqueue_at: (!number.is_multiple_of(2)).then(|| now.saturating_add(ago)),
            previous_enqueue_at: number.is_multiple_of(2).then(|| now.saturating_sub(ago)),
        }
    }

    pub(super) async fn hide_entries(&mut self, scheduler: u8, who: Who) -> Step {
        let id = scheduler_id(scheduler);
        for side in World::sides(who) {
            self.must(*side, "clear_scheduler_entries", |request| {
                request.with("id", id.as_str())
            })?;
        }
        if who == Who::Ours {
            self.broker.withdraw_entries(&id).await?;
        }
        Ok(())
    }

    pub(super) async fn record_event(&mut self, entry: u8, who: Who) -> Step {
        let event = ScheduleEvent {
            task_id: TaskId::from_stored(format!("tick:{entry}")),
            enqueued_at: self.now(),
        };
        let id = entry_id(entry);
        for side in World::sides(who) {
            self.must(*side, "record_scheduler_enqueue_event", |request| {
                request
                    .with("id", id.as_str())
                    .with("text", event.task_id.as_str())
                    .with("at", event.enqueued_at.unix_micros())
            })?;
        }
        if who == Who::Ours {
            self.broker.record_event(&id, &event).await?;
        }
        Ok(())
    }

    pub(super) async fn look_at_schedules(&mut self) -> Step {
        let mut ours: Vec<String> = Vec::new();
        for entry in self.broker.schedule_entries().await? {
            ours.push(message::entry_to_json(&entry).to_string());
        }
        let before: i64 = self.command(0, &["ZCARD", "asynq:schedulers"])?;
        let mut by_go: Vec<Vec<String>> = Vec::new();
        for side in [0, 1] {
            let list = self.must(side, "list_scheduler_entries", |request| request)?;
            let mut listed: Vec<String> = list
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect();
            listed.sort_unstable();
            by_go.push(listed);
        }
        let after: i64 = self.command(0, &["ZCARD", "asynq:schedulers"])?;
        if after < before {
            self.met(Difference::ReadOnlyListing);
        }
        ours.sort_unstable();
        same("entries by Go on either database", &by_go[0], &by_go[1])?;
        same("entries", &by_go[0], &ours)?;
        for number in 0..ENTRIES {
            self.look_at_events(number).await?;
        }
        Ok(())
    }

    async fn look_at_events(&mut self, number: u8) -> Step {
        let id = entry_id(number);
        let go = self.must(0, "list_scheduler_events", |request| {
            request.with("id", id.as_str()).with("size", EVENTS)
        })?;
        let ours = self.broker.schedule_events(&id, Page::first(EVENTS)).await?;
        let ours: Vec<Value> = ours
            .iter()
            .map(|event| json!({"task_id": event.task_id.as_str(), "at": event.enqueued_at.unix_micros()}))
            .collect();
        same("events", go, Value::Array(ours))
    }
}

fn scheduler_id(number: u8) -> String {
    format!("host:8:scheduler-{}", number % 2)
}

fn entry_id(number: u8) -> String {
    format!("entry-{}", number % ENTRIES)
}
