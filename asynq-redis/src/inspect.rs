//! Looks at queues and tasks.

use async_trait::async_trait;
use asynq_core::broker::Page;
use asynq_core::{
    BrokerError, GroupName, Inspect, QueueInfo, QueueName, TaskId, TaskInfo, TaskState, Timestamp,
};

use crate::broker::RedisBroker;
use crate::error::corrupt;
use crate::keys::{self, QueueKeys};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

/// A script reads no more than this in one go, so that others get their turn.
const TASKS_PER_CALL: usize = 500;

#[async_trait]
impl Inspect for RedisBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        const OPERATION: &str = "queues";
        let mut batch = Batch::new(OPERATION);
        batch.command("SMEMBERS", &[keys::QUEUES]);
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let mut items = Items::of(OPERATION, reply::ok(OPERATION, None, answer)?)?;
        let mut queues = Vec::with_capacity(items.len());
        while !items.is_empty() {
            queues.push(QueueName::from_stored(items.text()?));
        }
        queues.sort();
        Ok(queues)
    }

    async fn queue_info(&self, queue: &QueueName) -> Result<Option<QueueInfo>, BrokerError> {
        const OPERATION: &str = "queue_info";
        let mut batch = Batch::new(OPERATION);
        batch
            .command("SISMEMBER", &[keys::QUEUES, queue.as_str()])
            .call(self.queue_info_call(queue));
        let mut answers = self.send_idempotent(&batch).await?.into_iter();
        let mut answer = || reply::ok(OPERATION, Some(queue), answers.next().unwrap_or_default());
        if reply::integer(OPERATION, answer()?)? == 0 {
            return Ok(None);
        }
        read_queue_info(queue, Items::of(OPERATION, answer()?)?).map(Some)
    }

    async fn task(&self, queue: &QueueName, id: &TaskId) -> Result<Option<TaskInfo>, BrokerError> {
        const OPERATION: &str = "task";
        let call = self.task_call(queue, id);
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        if items.is_empty() {
            return Ok(None);
        }
        match read_task(queue, &mut items)? {
            Ok(info) => Ok(Some(info)),
            Err(reason) => Err(corrupt(OPERATION, queue, format!("task {id:?}: {reason}"))),
        }
    }

    async fn tasks(
        &self,
        queue: &QueueName,
        state: TaskState,
        group: Option<&GroupName>,
        page: Page,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        let keys = QueueKeys::new(queue);
        let Some(list) = list_of(&keys, state, group) else {
            return Ok(Vec::new());
        };
        let mut tasks = Vec::new();
        let (mut offset, mut left) = (page.offset, page.limit);
        while left > 0 {
            let limit = left.min(TASKS_PER_CALL);
            let seen = self
                .read_tasks(queue, &keys, &list, Page { offset, limit }, &mut tasks)
                .await?;
            offset += seen;
            left -= seen.min(left);
            if seen < limit {
                break;
            }
        }
        Ok(tasks)
    }

    async fn pause(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        let now = self.inner.time.now().unix_seconds().to_string();
        self.ask("pause", queue, "SETNX", &[&QueueKeys::new(queue).paused(), &now])
            .await
    }

    async fn resume(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.ask("resume", queue, "DEL", &[&QueueKeys::new(queue).paused()])
            .await
    }

    async fn cancel(&self, queue: Option<&QueueName>, id: &TaskId) -> Result<(), BrokerError> {
        let mut batch = Batch::new("cancel");
        if let Some(queue) = queue {
            let mut call = Call::new(&script::CANCEL);
            call.key(QueueKeys::new(queue).task(id));
            batch.call(call);
        }
        batch.command("PUBLISH", &[keys::CANCEL_CHANNEL, id.as_str()]);
        self.send_all("cancel", &batch).await
    }
}

/// The key where tasks of a state are listed, and how.
pub(crate) struct List {
    pub(crate) key: String,
    kind: &'static str,
}

pub(crate) fn list_of(keys: &QueueKeys, state: TaskState, group: Option<&GroupName>) -> Option<List> {
    let (key, kind) = match state {
        TaskState::Pending => (keys.pending(), "list"),
        TaskState::Active => (keys.active(), "list"),
        TaskState::Scheduled => (keys.scheduled(), "zset"),
        TaskState::Retry => (keys.retry(), "zset"),
        TaskState::Archived => (keys.archived(), "zset"),
        TaskState::Completed => (keys.completed(), "zset"),
        TaskState::Aggregating => (keys.group(group?), "zset"),
    };
    Some(List { key, kind })
}

