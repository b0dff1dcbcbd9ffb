//! Puts tasks in queues.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use asynq_core::broker::{NewTask, Placement, Receipt};
use asynq_core::{BrokerError, Enqueue, QueueName, TaskId, TaskState, Timestamp, When};
use bytes::Bytes;
use redis::Value;

use crate::broker::{RedisBroker, locked, micros};
use crate::connection::backoff;
use crate::error::unexpected;
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

const OPERATION: &str = "enqueue";
/// A queue is added to the set of queues this often even if this process did so before: somebody may have deleted it.
const PUBLISH_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A script stores no more than this in one go, so that others get their turn.
const TASKS_PER_CALL: usize = 500;
const BYTES_PER_CALL: usize = 4 << 20;
const BYTES_PER_ROUND_TRIP: usize = 16 << 20;

#[async_trait]
impl Enqueue for RedisBroker {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Receipt>, BrokerError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let mut receipts = vec![None; tasks.len()];
        for round in rounds(chunks(tasks)) {
            self.enqueue_round(&round, &mut receipts).await?;
        }
        let missing = || unexpected(OPERATION, &Value::Nil);
        receipts
            .into_iter()
            .map(|receipt| receipt.ok_or_else(missing))
            .collect()
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        let mut batch = Batch::new("ping");
        batch.command("PING", &[]);
        for answer in self.send_idempotent(&batch).await? {
            reply::ok("ping", None, answer)?;
        }
        Ok(())
    }
}

/// A task with all that is sent of it.
pub(crate) struct Prepared {
    /// Its place in what the caller gave.
    position: usize,
    pub(crate) id: TaskId,
    pub(crate) message: Bytes,
    pub(crate) task_key: String,
    pub(crate) lock_key: Option<String>,
    pub(crate) group: Option<(String, String)>,
    at: String,
    unique_ttl: String,
}

/// Tasks of one queue that one script call stores.
struct Chunk {
    queue: QueueName,
    keys: QueueKeys,
    tasks: Vec<Prepared>,
    bytes: usize,
}

impl Prepared {
    pub(crate) fn new(position: usize, task: &NewTask, keys: &QueueKeys) -> Self {
        let message = &task.message;
        let lock_key = task
            .unique_ttl
            .map(|_| keys.unique(&message.task_type, &message.payload));
        let encoded = if message.unique_key == lock_key {
            wire::encode_task(message)
        } else {
            let mut message = message.clone();
            message.unique_key.clone_from(&lock_key);
            wire::encode_task(&message)
        };
        Prepared {
            position,
            id: message.id.clone(),
            message: encoded,
            task_key: keys.task(&message.id),
            lock_key,
            group: task.group().map(|group| (group.to_string(), keys.group(group))),
            at: placement_argument(task.placement),
            unique_ttl: task
                .unique_ttl
                .map_or_else(String::new, |ttl| micros(ttl).max(1000).to_string()),
        }
    }

    /// Adds the keys and arguments that `scripts/enqueue.lua` and `scripts/lib/insert.lua` take for a task.
    pub(crate) fn add_to(&self, call: &mut Call) {
        call.key(self.task_key.as_str());
        if let Some(lock_key) = &self.lock_key {
            call.key(lock_key.as_str());
        }
        if let Some((_, key)) = &self.group {
            call.key(key.as_str());
        }
        call.arg(self.id.as_str())
            .arg(self.message.as_ref())
            .arg(self.at.as_str())
            .arg(self.unique_ttl.as_str())
            .arg(self.group.as_ref().map_or("", |(name, _)| name));
    }
}

/// When the task is due, as the scripts take it: they know the time.
fn placement_argument(placement: Placement) -> String {
    match placement {
        Placement::Now => String::new(),
        Placement::Later(When::At(at)) => format!("a{}", at.unix_micros()),
        Placement::Later(When::In(delay)) => format!("d{}", micros(delay)),
    }
}

/// The tasks by queue, in their order, cut into what one script call may store.
fn chunks(tasks: &[NewTask]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut open: HashMap<&QueueName, usize> = HashMap::new();
    for (position, task) in tasks.iter().enumerate() {
        let queue = &task.message.queue;
        let keys = match open.get(queue) {
            Some(at) => chunks[*at].keys.clone(),
            None => QueueKeys::new(queue),
        };
        let prepared = Prepared::new(position, task, &keys);
        let bytes = prepared.message.len();
        let fits =
            |chunk: &Chunk| chunk.tasks.len() < TASKS_PER_CALL && chunk.bytes + bytes <= BYTES_PER_CALL;
        match open.get(queue).filter(|at| fits(&chunks[**at])) {
            Some(at) => {
                chunks[*at].tasks.push(prepared);
                chunks[*at].bytes += bytes;
            }
            None => {
                open.insert(queue, chunks.len());
                chunks.push(Chunk {
                    queue: queue.clone(),
                    keys,
                    tasks: vec![prepared],
                    bytes,
                });
            }
        }
    }
    chunks
}

/// The chunks that go together in one round trip: all, unless they are very large.
fn rounds(chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    let mut rounds: Vec<Vec<Chunk>> = vec![Vec::new()];
    let mut bytes = 0;
    for chunk in chunks {
        bytes += chunk.bytes;
        if bytes > BYTES_PER_ROUND_TRIP && !rounds[rounds.len() - 1].is_empty() {
            rounds.push(Vec::new());
            bytes = chunk.bytes;
        }
        if let Some(round) = rounds.last_mut() {
            round.push(chunk);
        }
    }
    rounds
}

