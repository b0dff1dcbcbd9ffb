//! What queues did, and what they take.

use std::time::Duration;

use asynq_core::broker::{DayCount, GroupSize};
use asynq_core::{BrokerError, GroupName, Now, QueueName, Timestamp};
use redis::Value;

use crate::broker::RedisBroker;
use crate::error::unexpected;
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};

const DAY: Duration = Duration::from_secs(86_400);
/// Counters of single days are kept as long as Go asynq keeps them.
const DAYS_KEPT: usize = 90;
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

    /// One command that only reads.
    pub(crate) async fn read(
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