impl RedisBroker {
    /// A command that changes one key, or finds that it is so already, or answers a question with yes or no.
    pub(crate) async fn ask(
        &self,
        operation: &'static str,
        queue: &QueueName,
        command: &str,
        arguments: &[&str],
    ) -> Result<bool, BrokerError> {
        let mut batch = Batch::new(operation);
        batch.command(command, arguments);
        let answer = self.send(&batch).await?.into_iter().next().unwrap_or_default();
        let answer = reply::ok(operation, Some(queue), answer)?;
        Ok(reply::integer(operation, answer)? == 1)
    }

    pub(crate) fn task_call(&self, queue: &QueueName, id: &TaskId) -> Call {
        let keys = QueueKeys::new(queue);
        let mut call = Call::new(&script::TASK);
        call.key(keys.task(id))
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.lease())
            .arg(self.inner.time.script_argument())
            .arg(id.as_str());
        call
    }

    fn queue_info_call(&self, queue: &QueueName) -> Call {
        let keys = QueueKeys::new(queue);
        let day = keys::day(self.inner.time.now());
        let mut call = Call::new(&script::QUEUE_INFO);
        call.key(keys.pending())
            .key(keys.active())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.archived())
            .key(keys.completed())
            .key(keys.processed_on(&day))
            .key(keys.failed_on(&day))
            .key(keys.processed())
            .key(keys.failed())
            .key(keys.paused())
            .key(keys.groups())
            .arg(self.inner.time.script_argument())
            .arg(keys.task_prefix())
            .arg(keys.group_prefix());
        call
    }

    /// Appends the tasks of a page that can be decoded, and says how many ids there were.
    async fn read_tasks(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        list: &List,
        page: Page,
        tasks: &mut Vec<TaskInfo>,
    ) -> Result<usize, BrokerError> {
        const OPERATION: &str = "tasks";
        let mut call = Call::new(&script::TASKS);
        call.key(list.key.as_str())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.lease())
            .arg(self.inner.time.script_argument())
            .arg(list.kind)
            .number(page.offset)
            .number(page.limit)
            .arg(keys.task_prefix());
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        let seen = items.count()?;
        while !items.is_empty() {
            if let Ok(info) = read_task(queue, &mut items)? {
                tasks.push(info);
            }
        }
        Ok(seen)
    }
}

/// Reads the six values of a task; the inner error says why it cannot be decoded.
pub(crate) fn read_task(
    queue: &QueueName,
    items: &mut Items,
) -> Result<Result<TaskInfo, String>, BrokerError> {
    let id = TaskId::from_stored(items.text()?);
    let state = items.text()?;
    let message = items.bytes()?.unwrap_or_default();
    let result = items.bytes()?.filter(|result| !result.is_empty());
    let next_process_at = items.optional_timestamp()?;
    let is_orphaned = items.integer()? == 1;
    let state: TaskState = match state.parse() {
        Ok(state) => state,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    Ok(match wire::decode_task(message, queue, &id) {
        Ok(message) => {
            let mut info = TaskInfo::new(message, state);
            info.result = result;
            info.next_process_at = next_process_at;
            info.is_orphaned = is_orphaned;
            Ok(info)
        }
        Err(error) => Err(error.to_string()),
    })
}

fn read_queue_info(queue: &QueueName, mut items: Items) -> Result<QueueInfo, BrokerError> {
    let mut info = QueueInfo::empty(queue.clone(), items.timestamp()?);
    for number in [
        &mut info.pending,
        &mut info.active,
        &mut info.scheduled,
        &mut info.retry,
        &mut info.archived,
        &mut info.completed,
        &mut info.processed,
        &mut info.failed,
        &mut info.processed_total,
        &mut info.failed_total,
    ] {
        *number = items.integer()?.max(0).unsigned_abs();
    }
    info.paused = items.integer()? == 1;
    info.groups = items.integer()?.max(0).unsigned_abs();
    info.aggregating = items.integer()?.max(0).unsigned_abs();
    let nanos = items.optional_timestamp()?;
    info.oldest_pending_since = nanos.map(|nanos| Timestamp::from_unix_micros(nanos.unix_micros() / 1_000));
    Ok(info)
}
