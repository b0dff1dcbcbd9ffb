//! A task in every state, for others to look at.

use std::time::Duration;

use asynq_core::TaskState;
use asynq_core::broker::Presence as _;
use asynq_redis::RedisBroker;
use serde_json::json;

use super::process::{AnyClient, Kind, Ledger, Port, ServerProcess, count, task};
use crate::go::GoProgram;
use crate::worker::Report;

const PATIENCE: Duration = Duration::from_secs(20);

/// What runs before anybody looks, with these endings of their ids.
const RUN: [(&str, &str); 4] = [
    ("start", "active"),
    ("end", "completed"),
    ("end", "archived"),
    ("end", "retry"),
];

/// A database whose servers retry a task after an hour, so that it can be looked at.
pub(crate) fn port(program: &GoProgram, database: i64) -> Port {
    Port {
        program: program.clone(),
        database,
        queues: r#"{"default":1}"#,
        concurrency: 3,
        merges: false,
        retry_seconds: 3600,
    }
}

/// Such a database with a server and a client of ours, who have come to rest.
pub(crate) async fn of_ours(
    program: &GoProgram,
    database: i64,
) -> Result<(Port, Ledger, ServerProcess), String> {
    let port = port(program, database);
    port.flush()?;
    let mut ledger = Ledger::new();
    let server = ServerProcess::start(&port, Kind::Ours, &ledger.sender)?;
    fill(&port, Kind::Ours, "").await?;
    settled(&port, &mut ledger, 1).await?;
    Ok((port, ledger, server))
}

/// Lets a client enqueue a task for each state. Their ids begin with the prefix.
pub(crate) async fn fill(port: &Port, kind: Kind, prefix: &str) -> Result<(), String> {
    let mut client = AnyClient::connect(port, kind).await?;
    let hour = 3_600_000_000_i64;
    let tasks = [
        ("active", json!({"do": "wait"}), json!({})),
        (
            "completed",
            json!({"do": "ok", "result": "done"}),
            json!({"retention": hour}),
        ),
        ("archived", json!({"do": "skip"}), json!({})),
        ("retry", json!({"do": "fail"}), json!({"max_retry": 7})),
        (
            "scheduled",
            json!({"do": "ok"}),
            json!({"process_in": hour + 500_000}),
        ),
        ("scheduled too", json!({"do": "ok"}), json!({"process_in": hour})),
        ("grouped", json!({"do": "ok"}), json!({"group": "letters"})),
        (
            "grouped later",
            json!({"do": "ok"}),
            json!({"group": "letters", "process_in": hour}),
        ),
        // In a queue that nobody serves.
        ("pending", json!({"do": "ok"}), json!({"queue": "idle"})),
        (
            "pending too",
            json!({"do": "ok"}),
            json!({
                "queue": "idle", "headers": {"trace": "1"}, "timeout": 60_000_000, "unique": hour,
                "type": format!("interop of {kind:?}"),
            }),
        ),
    ];
    for (name, script, options) in tasks {
        let mut task = task(&format!("{prefix}{name}"), &script);
        for (name, value) in options.as_object().into_iter().flatten() {
            task[name] = value.clone();
        }
        client.enqueue(&task).await??;
    }
    Ok(())
}

/// Waits until so many clients' tasks are in their states, and running ones are shown.
pub(crate) async fn settled(port: &Port, ledger: &mut Ledger, clients: usize) -> Result<(), String> {
    let has_run = |reports: &[Report]| {
        RUN.into_iter().all(|(event, name)| {
            let seen = reports
                .iter()
                .filter(|report| report.event == event && report.id.ends_with(name));
            seen.count() == clients
        })
    };
    ledger.wait("tasks to look at", PATIENCE, has_run)?;
    // The outcomes are stored and the workers are shown a little later.
    let broker = port.broker().await?;
    for _ in 0..200 {
        let counts = count(&broker, "default").await?;
        let stored = [TaskState::Completed, TaskState::Archived, TaskState::Retry];
        let is_stored = stored
            .into_iter()
            .all(|state| counts.contains(&(state, clients as u64)));
        if is_stored && workers(&broker).await? == clients {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the tasks to look at were not stored".to_owned())
}

async fn workers(broker: &RedisBroker) -> Result<usize, String> {
    let servers = broker.servers().await.map_err(|error| error.to_string())?;
    Ok(servers.iter().map(|(_, workers)| workers.len()).sum())
}
