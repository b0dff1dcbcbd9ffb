//! Settles tasks.

use std::collections::HashMap;

use asynq_core::broker::{Claim, Finish, Finished, LeaseKey, Settlement, cut_error_text};
use asynq_core::{BrokerError, QueueName, TaskMessage, Timestamp};
use bytes::Bytes;
use redis::Value;

use crate::broker::{RedisBroker, micros};
use crate::error::unexpected;
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

const OPERATION: &str = "finish";
const TASKS_PER_CALL: usize = 200;
const BYTES_PER_CALL: usize = 4 << 20;

/// A task that cannot be decoded, to be set aside as archived.
pub(crate) struct Quarantine {
    pub(crate) key: LeaseKey,
    pub(crate) claim: Claim,
    pub(crate) reason: String,
}

/// What `scripts/finish.lua` takes for one task.
struct Item {
    position: usize,
    key: LeaseKey,
    claim: Claim,
    operation: &'static str,
    /// Blank if the stored message stays.
    message: Bytes,
    number: i64,
    text: Bytes,
    lock_key: Option<String>,
}

impl RedisBroker {
    pub(crate) async fn settle(&self, finishes: &[Finish]) -> Result<Vec<Finished>, BrokerError> {
        let now = self.inner.time.now();
        let items = finishes
            .iter()
            .enumerate()
            .map(|(position, finish)| item(position, finish, now))
            .collect();
        self.settle_items(items).await
    }

    /// Sets tasks aside that cannot be decoded. Failing that they are found again when their lease has expired.
    pub(crate) async fn quarantine(&self, tasks: Vec<Quarantine>) {
        for task in &tasks {
            let (queue, id, reason) = (&task.key.queue, &task.key.id, &task.reason);
            tracing::warn!(%queue, %id, reason, "archived a task that cannot be decoded");
        }
        let items = tasks.into_iter().enumerate().map(|(position, task)| Item {
            position,
            operation: "quarantine",
            message: Bytes::new(),
            number: 0,
            text: cut_error_text(&task.reason).into(),
            lock_key: None,
            key: task.key,
            claim: task.claim,
        });
        if let Err(error) = self.settle_items(items.collect()).await {
            tracing::warn!(%error, "could not archive tasks that cannot be decoded");
        }
    }

    async fn settle_items(&self, items: Vec<Item>) -> Result<Vec<Finished>, BrokerError> {
        let mut finished = vec![None; items.len()];
        let chunks = chunks(items);
        let mut batch = Batch::new(OPERATION);
        for chunk in &chunks {
            batch.call(self.finish_call(chunk));
        }
        let mut failed = None;
        for (chunk, answer) in chunks.iter().zip(self.send(&batch).await?) {
            let queue = &chunk[0].key.queue;
            let read = reply::ok(OPERATION, Some(queue), answer)
                .and_then(|answer| read_finished(chunk, answer, &mut finished));
            failed = failed.or(read.err());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let missing = || unexpected(OPERATION, &Value::Nil);
        finished.into_iter().map(|one| one.ok_or_else(missing)).collect()
    }

    fn finish_call(&self, chunk: &[Item]) -> Call {
        let keys = QueueKeys::new(&chunk[0].key.queue);
        let day = keys::day(self.inner.time.now());
        let mut call = Call::new(&script::FINISH);
        call.key(keys.active())
            .key(keys.lease())
            .key(keys.pending())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.archived())
            .key(keys.completed())
            .key(keys.processed())
            .key(keys.failed())
            .key(keys.processed_on(&day))
            .key(keys.failed_on(&day))
            .arg(self.inner.time.script_argument());
        for item in chunk {
            add_item(&mut call, &keys, item);
        }
        call
    }
}

