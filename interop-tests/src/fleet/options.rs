//! Every option, from the client of one kind to the server of the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use asynq_core::broker::Inspect as _;
use asynq_core::{Clock as _, QueueName, SystemClock, TaskId, TaskState};
use serde_json::{Value, json};

use super::process::{AnyClient, Kind, Ledger, Port, ServerProcess, task};
use super::{Sailed, inspectors};
use crate::go::{Go, GoProgram, Request};
use crate::hex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    GoToOurs,
    OursToGo,
}

/// What becomes of a task.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Gone,
    Completed,
    Archived,
}

/// A task and what is expected of it.
struct Expected {
    task: Value,
    /// How often it is started.
    attempts: usize,
    end: End,
}

pub(crate) async fn check(
    program: &GoProgram,
    database: i64,
    direction: Direction,
    sailed: &mut Sailed,
) -> Result<(), String> {
    let (client, server) = match direction {
        Direction::GoToOurs => (Kind::Go, Kind::Ours),
        Direction::OursToGo => (Kind::Ours, Kind::Go),
    };
    let port = Port {
        program: program.clone(),
        database,
        queues: r#"{"default":3,"low":1}"#,
        concurrency: 20,
        merges: true,
        retry_seconds: 1,
    };
    port.flush()?;
    let mut ledger = Ledger::new();
    let tasks = tasks();
    let mut client_process = AnyClient::connect(&port, client).await?;
    let began = Instant::now();
    for expected in &tasks {
        let accepted = client_process.enqueue(&expected.task).await?;
        accepted.map_err(|error| format!("{:?} was refused: {error}", expected.task["id"]))?;
    }
    refusals(&port, &tasks).await?;
    let process = ServerProcess::start(&port, server, &ledger.sender)?;
    let patience = Duration::from_secs(30);
    let ids: Vec<(String, usize)> = tasks
        .iter()
        .map(|one| (id(&one.task).to_owned(), one.attempts))
        .collect();
    ledger.wait("all tasks done", patience, |reports| {
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for report in reports.iter().filter(|report| report.event == "end") {
            *ends.entry(&report.id).or_default() += 1;
        }
        let is_merged = reports
            .iter()
            .any(|report| report.event == "start" && report.task_type == "merged");
        is_merged
            && ids
                .iter()
                .all(|(id, attempts)| ends.get(id.as_str()).copied().unwrap_or(0) >= *attempts)
    })?;
    servers_are_seen(&port, server).await?;
    process.stop()?;
    for expected in &tasks {
        follow(&port, &ledger, expected, began)
            .await
            .map_err(|what| format!("{direction:?}, task {}: {what}", expected.task["id"]))?;
    }
    merged(&ledger)?;
    sailed.answers += inspectors::compare(&port, 2).await?;
    sailed.options += tasks.len();
    Ok(())
}

fn id(task: &Value) -> &str {
    task["id"].as_str().unwrap_or_default()
}

fn tasks() -> Vec<Expected> {
    let now = SystemClock.now().unix_micros();
    let with = |id: &str, script: Value, options: Value| {
        let mut task = task(id, &script);
        for (name, value) in options.as_object().into_iter().flatten() {
            task[name] = value.clone();
        }
        task
    };
    let ok = || json!({"do": "ok"});
    let one = |task, end| Expected {
        task,
        attempts: 1,
        end,
    };
    let mut all = vec![
        one(with("plain", ok(), json!({})), End::Gone),
        one(with("queue", ok(), json!({"queue": "low"})), End::Gone),
        one(
            with(
                "headers",
                ok(),
                json!({"headers": {"trace": "1", "ä": "ö\n", "empty": ""}}),
            ),
            End::Gone,
        ),
        one(with("bytes", ok(), json!({"payload": "00ff0a80"})), End::Gone),
        one(with("no payload", ok(), json!({"payload": null})), End::Gone),
        one(with("timeout", ok(), json!({"timeout": 7_000_000})), End::Gone),
        one(
            with(
                "deadline",
                ok(),
                json!({"deadline": (now / 1_000_000 + 90) * 1_000_000}),
            ),
            End::Gone,
        ),
        one(with("in", ok(), json!({"process_in": 2_000_000})), End::Gone),
        one(
            with("at", ok(), json!({"process_at": now + 2_000_000})),
            End::Gone,
        ),
        one(
            with("unique", ok(), json!({"unique": 60_000_000, "type": "unique"})),
            End::Gone,
        ),
        one(
            with(
                "unique later",
                ok(),
                json!({"unique": 60_000_000, "type": "later", "process_in": 2_000_000}),
            ),
            End::Gone,
        ),
        one(
            with("retention", ok(), json!({"retention": 600_000_000})),
            End::Completed,
        ),
        one(
            with(
                "result",
                json!({"do": "ok", "result": "größer"}),
                json!({"retention": 600_000_000}),
            ),
            End::Completed,
        ),
        one(
            with("no retry", json!({"do": "fail"}), json!({"max_retry": 0})),
            End::Archived,
        ),
        one(with("skip", json!({"do": "skip"}), json!({})), End::Archived),
        one(
            with(
                "revoke",
                json!({"do": "revoke"}),
                json!({"retention": 600_000_000}),
            ),
            End::Gone,
        ),
        Expected {
            task: with(
                "retries",
                json!({"do": "ok", "fail_times": 2}),
                json!({"max_retry": 3}),
            ),
            attempts: 3,
            end: End::Gone,
        },
    ];
    for number in 0..3 {
        let id = format!("grouped {number}");
        // Not run by itself.
        all.push(Expected {
            task: with(&id, ok(), json!({"group": "letters"})),
            attempts: 0,
            end: End::Gone,
        });
    }
    all
}

