//! Tasks and servers as the Go program writes them in JSON.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{ScheduleEntry, ServerInfo, WorkerInfo};
use asynq_core::{GroupName, QueueName, RawTask, TaskId, TaskMessage, TaskOptions, Timestamp, When};
use serde_json::{Value, json};

use crate::hex;

fn seconds(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::unix_seconds)
}

pub(crate) fn to_json(message: &TaskMessage) -> Value {
    json!({
        "type": message.task_type.as_ref(),
        "payload": hex::to_json(&message.payload),
        "id": message.id.as_str(),
        "queue": message.queue.as_str(),
        "retry": message.max_retry,
        "retried": message.retried,
        "error_msg": message.last_error,
        "timeout": message.timeout.map_or(0, |timeout| timeout.as_secs()),
        "deadline": seconds(message.deadline),
        "unique_key": message.unique_key.clone().unwrap_or_default(),
        "last_failed_at": seconds(message.last_failed_at),
        "retention": message.retention.as_secs(),
        "completed_at": seconds(message.completed_at),
        "group_key": message.group.as_ref().map_or("", GroupName::as_str),
        "headers": if message.headers.is_empty() { Value::Null } else { json!(message.headers) },
    })
}

pub(crate) fn from_json(value: &Value) -> TaskMessage {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| value[name].as_i64().unwrap_or_default();
    let time = |name: &str| (number(name) != 0).then(|| Timestamp::from_unix_seconds(number(name)));
    let duration = |name: &str| Duration::from_secs(number(name).unsigned_abs());
    let not_empty = |text: String| (!text.is_empty()).then_some(text);
    TaskMessage {
        id: TaskId::from_stored(text("id")),
        queue: QueueName::from_stored(text("queue")),
        task_type: Arc::from(text("type")),
        payload: hex::from_json(&value["payload"]).into(),
        headers: serde_json::from_value(value["headers"].clone()).unwrap_or_default(),
        max_retry: number("retry") as u32,
        retried: number("retried") as u32,
        last_error: text("error_msg"),
        last_failed_at: time("last_failed_at"),
        timeout: Some(duration("timeout")).filter(|timeout| !timeout.is_zero()),
        deadline: time("deadline"),
        retention: duration("retention"),
        completed_at: time("completed_at"),
        group: not_empty(text("group_key")).map(GroupName::from_stored),
        unique_key: not_empty(text("unique_key")),
        unknown_fields: bytes::Bytes::new(),
    }
}

/// The task that Go's client is told in JSON.
pub(crate) fn raw_task(task: &Value) -> RawTask {
    RawTask::new(
        task["type"].as_str().unwrap_or_default(),
        hex::from_json(&task["payload"]),
    )
}

/// Its options.
pub(crate) fn task_options(task: &Value) -> TaskOptions {
    let duration = |name: &str| task[name].as_u64().map(Duration::from_micros);
    let time = |name: &str| task[name].as_i64().map(Timestamp::from_unix_micros);
    let text = |name: &str| task[name].as_str().map(str::to_owned);
    let mut options = TaskOptions::new();
    options.headers = serde_json::from_value(task["headers"].clone()).unwrap_or_default();
    options.queue = text("queue");
    options.task_id = text("id");
    options.max_retry = task["max_retry"].as_u64().map(|retries| retries as u32);
    options.timeout = duration("timeout");
    options.deadline = time("deadline");
    options.unique = duration("unique");
    options.retention = duration("retention");
    options.group = text("group");
    options.process = time("process_at")
        .map(When::At)
        .or_else(|| duration("process_in").map(When::In));
    options
}

pub(crate) fn server_to_json(server: &ServerInfo) -> Value {
    let queues = server.queues.iter();
    json!({
        "host": server.id.host,
        "pid": server.id.pid,
        "server_id": server.id.id,
        "concurrency": server.concurrency,
        "queues": queues.map(|(queue, priority)| (queue.to_string(), (*priority).into())).collect::<serde_json::Map<_, _>>(),
        "strict_priority": server.strict_priority,
        "status": server.status,
        "started": server.started_at.unix_micros(),
        "active_worker_count": server.active_workers,
    })
}

pub(crate) fn worker_to_json(worker: &WorkerInfo) -> Value {
    json!({
        "host": worker.server.host,
        "pid": worker.server.pid,
        "server_id": worker.server.id,
        "id": worker.task_id.as_str(),
        "type": worker.task_type.as_ref(),
        "payload": hex::to_json(&worker.payload),
        "queue": worker.queue.as_str(),
        "started": worker.started_at.unix_micros(),
        "deadline": worker.deadline.unix_micros(),
    })
}

/// The zero time of Go, which stands for none in what schedulers show.
pub(crate) const NEVER: Timestamp = Timestamp::from_unix_seconds(-62_135_596_800);

pub(crate) fn entry_to_json(entry: &ScheduleEntry) -> Value {
    json!({
        "id": entry.id,
        "spec": entry.spec,
        "type": entry.task_type,
        "payload": hex::to_json(&entry.payload),
        "opts": if entry.options.is_empty() { Value::Null } else { json!(entry.options) },
        "next": entry.next_enqueue_at.unwrap_or(NEVER).unix_micros(),
        "prev": entry.previous_enqueue_at.unwrap_or(NEVER).unix_micros(),
    })
}