fn add_item(call: &mut Call, keys: &QueueKeys, item: &Item) {
    call.key(keys.task(&item.key.id))
        .arg(item.key.id.as_str())
        .number(item.key.nonce)
        .arg(match item.claim {
            Claim::Holder => "holder",
            Claim::Expired => "expired",
        })
        .arg(item.operation)
        .arg(item.message.as_ref())
        .number(item.number)
        .arg(item.text.as_ref())
        .arg(if item.lock_key.is_some() { "1" } else { "" });
    if let Some(lock_key) = &item.lock_key {
        call.key(lock_key.as_str());
    }
}

fn item(position: usize, finish: &Finish, now: Timestamp) -> Item {
    let message = &finish.message;
    let mut item = Item {
        position,
        key: finish.key.clone(),
        claim: finish.claim,
        operation: "delete",
        message: Bytes::new(),
        number: 0,
        text: Bytes::new(),
        lock_key: None,
    };
    match &finish.settlement {
        Settlement::Done { result } => {
            item.lock_key = lock_of(message);
            if !message.retention.is_zero() {
                complete(&mut item, message, result.as_ref(), now);
            }
        }
        Settlement::Drop => item.lock_key = lock_of(message),
        Settlement::Retry {
            delay,
            error,
            is_failure,
        } => {
            item.operation = "retry";
            item.number = micros(*delay);
            item.message = failed_message(message, error, *is_failure, now);
            item.text = Bytes::from_static(if *is_failure { b"1" } else { b"" });
        }
        Settlement::Snooze { delay } => {
            item.operation = "snooze";
            item.number = micros(*delay);
        }
        Settlement::Archive { error } => {
            item.operation = "archive";
            item.message = failed_message(message, error, false, now);
        }
        Settlement::Requeue { lost } => {
            item.operation = "requeue";
            item.number = i64::from(*lost);
        }
    }
    item
}

/// The lock to be released: whatever a message says, only a lock of its queue.
fn lock_of(message: &TaskMessage) -> Option<String> {
    let locks = QueueKeys::new(&message.queue).unique_prefix();
    message.unique_key.clone().filter(|key| key.starts_with(&locks))
}

fn complete(item: &mut Item, message: &TaskMessage, result: Option<&Bytes>, now: Timestamp) {
    let mut completed = message.clone();
    completed.completed_at = Some(now);
    item.operation = "complete";
    item.message = wire::encode_task(&completed);
    item.number = Timestamp::from_unix_seconds(now.unix_seconds())
        .saturating_add(message.retention)
        .unix_seconds();
    if let Some(result) = result {
        item.text = [b"r", result.as_ref()].concat().into();
    }
}

fn failed_message(message: &TaskMessage, error: &str, counts: bool, now: Timestamp) -> Bytes {
    let mut failed = message.clone();
    failed.retried = failed.retried.saturating_add(u32::from(counts));
    failed.last_error = cut_error_text(error);
    failed.last_failed_at = Some(now);
    wire::encode_task(&failed)
}

/// The tasks by queue, cut into what one script call settles.
fn chunks(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut chunks: Vec<Vec<Item>> = Vec::new();
    let mut open: HashMap<QueueName, (usize, usize)> = HashMap::new();
    for item in items {
        let bytes = item.message.len() + item.text.len();
        match open.get_mut(&item.key.queue) {
            Some((at, size)) if chunks[*at].len() < TASKS_PER_CALL && *size + bytes <= BYTES_PER_CALL => {
                *size += bytes;
                chunks[*at].push(item);
            }
            _ => {
                open.insert(item.key.queue.clone(), (chunks.len(), bytes));
                chunks.push(vec![item]);
            }
        }
    }
    chunks
}

fn read_finished(
    chunk: &[Item],
    answer: Value,
    finished: &mut [Option<Finished>],
) -> Result<(), BrokerError> {
    let mut items = Items::of(OPERATION, answer)?;
    if items.integer()? == 0 {
        let queue = &chunk[0].key.queue;
        tracing::warn!(%queue, "a counter of the queue is not a number: attempts are not counted");
    }
    for item in chunk {
        finished[item.position] = Some(match items.integer()? {
            1 => Finished::Settled,
            _ => Finished::NotOwner,
        });
    }
    Ok(())
}