impl RedisBroker {
    /// Stores chunks, trying again for a while when the server is not available.
    async fn enqueue_round(
        &self,
        chunks: &[Chunk],
        receipts: &mut [Option<Receipt>],
    ) -> Result<(), BrokerError> {
        let give_up = Instant::now() + self.inner.options.retry_for;
        let mut is_repeated = false;
        let mut failures = 0;
        loop {
            // What was answered is not sent again; a chunk that failed may have been stored if no answer came.
            let open: Vec<&Chunk> = chunks
                .iter()
                .filter(|chunk| receipts[chunk.tasks[0].position].is_none())
                .collect();
            let error = match self.try_enqueue(&open, is_repeated, receipts).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            is_repeated |= error.maybe_applied();
            let wait = backoff(failures, Duration::from_millis(20), Duration::from_secs(1));
            let is_unavailable = matches!(error, BrokerError::Unavailable { .. });
            if !is_unavailable || Instant::now() + wait >= give_up {
                return Err(if is_repeated {
                    applied_perhaps(error)
                } else {
                    error
                });
            }
            tracing::debug!(%error, failures, "enqueueing again");
            failures += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_enqueue(
        &self,
        chunks: &[&Chunk],
        is_repeated: bool,
        receipts: &mut [Option<Receipt>],
    ) -> Result<(), BrokerError> {
        let generation = self.inner.link.generation(OPERATION).await?;
        let unpublished = self.unpublished(chunks, generation);
        let mut batch = Batch::new(OPERATION);
        if !unpublished.is_empty() {
            let mut arguments = vec![keys::QUEUES];
            arguments.extend(unpublished.iter().map(QueueName::as_str));
            batch.command("SADD", &arguments);
        }
        for chunk in chunks {
            batch.call(self.enqueue_call(chunk, is_repeated));
        }
        let sent = self.inner.time.sending();
        let mut answers = self.send(&batch).await?.into_iter();
        if !unpublished.is_empty() {
            reply::ok(OPERATION, None, answers.next().unwrap_or_default())?;
            let published_at = (Instant::now(), generation);
            let queues = unpublished.into_iter().map(|queue| (queue, published_at));
            locked(&self.inner.published).extend(queues);
        }
        let mut failed = None;
        for (chunk, answer) in chunks.iter().zip(answers) {
            let read = reply::ok(OPERATION, Some(&chunk.queue), answer)
                .and_then(|answer| self.read_receipts(chunk, answer, sent, receipts));
            if let Err(error) = read {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Queues that are to be added to the set of queues.
    fn unpublished(&self, chunks: &[&Chunk], generation: u64) -> Vec<QueueName> {
        let published = locked(&self.inner.published);
        let is_recent = |queue: &QueueName| {
            published
                .get(queue)
                .is_some_and(|(at, over)| at.elapsed() < PUBLISH_AGAIN_AFTER && *over == generation)
        };
        let mut queues: Vec<QueueName> = chunks.iter().map(|chunk| chunk.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        queues.retain(|queue| !is_recent(queue));
        queues
    }

    fn enqueue_call(&self, chunk: &Chunk, is_repeated: bool) -> Call {
        let mut call = Call::new(&script::ENQUEUE);
        call.key(chunk.keys.pending())
            .key(chunk.keys.scheduled())
            .key(chunk.keys.groups())
            .arg(self.inner.time.script_argument())
            .arg(if is_repeated { "1" } else { "" });
        for task in &chunk.tasks {
            task.add_to(&mut call);
        }
        call
    }

    fn read_receipts(
        &self,
        chunk: &Chunk,
        answer: Value,
        sent: crate::time::Sent,
        receipts: &mut [Option<Receipt>],
    ) -> Result<(), BrokerError> {
        let mut items = Items::of(OPERATION, answer)?;
        let now = items.timestamp()?;
        self.inner.time.observe(sent, now);
        for task in &chunk.tasks {
            receipts[task.position] = Some(read_receipt(&mut items, now)?);
        }
        Ok(())
    }
}

/// Reads the two values that `scripts/enqueue.lua` gives for a task.
pub(crate) fn read_receipt(items: &mut Items, now: Timestamp) -> Result<Receipt, BrokerError> {
    let accepted = |state, next_process_at| Receipt::Accepted {
        state,
        next_process_at,
    };
    Ok(match items.integer()? {
        1 => {
            items.value()?;
            accepted(TaskState::Pending, Some(now))
        }
        2 => accepted(TaskState::Scheduled, items.optional_timestamp()?),
        3 => {
            items.value()?;
            accepted(TaskState::Aggregating, None)
        }
        0 => Receipt::IdTaken {
            state: items.text()?.parse().ok(),
        },
        _ => Receipt::Duplicate {
            holder: TaskId::from_stored(items.text()?),
        },
    })
}

/// Some try may have stored the tasks, even if the last one was refused outright.
fn applied_perhaps(error: BrokerError) -> BrokerError {
    match error {
        BrokerError::Unavailable {
            operation, source, ..
        } => BrokerError::Unavailable {
            operation,
            maybe_applied: true,
            source,
        },
        other => other,
    }
}
