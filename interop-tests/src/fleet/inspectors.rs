//! Go's public inspector and ours, asked for everything in the same database: they give the same answers.

use std::collections::BTreeMap;
use std::time::Duration;

use asynq_core::broker::{Page, ScheduleEntry, ServerInfo, WorkerInfo};
use asynq_core::{Clock as _, Inspector, QueueName, SystemClock, TaskInfo, TaskList, TaskState, Timestamp};
use serde_json::{Map, Number, Value, json};

use super::process::Port;
use crate::go::{Go, Request};
use crate::hex;
use crate::message::NEVER;

/// Servers and schedulers go on showing what they do, so an answer may be out of date at once.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);
const EVENTS: usize = 1000;

/// How many answers were the same: lists, tasks, numbers of a queue and so on.
pub(crate) async fn compare(port: &Port, page_size: usize) -> Result<usize, String> {
    let mut go = Go::start(&port.program)?;
    let inspector = Inspector::new(port.broker().await?);
    let mut last = String::new();
    for _ in 0..TRIES {
        let request = Request::new("inspect", port.database, SystemClock.now());
        let by_go = sorted(go.must(request.with("size", page_size))?);
        let by_ours = sorted(
            shown(&inspector, page_size)
                .await
                .map_err(|error| error.to_string())?,
        );
        let mut answers = 0;
        match difference(&by_go, &by_ours, &mut Vec::new(), &mut answers) {
            None => return Ok(answers),
            Some(what) => last = what,
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("the inspectors differ: {last}"))
}

/// The first difference of two answers, and where it is.
fn difference(go: &Value, ours: &Value, path: &mut Vec<String>, answers: &mut usize) -> Option<String> {
    let differs = |path: &[String]| Some(format!("{}: Go {go}, ours {ours}", path.join(".")));
    match (go, ours) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            for (key, value) in one {
                path.push(key.clone());
                let found = difference(value, &other[key], path, answers);
                path.pop();
                if found.is_some() {
                    return found;
                }
            }
            // A task, a server and the like.
            *answers += 1;
            None
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (number, (value, same)) in one.iter().zip(other).enumerate() {
                path.push(number.to_string());
                let found = difference(value, same, path, answers);
                path.pop();
                if found.is_some() {
                    return found;
                }
            }
            *answers += 1;
            None
        }
        (one, other) if one == other => None,
        (Value::Number(one), Value::Number(other))
            if path.last().is_some_and(|name| is_near(name, one, other)) =>
        {
            None
        }
        _ => differs(path),
    }
}

/// Whether two numbers of this name are as near as they can be.
fn is_near(name: &str, go: &Number, ours: &Number) -> bool {
    let (go, ours) = (go.as_i64().unwrap_or(0), ours.as_i64().unwrap_or(0));
    match name {
        // An estimate, and ours counts the groups' own keys.
        "memory" => (go / 2..=go * 2).contains(&ours),
        // Go asks its clock twice, once for the latency and once for the time.
        "pending_since" => (go - ours).abs() <= 100_000,
        _ => false,
    }
}

/// Lists without an order are put in one; so are tasks that are due in the same second, which Go lists by id alone.
fn sorted(mut shown: Value) -> Value {
    let by = |value: &Value, name: &str| value[name].to_string();
    for list in ["servers", "entries"] {
        if let Some(list) = shown[list].as_array_mut() {
            list.sort_by_key(|one| by(one, "id"));
            for one in list {
                if let Some(workers) = one["workers"].as_array_mut() {
                    workers.sort_by_key(|worker| (by(worker, "queue"), by(worker, "id")));
                }
            }
        }
    }
    let queues = shown["queues"].as_object_mut();
    for queue in queues.into_iter().flat_map(Map::values_mut) {
        for state in ["scheduled", "retry"] {
            if let Some(tasks) = queue["lists"][state].as_array_mut() {
                tasks.sort_by_key(|task| (task["next"].as_i64(), by(task, "id")));
            }
        }
    }
    shown
}

type Answer = Result<Value, asynq_core::InspectError>;

/// What `interop/inspect.go` tells of Go's.
async fn shown(inspector: &Inspector, page_size: usize) -> Answer {
    let mut queues = Map::new();
    for queue in inspector.queues().await? {
        queues.insert(
            queue.to_string(),
            shown_queue(inspector, &queue, page_size).await?,
        );
    }
    let servers = inspector.servers().await?;
    let entries = inspector.schedule_entries().await?;
    let mut events = Map::new();
    for entry in &entries {
        let of_entry = inspector.schedule_events(&entry.id, Page::first(EVENTS)).await?;
        let event = |event: &asynq_core::broker::ScheduleEvent| json!({"task_id": event.task_id.as_str(), "at": event.enqueued_at.unix_micros()});
        if !of_entry.is_empty() {
            events.insert(entry.id.clone(), of_entry.iter().map(event).collect());
        }
    }
    Ok(json!({
        "queues": queues,
        "servers": or_null(servers.iter().map(|(server, workers)| shown_server(server, workers)).collect()),
        "entries": or_null(entries.iter().map(shown_entry).collect()),
        "events": events,
    }))
}

/// Go writes a list that has never had anything in it as null.
fn or_null(list: Vec<Value>) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        Value::Array(list)
    }
}

