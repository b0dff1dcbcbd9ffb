//! Merges groups of tasks.

use async_trait::async_trait;
use asynq_core::broker::{Aggregate, GroupLimits, NewTask, Receipt, SealedSet, SetKey};
use asynq_core::{BrokerError, GroupName, QueueName, TaskId, TaskMessage, Timestamp};
use redis::Value;

use crate::broker::{RedisBroker, micros};
use crate::enqueue::{Prepared, read_receipt};
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

/// How long a set may take to be merged, as in Go.
const SET_SECONDS: u64 = 120;
/// A script reads no more messages than this in one go.
const TASKS_PER_CALL: usize = 100;

#[async_trait]
impl Aggregate for RedisBroker {
    async fn groups(&self, queue: &QueueName) -> Result<Vec<GroupName>, BrokerError> {
        const OPERATION: &str = "groups";
        let mut batch = Batch::new(OPERATION);
        batch.command("SMEMBERS", &[&QueueKeys::new(queue).groups()]);
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let mut items = Items::of(OPERATION, reply::ok(OPERATION, Some(queue), answer)?)?;
        let mut groups = Vec::with_capacity(items.len());
        while !items.is_empty() {
            groups.push(GroupName::from_stored(items.text()?));
        }
        Ok(groups)
    }

    async fn seal(
        &self,
        queue: &QueueName,
        group: &GroupName,
        limits: &GroupLimits,
    ) -> Result<Option<SealedSet>, BrokerError> {
        const OPERATION: &str = "seal";
        let keys = QueueKeys::new(queue);
        let key = SetKey {
            queue: queue.clone(),
            group: group.clone(),
            id: uuid::Uuid::new_v4().to_string(),
        };
        let mut batch = Batch::new(OPERATION);
        batch.call(self.seal_call(&keys, &key, limits));
        let answer = self.send(&batch).await?.into_iter().next().unwrap_or_default();
        let deadline = match reply::ok(OPERATION, Some(queue), answer)? {
            Value::Nil => return Ok(None),
            answer => Timestamp::from_unix_seconds(reply::integer(OPERATION, answer)?),
        };
        let tasks = self.read_set(&keys, &key).await?;
        Ok((!tasks.is_empty()).then_some(SealedSet { key, tasks, deadline }))
    }

    async fn finish_set(&self, set: &SetKey, merged: &NewTask) -> Result<Option<Receipt>, BrokerError> {
        const OPERATION: &str = "finish_set";
        if merged.message.queue != set.queue {
            return Err(BrokerError::Config(format!(
                "the merged task of group {:?} is for queue {:?}, but must stay in queue {:?}",
                set.group, merged.message.queue, set.queue
            )));
        }
        let keys = QueueKeys::new(&set.queue);
        let set_key = keys.aggregation_set(&set.group, &set.id);
        // The queue may have been deleted while the set was being merged. Listing it below would bring back its name.
        if !self.ask(OPERATION, &set.queue, "EXISTS", &[&set_key]).await? {
            return Ok(None);
        }
        let mut call = Call::new(&script::FINISH_SET);
        call.key(set_key)
            .key(keys.aggregation_sets())
            .key(keys.pending())
            .key(keys.scheduled())
            .key(keys.groups())
            .arg(self.inner.time.script_argument())
            .arg(keys.task_prefix());
        Prepared::new(0, merged, &keys).add_to(&mut call);
        let mut batch = Batch::new(OPERATION);
        // Somebody may have deleted the queue while the set was being merged.
        batch
            .command("SADD", &[keys::QUEUES, set.queue.as_str()])
            .call(call);
        let mut answers = self.send(&batch).await?.into_iter();
        reply::ok(OPERATION, None, answers.next().unwrap_or_default())?;
        let answer = answers.next().unwrap_or_default();
        let mut items = Items::of(OPERATION, reply::ok(OPERATION, Some(&set.queue), answer)?)?;
        let now = items.timestamp()?;
        let has_more = items.integer()? == 1;
        if items.is_empty() {
            return Ok(None);
        }
        let receipt = read_receipt(&mut items, now)?;
        if has_more && let Err(error) = self.clear_sets(&set.queue, &keys).await {
            // The merged task is stored, which is what counts: reclaiming goes on with it.
            tracing::warn!(%error, queue = %set.queue, "some tasks of a finished set are still to be deleted");
        }
        Ok(Some(receipt))
    }

