//! What queues did and take, and what schedulers will do.

use std::time::Duration;

use asynq_core::broker::{DayCount, GroupSize, ScheduleEntry, ScheduleEvent};
use asynq_core::{BrokerError, GroupName, Now, Page, QueueName, Timestamp};
use redis::Value;

use crate::broker::RedisBroker;
use crate::error::unexpected;
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

const DAY: Duration = Duration::from_secs(86_400);
/// Counters of single days are kept as long as Go asynq keeps them.
const DAYS_KEPT: usize = 90;
/// Go keeps no more of one entry.
const EVENTS_KEPT: usize = 1000;
const GROUPS_PER_CALL: &str = "500";

impl RedisBroker {
    pub(crate) async fn read_memory_usage(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        const OPERATION: &str = "memory_usage";
        let keys = QueueKeys::new(queue);
        let mut call = Call::new(&script::QUEUE_MEMORY);
        call.key(keys.pending())
            .key(keys.active())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.archived())
            .key(keys.completed())
            .key(keys.groups())
            .arg(keys.task_prefix())
            .arg(keys.group_prefix());
        let answer = self.call_idempotent(OPERATION, queue, call).await?;
        Ok(reply::integer(OPERATION, answer)?.max(0).unsigned_abs())
    }

    pub(crate) async fn read_history(
        &self,
        queue: &QueueName,
        days: usize,
    ) -> Result<Vec<DayCount>, BrokerError> {
        const OPERATION: &str = "history";
        let keys = QueueKeys::new(queue);
        let today = Timestamp::from_unix_seconds(self.now().unix_seconds().div_euclid(86_400) * 86_400);
        let ago = |days: u32| today.saturating_sub(DAY * days);
        let days: Vec<Timestamp> = (0..days.min(DAYS_KEPT) as u32).map(ago).collect();
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let counters = days.iter().flat_map(|day| {
            let day = keys::day(*day);
            [keys.processed_on(&day), keys.failed_on(&day)]
        });
        let counters: Vec<String> = counters.collect();
        let answer = self.read(OPERATION, Some(queue), "MGET", &counters).await?;
        let mut items = Items::of(OPERATION, answer)?;
        let mut history = Vec::with_capacity(days.len());
        for day in days {
            history.push(DayCount {
                day,
                processed: items.count()? as u64,
                failed: items.count()? as u64,
            });
        }
        Ok(history)
    }

    /// Reads the names bit by bit: there may be many, and one answer with all of them keeps others waiting.
    pub(crate) async fn read_group_sizes(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError> {
        const OPERATION: &str = "group_sizes";
        let keys = QueueKeys::new(queue);
        let mut groups = std::collections::BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let arguments = [keys.groups(), cursor, "COUNT".into(), GROUPS_PER_CALL.into()];
            let answer = self.read(OPERATION, Some(queue), "SSCAN", &arguments).await?;
            let mut items = Items::of(OPERATION, answer)?;
            cursor = items.text()?;
            let mut names = items.items()?;
            let mut batch = Batch::new(OPERATION);
            let mut found = Vec::with_capacity(names.len());
            while !names.is_empty() {
                let group = GroupName::from_stored(names.text()?);
                batch.command("ZCARD", &[&keys.group(&group)]);
                found.push(group);
            }
            for (group, size) in found.into_iter().zip(self.send_idempotent(&batch).await?) {
                let size = reply::integer(OPERATION, reply::ok(OPERATION, Some(queue), size)?)?;
                groups.insert(group, size.max(0).unsigned_abs());
            }
            if cursor == "0" {
                break;
            }
        }
        groups.retain(|_, size| *size > 0);
        let of = |(group, size)| GroupSize { group, size };
        Ok(groups.into_iter().map(of).collect())
    }

    // Unlike in Go, nothing is deleted: who only looks needs no permission to write.
    pub(crate) async fn read_schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
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

    pub(crate) async fn read_schedule_events(
        &self,
        entry: &str,
        page: Page,
    ) -> Result<Vec<ScheduleEvent>, BrokerError> {
        const OPERATION: &str = "schedule_events";
        let limit = page.limit.min(EVENTS_KEPT);
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

    /// One command that only reads.
    async fn read(
        &self,
        operation: &'static str,
        queue: Option<&QueueName>,
        command: &str,
        arguments: &[String],
    ) -> Result<Value, BrokerError> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut batch = Batch::new(operation);
        batch.command(command, &arguments);
        let answer = self.send_idempotent(&batch).await?.into_iter().next();
        reply::ok(
            operation,
            queue,
            answer.ok_or_else(|| unexpected(operation, &Value::Nil))?,
        )
    }
}