async fn shown_queue(inspector: &Inspector, queue: &QueueName, page_size: usize) -> Answer {
    let info = inspector.queue_info(queue).await?;
    let history = inspector.history(queue, 7).await?;
    let day = |day: &asynq_core::broker::DayCount| json!([day.day.unix_seconds(), day.processed, day.failed]);
    let groups = inspector.groups(queue).await?;
    let mut lists: Vec<(String, TaskList)> = vec![
        ("pending".to_owned(), TaskList::Pending),
        ("active".to_owned(), TaskList::Active),
        ("scheduled".to_owned(), TaskList::Scheduled),
        ("retry".to_owned(), TaskList::Retry),
        ("archived".to_owned(), TaskList::Archived),
        ("completed".to_owned(), TaskList::Completed),
    ];
    for group in &groups {
        lists.push((
            format!("group {}", group.group),
            TaskList::Group(group.group.clone()),
        ));
    }
    let (mut listed, mut tasks) = (Map::new(), Map::new());
    for (name, list) in lists {
        let found = all_pages(inspector, queue, &list, page_size).await?;
        for task in &found {
            // Go never says of a single task that it is orphaned.
            let mut one = inspector.task(queue, task.id()).await?;
            one.is_orphaned = false;
            tasks.insert(task.id().to_string(), shown_task(&one));
        }
        listed.insert(name, found.iter().map(shown_task).collect());
    }
    Ok(json!({
        "numbers": {
            "size": info.size(), "groups": info.groups, "pending": info.pending, "active": info.active,
            "scheduled": info.scheduled, "retry": info.retry, "archived": info.archived,
            "completed": info.completed, "aggregating": info.aggregating, "processed": info.processed,
            "failed": info.failed, "processed_total": info.processed_total, "failed_total": info.failed_total,
        },
        "paused": info.paused,
        "pending_since": info.oldest_pending_since.map_or(0, Timestamp::unix_micros),
        "memory": inspector.memory_usage(queue).await?,
        "history": history.iter().map(day).collect::<Vec<_>>(),
        "groups": groups.iter().map(|one| (one.group.to_string(), one.size)).collect::<BTreeMap<_, _>>(),
        "lists": listed,
        "tasks": tasks,
    }))
}

async fn all_pages(
    inspector: &Inspector,
    queue: &QueueName,
    list: &TaskList,
    size: usize,
) -> Result<Vec<TaskInfo>, asynq_core::InspectError> {
    let mut all = Vec::new();
    loop {
        let page = Page {
            offset: all.len(),
            limit: size,
        };
        let tasks = inspector.list(queue, list, page).await?;
        let is_last = tasks.len() < size;
        all.extend(tasks);
        if is_last {
            return Ok(all);
        }
    }
}

fn shown_task(info: &TaskInfo) -> Value {
    let message = &info.message;
    let time = |time: Option<Timestamp>| time.map_or(0, Timestamp::unix_seconds);
    json!({
        "id": message.id.as_str(),
        "queue": message.queue.as_str(),
        "type": &*message.task_type,
        "payload": hex::to_json(&message.payload),
        "headers": if message.headers.is_empty() { Value::Null } else { json!(message.headers) },
        "state": info.state.as_str(),
        "max_retry": message.max_retry,
        "retried": message.retried,
        "last_err": message.last_error,
        "last_failed_at": time(message.last_failed_at),
        "timeout": message.timeout.map_or(0, |timeout| timeout.as_secs()),
        "deadline": time(message.deadline),
        "group": message.group.as_ref().map_or("", |group| group.as_str()),
        "next": next(info),
        "is_orphaned": info.is_orphaned,
        "retention": message.retention.as_secs(),
        "completed_at": time(message.completed_at),
        "result": hex::to_json(info.result.as_deref().unwrap_or_default()),
    })
}

/// Go shows the second before which nobody runs the task; ours the exact time.
fn next(info: &TaskInfo) -> i64 {
    match (info.state, info.next_process_at) {
        (_, None) => 0,
        (TaskState::Pending, Some(_)) => 1,
        (_, Some(at)) => (at.unix_micros() + 999_999).div_euclid(1_000_000),
    }
}

fn shown_server(server: &ServerInfo, workers: &[WorkerInfo]) -> Value {
    let worker = |worker: &WorkerInfo| {
        json!({
            "id": worker.task_id.as_str(),
            "type": &*worker.task_type,
            "payload": hex::to_json(&worker.payload),
            "queue": worker.queue.as_str(),
            "started": worker.started_at.unix_micros(),
            "deadline": worker.deadline.unix_micros(),
        })
    };
    json!({
        "id": server.id.id,
        "host": server.id.host,
        "pid": server.id.pid,
        "concurrency": server.concurrency,
        "queues": server.queues.iter().map(|(queue, priority)| (queue.to_string(), *priority)).collect::<BTreeMap<_, _>>(),
        "strict_priority": server.strict_priority,
        "started": server.started_at.unix_micros(),
        "status": server.status,
        "workers": or_null(workers.iter().map(worker).collect()),
    })
}

fn shown_entry(entry: &ScheduleEntry) -> Value {
    let time = |time: Option<Timestamp>| {
        time.filter(|time| *time != NEVER)
            .map_or(0, Timestamp::unix_micros)
    };
    // Go's inspector shows neither, as it cannot read them back.
    let is_shown = |option: &&String| !(option.starts_with("Group(") || option.starts_with("TaskID("));
    json!({
        "id": entry.id,
        "spec": entry.spec,
        "type": entry.task_type,
        "payload": hex::to_json(&entry.payload),
        "options": entry.options.iter().filter(is_shown).collect::<Vec<_>>(),
        "next": time(entry.next_enqueue_at),
        "prev": time(entry.previous_enqueue_at),
    })
}