    async fn reclaim(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        const OPERATION: &str = "reclaim";
        let keys = QueueKeys::new(queue);
        self.clear_sets(queue, &keys).await?;
        let mut sets = 0;
        loop {
            let mut call = Call::new(&script::RECLAIM_SET);
            call.key(keys.aggregation_sets())
                .key(keys.groups())
                .arg(self.inner.time.script_argument())
                .arg(keys.group_prefix());
            let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
            sets += items.count()?;
            if items.integer()? == 0 {
                return Ok(sets);
            }
        }
    }
}

impl RedisBroker {
    fn seal_call(&self, keys: &QueueKeys, set: &SetKey, limits: &GroupLimits) -> Call {
        let mut call = Call::new(&script::SEAL);
        call.key(keys.group(&set.group))
            .key(keys.aggregation_set(&set.group, &set.id))
            .key(keys.aggregation_sets())
            .key(keys.groups())
            .arg(self.inner.time.script_argument())
            .number(limits.max_size.unwrap_or(0))
            .arg(
                limits
                    .max_delay
                    .map_or_else(String::new, |delay| micros(delay).to_string()),
            )
            .number(micros(limits.grace_period))
            .number(SET_SECONDS)
            .arg(set.group.as_str());
        call
    }

    /// The tasks of a set. Those that cannot be merged are taken out of it.
    async fn read_set(&self, keys: &QueueKeys, set: &SetKey) -> Result<Vec<TaskMessage>, BrokerError> {
        const OPERATION: &str = "seal";
        let mut tasks = Vec::new();
        let mut unusable: Vec<(TaskId, String)> = Vec::new();
        loop {
            let first = tasks.len() + unusable.len();
            let mut call = Call::new(&script::READ_SET);
            call.key(keys.aggregation_set(&set.group, &set.id))
                .number(first)
                .number(first + TASKS_PER_CALL - 1)
                .arg(keys.task_prefix());
            let mut items = Items::of(
                OPERATION,
                self.call_idempotent(OPERATION, &set.queue, call).await?,
            )?;
            let count = items.len() / 2;
            while !items.is_empty() {
                let id = TaskId::from_stored(items.text()?);
                match items
                    .bytes()?
                    .map(|bytes| wire::decode_task(bytes, &set.queue, &id))
                {
                    Some(Ok(message)) => tasks.push(message),
                    Some(Err(error)) => unusable.push((id, error.to_string())),
                    None => unusable.push((id, String::new())),
                }
            }
            if count < TASKS_PER_CALL {
                break;
            }
        }
        self.drop_members(keys, set, &unusable).await?;
        Ok(tasks)
    }

    async fn drop_members(
        &self,
        keys: &QueueKeys,
        set: &SetKey,
        members: &[(TaskId, String)],
    ) -> Result<(), BrokerError> {
        const OPERATION: &str = "seal";
        let day = keys::day(self.inner.time.now());
        for chunk in members.chunks(TASKS_PER_CALL) {
            let mut call = Call::new(&script::DROP_MEMBERS);
            call.key(keys.aggregation_set(&set.group, &set.id))
                .key(keys.aggregation_sets())
                .key(keys.archived())
                .key(keys.processed())
                .key(keys.failed())
                .key(keys.processed_on(&day))
                .key(keys.failed_on(&day))
                .arg(self.inner.time.script_argument())
                .arg(keys.task_prefix());
            for (id, reason) in chunk {
                tracing::warn!(queue = %set.queue, %id, reason, "a task of a group cannot be merged and is set aside");
                call.arg(id.as_str()).arg(reason.as_str());
            }
            self.call_idempotent(OPERATION, &set.queue, call).await?;
        }
        Ok(())
    }

    /// Deletes what is left of sets whose merged task is stored.
    async fn clear_sets(&self, queue: &QueueName, keys: &QueueKeys) -> Result<(), BrokerError> {
        const OPERATION: &str = "reclaim";
        loop {
            let mut call = Call::new(&script::CLEAR_SET);
            call.key(keys.aggregation_sets()).arg(keys.task_prefix());
            let answer = self.call_idempotent(OPERATION, queue, call).await?;
            if reply::integer(OPERATION, answer)? == 0 {
                return Ok(());
            }
        }
    }
}