/// What is there already is refused to clients of both kinds.
async fn refusals(port: &Port, tasks: &[Expected]) -> Result<(), String> {
    for kind in [Kind::Go, Kind::Ours] {
        let mut client = AnyClient::connect(port, kind).await?;
        for expected in tasks {
            let again = client.enqueue(&expected.task).await?;
            let is_unique = expected.task["unique"].is_number();
            let refused = match again {
                Err(refused) => refused,
                Ok(_) => return Err(format!("{kind:?} accepted {:?} twice", expected.task["id"])),
            };
            if !(refused == "id_conflict" || is_unique && refused == "duplicate") {
                return Err(format!("{kind:?} refused {:?} as {refused}", expected.task["id"]));
            }
            if is_unique {
                let mut other = expected.task.clone();
                other["id"] = format!("other {}", id(&expected.task)).into();
                if client.enqueue(&other).await? != Err("duplicate".to_owned()) {
                    return Err(format!(
                        "{kind:?} accepted a duplicate of {:?}",
                        expected.task["id"]
                    ));
                }
            }
        }
    }
    Ok(())
}

async fn follow(port: &Port, ledger: &Ledger, expected: &Expected, began: Instant) -> Result<(), String> {
    let task = &expected.task;
    let starts: Vec<_> = ledger.of("start", id(task)).collect();
    if starts.len() != expected.attempts {
        return Err(format!("started {} times", starts.len()));
    }
    for (number, start) in starts.iter().enumerate() {
        let headers: Option<BTreeMap<String, String>> =
            serde_json::from_value(task["headers"].clone()).unwrap_or_default();
        let is_same = start.task_type == task["type"]
            && start.queue == task["queue"]
            && hex::from_json(&start.payload) == hex::from_json(&task["payload"])
            && start.headers.clone().unwrap_or_default() == headers.unwrap_or_default()
            && start.max_retry == task["max_retry"].as_u64().unwrap_or(25) as u32
            && start.retried as usize == number;
        if !is_same {
            return Err(format!("it arrived as {start:?}"));
        }
        deadline(task, start.deadline, began)?;
    }
    let broker = port.broker().await?;
    let queue = QueueName::from_stored(task["queue"].as_str().unwrap_or_default());
    let found = broker
        .task(&queue, &TaskId::from_stored(id(task)))
        .await
        .map_err(|error| error.to_string())?;
    let end = found.as_ref().map_or(Some(End::Gone), |info| match info.state {
        TaskState::Completed => Some(End::Completed),
        TaskState::Archived => Some(End::Archived),
        _ => None,
    });
    if end != Some(expected.end) {
        return Err(format!("it became {found:?}"));
    }
    let script: Value = serde_json::from_slice(&hex::from_json(&task["payload"])).unwrap_or_default();
    let result = found.and_then(|info| info.result);
    let result = result.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match (script["result"].as_str(), result) {
        (Some(wanted), Some(found)) if wanted == found => Ok(()),
        (None, None) => Ok(()),
        (wanted, found) => Err(format!("its result is {found:?}, not {wanted:?}")),
    }
}

fn deadline(task: &Value, deadline: i64, began: Instant) -> Result<(), String> {
    if let Some(wanted) = task["deadline"].as_i64() {
        return if deadline == wanted {
            Ok(())
        } else {
            Err(format!("its deadline is {deadline}, not {wanted}"))
        };
    }
    // It was started somewhen between the beginning and now.
    let timeout = task["timeout"].as_i64().unwrap_or(1_800_000_000);
    let latest = SystemClock.now().unix_micros() + timeout;
    let earliest = latest - began.elapsed().as_micros() as i64 - 1_000_000;
    if (earliest..=latest).contains(&deadline) {
        return Ok(());
    }
    Err(format!("its deadline is {deadline}, not in {earliest}..{latest}"))
}

fn merged(ledger: &Ledger) -> Result<(), String> {
    let mut payloads = Vec::new();
    for report in ledger
        .reports
        .iter()
        .filter(|report| report.event == "start" && report.task_type == "merged")
    {
        let payload: Value = serde_json::from_slice(&hex::from_json(&report.payload)).unwrap_or_default();
        if payload["group"] != "letters" {
            return Err(format!("a group arrived as {payload}"));
        }
        payloads.extend(payload["payloads"].as_array().cloned().unwrap_or_default());
    }
    if payloads.len() == 3 {
        Ok(())
    } else {
        Err(format!("three tasks of a group were merged into {payloads:?}"))
    }
}

/// A server of either kind is shown by Go's inspector and by ours.
async fn servers_are_seen(port: &Port, kind: Kind) -> Result<(), String> {
    use asynq_core::broker::Presence as _;
    let broker = port.broker().await?;
    let ours = broker.servers().await.map_err(|error| error.to_string())?;
    let mut go = Go::start(&port.program)?;
    let listed = go.must(Request::new("list_servers", port.database, SystemClock.now()))?;
    let shown = |queues: usize, concurrency: u64| queues == 2 && concurrency == 20;
    let by_ours = ours
        .iter()
        .filter(|(server, _)| shown(server.queues.len(), server.concurrency.into()))
        .count();
    let by_go = listed.as_array().into_iter().flatten().filter(|server| {
        let queues = server["queues"].as_object().map_or(0, serde_json::Map::len);
        shown(queues, server["concurrency"].as_u64().unwrap_or(0)) && server["status"] == "active"
    });
    if by_ours == 1 && by_go.count() == 1 {
        return Ok(());
    }
    Err(format!(
        "the {kind:?} server is shown as {ours:?} by ours, as {listed} by Go"
    ))
}
