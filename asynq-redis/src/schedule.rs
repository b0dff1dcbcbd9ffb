//! What schedulers share: the last tick of each entry, and what is shown of them.

use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{EntryKey, NewTask, Page, ScheduleEntry, ScheduleEvent, ScheduleStore, TickReceipt};
use asynq_core::{BrokerError, Now, Timestamp};
use redis::Value;

use crate::broker::RedisBroker;
use crate::enqueue::{Prepared, read_receipt};
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

/// Longer than a year, so that yearly entries are remembered; entries come and go, and their ticks must not stay.
const KEEP_TICKS: u64 = 400 * 86_400;
const MAX_EVENTS: usize = 1000;
const KEEP_EVENTS: u64 = 90 * 86_400;

#[async_trait]
impl ScheduleStore for RedisBroker {
    async fn last_tick(&self, entry: &EntryKey, since: Timestamp) -> Result<Timestamp, BrokerError> {
        const OPERATION: &str = "last tick";
        let mut call = Call::new(&script::LAST_TICK);
        call.key(QueueKeys::new(&entry.queue).last_tick(&entry.id))
            .number(since.unix_micros())
            .number(KEEP_TICKS);
        let mut batch = Batch::new(OPERATION);
        batch.call(call);
        let answer = self.first_answer(&batch).await?;
        let answer = reply::ok(OPERATION, Some(&entry.queue), answer)?;
        reply::integer(OPERATION, answer).map(Timestamp::from_unix_micros)
    }

    async fn enqueue_tick(
        &self,
        entry: &EntryKey,
        tick: Timestamp,
        task: &NewTask,
    ) -> Result<TickReceipt, BrokerError> {
        const OPERATION: &str = "enqueue tick";
        entry.check(task)?;
        let mut batch = Batch::new(OPERATION);
        batch
            .command("SADD", &[keys::QUEUES, entry.queue.as_str()])
            .call(self.tick_call(entry, tick, task));
        let sent = self.inner.time.sending();
        let mut answers = self.send_idempotent(&batch).await?.into_iter();
        reply::ok(OPERATION, None, answers.next().unwrap_or_default())?;
        let answer = answers.next().unwrap_or_default();
        let mut items = Items::of(OPERATION, reply::ok(OPERATION, Some(&entry.queue), answer)?)?;
        if items.integer()? == 0 {
            let last = items.timestamp()?;
            return Ok(TickReceipt::Passed { last });
        }
        let now = items.timestamp()?;
        self.inner.time.observe(sent, now);
        Ok(TickReceipt::Taken(read_receipt(&mut items, now)?))
    }

    async fn publish_entries(
        &self,
        scheduler: &str,
        entries: &[ScheduleEntry],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        const OPERATION: &str = "publish entries";
        let key = keys::scheduler(scheduler);
        let expires_at = self.now().saturating_add(ttl).unix_seconds().to_string();
        // Redis refuses fractions of a second, which in Go leaves entries that never expire.
        let ttl = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0 || ttl.is_zero());
        let mut call = Call::new(&script::PUBLISH_ENTRIES);
        call.key(key.as_str()).number(ttl);
        for entry in entries {
            call.arg(wire::encode_schedule_entry(entry));
        }
        let mut batch = Batch::new(OPERATION);
        batch
            .command("TIME", &[])
            .command("ZADD", &[keys::SCHEDULERS, &expires_at, &key])
            .call(call);
        let sent = self.inner.time.sending();
        let mut answers = self.send_idempotent(&batch).await?.into_iter();
        // Between ticks nothing else tells a scheduler what the time is.
        let mut time = Items::of(
            OPERATION,
            reply::ok(OPERATION, None, answers.next().unwrap_or_default())?,
        )?;
        let micros = time.integer()?.saturating_mul(1_000_000) + time.integer()?;
        self.inner.time.observe(sent, Timestamp::from_unix_micros(micros));
        answers.try_for_each(|answer| reply::ok(OPERATION, None, answer).map(drop))
    }

    async fn withdraw_entries(&self, scheduler: &str) -> Result<(), BrokerError> {
        let key = keys::scheduler(scheduler);
        let mut batch = Batch::new("withdraw entries");
        batch
            .command("ZREM", &[keys::SCHEDULERS, &key])
            .command("DEL", &[&key]);
        self.send_all("withdraw entries", &batch).await
    }

    async fn record_event(&self, entry: &str, event: &ScheduleEvent) -> Result<(), BrokerError> {
        let mut call = Call::new(&script::RECORD_EVENT);
        call.key(keys::schedule_history(entry))
            .number(event.enqueued_at.unix_seconds())
            .arg(wire::encode_schedule_event(event))
            .number(MAX_EVENTS)
            .number(KEEP_EVENTS);
        let mut batch = Batch::new("record event");
        batch.call(call);
        self.send_all("record event", &batch).await
    }

    // Unlike in Go, nothing is deleted: who only looks needs no permission to write.
    async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        const OPERATION: &str = "schedule_entries";
        let now = self.now().unix_seconds().to_string();
        let arguments = [keys::SCHEDULERS.to_owned(), now, "+inf".to_owned()];
        let answer = self.read(OPERATION, None, "ZRANGEBYSCORE", &arguments).await?;
        let mut schedulers = Items::of(OPERATION, answer)?;
        let mut batch = Batch::new(OPERATION);
        while !schedulers.is_empty() {
            batch.command("LRANGE", &[&schedulers.text()?, "0", "-1"]);
        }
        let mut entries = Vec::new();
        for answer in self.send_idempotent(&batch).await? {
            let mut records = Items::of(OPERATION, reply::ok(OPERATION, None, answer)?)?;
            let mut of_one = Vec::with_capacity(records.len());
            while !records.is_empty() {
                // What cannot be read is not shown, as in Go.
                if let Some(bytes) = records.bytes()?
                    && let Ok(entry) = wire::decode_schedule_entry(bytes)
                {
                    of_one.push(entry);
                }
            }
            // The one that was registered first is the last of the list.
            entries.extend(of_one.into_iter().rev());
        }
        Ok(entries)
    }

    async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError> {
        const OPERATION: &str = "schedule_events";
        let limit = page.limit.min(MAX_EVENTS);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let last = page.offset.saturating_add(limit - 1).min(u32::MAX as usize);
        let arguments = [
            keys::schedule_history(entry),
            page.offset.to_string(),
            last.to_string(),
        ];
        let answer = self.read(OPERATION, None, "ZREVRANGE", &arguments).await?;
        let mut records = Items::of(OPERATION, answer)?;
        let mut events = Vec::with_capacity(records.len());
        while !records.is_empty() {
            if let Some(bytes) = records.bytes()?
                && let Ok(event) = wire::decode_schedule_event(bytes)
            {
                events.push(event);
            }
        }
        Ok(events)
    }
}

impl RedisBroker {
    fn tick_call(&self, entry: &EntryKey, tick: Timestamp, task: &NewTask) -> Call {
        let keys = QueueKeys::new(&entry.queue);
        let mut call = Call::new(&script::ENQUEUE_TICK);
        call.key(keys.pending())
            .key(keys.scheduled())
            .key(keys.groups())
            .key(keys.last_tick(&entry.id))
            .arg(self.inner.time.script_argument())
            .number(tick.unix_micros())
            .number(KEEP_TICKS);
        Prepared::new(0, task, &keys).add_to(&mut call);
        call
    }

    async fn first_answer(&self, batch: &Batch) -> Result<Value, BrokerError> {
        let answer = self.send_idempotent(batch).await?.into_iter().next();
        Ok(answer.unwrap_or_default())
    }
}
