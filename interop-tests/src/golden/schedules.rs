//! What schedulers show: entries, events and options as text.

use asynq_core::TaskId;
use asynq_core::broker::{Page, ScheduleEntry, ScheduleEvent, ScheduleStore as _};
use asynq_scheduler::{Entry, Scheduler};
use fastrand::Rng;
use serde_json::{Value, json};

use super::random::{micros, text};
use super::{Checked, Golden, LEASE, failed, same};
use crate::{hex, message};

const SCHEDULER: &str = "host:1:scheduler";
const LIST: &str = "asynq:schedulers:{host:1:scheduler}";

impl Golden {
    pub(super) async fn schedules(&mut self, rng: &mut Rng) -> Checked {
        let entry = random_entry(rng);
        let entries = std::slice::from_ref(&entry);
        let shown = message::entry_to_json(&entry);
        let by_go = self.ask("encode_entry", "entries", json!([shown]))?;
        let by_go = hex::from_json(&by_go);
        let published = self.broker.publish_entries(SCHEDULER, entries, LEASE).await;
        published.map_err(failed)?;
        let stored = self.get(&["LINDEX", LIST, "0"])?;
        same("an entry that ours wrote", &by_go, &stored)?;
        let decoded = self.ask("decode_entry", "data", hex::encode(&stored).into())?;
        same("an entry that Go read", &shown, &decoded)?;
        // What Go writes in its place is read by ours.
        redis::cmd("LSET")
            .arg(&[LIST, "0"])
            .arg(by_go)
            .exec(&mut self.redis)
            .map_err(failed)?;
        let read = self.broker.schedule_entries().await.map_err(failed)?;
        same("entries that ours read", &vec![entry.clone()], &read)?;
        self.event(rng, &entry.id).await
    }

    async fn event(&mut self, rng: &mut Rng, entry: &str) -> Checked {
        let event = ScheduleEvent {
            task_id: TaskId::from_stored(text(rng)),
            enqueued_at: micros(rng),
        };
        let history = format!("asynq:scheduler_history:{entry}");
        let at = event.enqueued_at.unix_micros();
        let by_go = self.go.must(
            super::request("encode_event")
                .with("id", event.task_id.as_str())
                .with("at", at),
        )?;
        let by_go = hex::from_json(&by_go);
        self.broker.record_event(entry, &event).await.map_err(failed)?;
        let stored: Vec<Vec<u8>> = redis::cmd("ZRANGE")
            .arg(&[&history, "0", "-1"])
            .query(&mut self.redis)
            .map_err(failed)?;
        same("an event that ours wrote", &vec![by_go.clone()], &stored)?;
        let decoded = self.ask("decode_event", "data", hex::encode(&by_go).into())?;
        let expected = json!({"task_id": event.task_id.as_str(), "at": at});
        same("an event that Go read", &expected, &decoded)?;
        redis::pipe()
            .cmd("DEL")
            .arg(&history)
            .cmd("ZADD")
            .arg(&history)
            .arg(event.enqueued_at.unix_seconds())
            .arg(by_go)
            .exec(&mut self.redis)
            .map_err(failed)?;
        let read = self.broker.schedule_events(entry, Page::first(10)).await;
        same("events that ours read", &vec![event], &read.map_err(failed)?)
    }

    /// Options as schedulers show them.
    pub(super) fn option_texts(&mut self, rng: &mut Rng) -> Checked {
        let options = random_options(rng);
        let go = self.ask("option_texts", "task", options.clone())?;
        let mut go: Vec<String> = serde_json::from_value(go).map_err(failed)?;
        let scheduler = Scheduler::new(self.broker.clone());
        // With an id of their own, tasks can only be enqueued as Go does.
        let entry = Entry::new("@daily", message::raw_task(&options))
            .options(message::task_options(&options))
            .one_copy_per_scheduler();
        scheduler.register_entry(entry).map_err(failed)?;
        let mut ours = scheduler.entries_shown().remove(0).options;
        go.sort_unstable();
        ours.sort_unstable();
        same("options as text", &go, &ours)
    }
}

fn random_entry(rng: &mut Rng) -> ScheduleEntry {
    ScheduleEntry {
        id: text(rng).to_owned(),
        spec: ["@every 1m30s", "TZ=Europe/Paris 0 3 * * *", ""][rng.usize(0..3)].to_owned(),
        task_type: text(rng).to_owned(),
        payload: text(rng).into(),
        options: (0..rng.usize(0..4))
            .map(|_| format!("Queue({:?})", text(rng)))
            .collect(),
        next_enqueue_at: rng.bool().then(|| micros(rng)),
        previous_enqueue_at: rng.bool().then(|| micros(rng)),
    }
}

/// Options that a client of either kind is told in JSON.
fn random_options(rng: &mut Rng) -> Value {
    let mut options = json!({"type": "t", "payload": null});
    let names = [
        "low",
        "größer",
        "a:b",
        "say \"hi\"\\",
        "tab\there",
        "\u{1f980}\u{7f}\u{a0}",
    ];
    let durations: [i64; 6] = [1, 1_500, 60_000_000, 90_061_000, 3_600_000_000, 129_600_500_000];
    for name in ["queue", "id", "group"] {
        if rng.bool() {
            options[name] = names[rng.usize(0..names.len())].into();
        }
    }
    for name in ["timeout", "unique", "retention"] {
        if rng.bool() {
            options[name] = (1_000_000 + durations[rng.usize(0..durations.len())]).into();
        }
    }
    if rng.bool() {
        options["max_retry"] = rng.u32(0..1000).into();
    }
    if rng.bool() {
        options["deadline"] = micros(rng).unix_micros().into();
    }
    match rng.u8(0..3) {
        0 => options["process_at"] = micros(rng).unix_micros().into(),
        1 => options["process_in"] = durations[rng.usize(0..durations.len())].into(),
        _ => {}
    }
    options
}
