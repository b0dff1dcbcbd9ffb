//! Changes tasks that wait.

use asynq_core::broker::{Change, Changed};
use asynq_core::{BrokerError, Now, QueueName, TaskId, TaskMessage, TaskState, When};
use bytes::Bytes;

use crate::broker::{RedisBroker, micros};
use crate::error::corrupt;
use crate::inspect::list_of;
use crate::keys::{self, QueueKeys};
use crate::reply::Items;
use crate::script::{self, Batch, Call};
use crate::wire;

const OPERATION: &str = "change";
/// How often it is tried when the task changes between reading and writing.
const TRIES: usize = 10;

/// A task as it was read.
struct Read {
    state: TaskState,
    bytes: Bytes,
    message: TaskMessage,
}

impl RedisBroker {
    /// Reads the message, changes it here, and writes it if nobody else did meanwhile.
    pub(crate) async fn change_task(
        &self,
        queue: &QueueName,
        id: &TaskId,
        change: &Change,
    ) -> Result<Changed, BrokerError> {
        let mut state = TaskState::Pending;
        for _ in 0..TRIES {
            let Some(read) = self.read_to_change(queue, id).await? else {
                return Ok(Changed::NotFound);
            };
            state = read.state;
            if !change.is_for(state) {
                return Ok(Changed::WrongState(state));
            }
            if let Some(changed) = self.try_change(queue, id, change, read).await? {
                return Ok(changed);
            }
        }
        Ok(Changed::WrongState(state))
    }

    async fn read_to_change(&self, queue: &QueueName, id: &TaskId) -> Result<Option<Read>, BrokerError> {
        let call = self.task_call(queue, id);
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        if items.is_empty() {
            return Ok(None);
        }
        items.value()?;
        let damaged = |reason: String| corrupt(OPERATION, queue, format!("task {id:?}: {reason}"));
        let state = items.text()?.parse();
        let bytes = items.bytes()?.unwrap_or_default();
        Ok(Some(Read {
            state: state.map_err(|error| damaged(format!("{error}")))?,
            message: wire::decode_task(bytes.clone(), queue, id)
                .map_err(|error| damaged(error.to_string()))?,
            bytes,
        }))
    }

    /// Nothing if the task is another one by now.
    async fn try_change(
        &self,
        queue: &QueueName,
        id: &TaskId,
        change: &Change,
        read: Read,
    ) -> Result<Option<Changed>, BrokerError> {
        let target = change.queue.as_ref().unwrap_or(queue);
        let (from, to) = (QueueKeys::new(queue), QueueKeys::new(target));
        let mut message = read.message;
        let group = message.group.clone();
        let old_lock = message.unique_key.clone();
        apply(change, &mut message, &to);
        let state = self.state_after(change, read.state);
        let list = |keys: &QueueKeys, state| list_of(keys, state, group.as_ref()).map(|list| list.key);
        let mut call = Call::new(&script::CHANGE);
        let (Some(from_list), Some(to_list)) = (list(&from, read.state), list(&to, state)) else {
            let reason = format!("task {id:?} is aggregating, but its message names no group");
            return Err(corrupt(OPERATION, queue, reason));
        };
        let has_lock = old_lock.is_some();
        // The others have no time.
        let has_time = matches!(state, TaskState::Scheduled | TaskState::Retry);
        let when = change.process_at.filter(|_| has_time);
        // Without a lock its place among the keys is filled.
        call.key(from.task(id))
            .key(from_list)
            .key(from.groups())
            .key(to.task(id))
            .key(to_list)
            .key(to.groups())
            .key(old_lock.unwrap_or_else(|| from.task(id)))
            .key(message.unique_key.clone().unwrap_or_else(|| from.task(id)))
            .arg(self.inner.time.script_argument())
            .arg(id.as_str())
            .arg(read.state.as_str())
            .arg(read.bytes)
            .arg(state.as_str())
            .arg(wire::encode_task(&message))
            .arg(when.map(when_argument).unwrap_or_default())
            .arg(group.map(|group| group.to_string()).unwrap_or_default())
            .arg(if has_lock { "1" } else { "" });
        if target != queue {
            self.publish(target).await?;
        }
        let mut items = Items::of(OPERATION, self.call_once(OPERATION, queue, call).await?)?;
        Ok(match items.integer()? {
            1 => Some(Changed::Done),
            -1 => Some(Changed::BeingMerged),
            -2 => Some(Changed::IdTaken),
            -3 => Some(Changed::Duplicate {
                holder: TaskId::from_stored(items.text()?),
            }),
            _ => None,
        })
    }

    /// Only one whose time is to come becomes scheduled.
    fn state_after(&self, change: &Change, state: TaskState) -> TaskState {
        let now = self.now();
        let is_later = change.process_at.is_some_and(|when| when.resolve(now) > now);
        match state {
            TaskState::Pending | TaskState::Aggregating if is_later => TaskState::Scheduled,
            state => state,
        }
    }

    async fn publish(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let mut batch = Batch::new(OPERATION);
        batch.command("SADD", &[keys::QUEUES, queue.as_str()]);
        self.send_all(OPERATION, &batch).await
    }
}

fn apply(change: &Change, message: &mut TaskMessage, to: &QueueKeys) {
    if let Some(queue) = &change.queue {
        message.queue = queue.clone();
    }
    if let Some(payload) = &change.payload {
        message.payload = payload.clone();
    }
    if let Some(max_retry) = change.max_retry {
        message.max_retry = max_retry;
    }
    if message.unique_key.is_some() && (change.queue.is_some() || change.payload.is_some()) {
        message.unique_key = Some(to.unique(&message.task_type, &message.payload));
    }
}

fn when_argument(when: When) -> String {
    match when {
        When::At(at) => format!("a{}", at.unix_micros()),
        When::In(delay) => format!("d{}", micros(delay)),
    }
}
