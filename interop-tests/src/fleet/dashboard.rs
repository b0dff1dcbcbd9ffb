//! asynqmon, the dashboard of Go asynq, on what ours has stored.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use asynq_core::TaskState;
use serde_json::{Value, json};

use super::process::{AnyClient, Kind, Ledger, Port, ServerProcess, count, task};
use crate::go::GoProgram;

const PATIENCE: Duration = Duration::from_secs(20);

struct Dashboard {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    requests: usize,
}

impl Dashboard {
    fn start(path: &Path, port: &Port) -> Result<Self, String> {
        let mut child = Command::new(path)
            .args(["-redis", &port.program.redis, "-db", &port.database.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", path.display()))?;
        Ok(Dashboard {
            input: child.stdin.take().ok_or("the dashboard has no input")?,
            output: BufReader::new(child.stdout.take().ok_or("the dashboard has no output")?),
            child,
            requests: 0,
        })
    }

    /// The body of an answer that is no error.
    fn ask(&mut self, request: &str) -> Result<Value, String> {
        self.requests += 1;
        writeln!(self.input, "{request}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
        if answer["status"].as_u64().is_none_or(|status| status >= 300) {
            return Err(format!("{request}: {answer}"));
        }
        let body = answer["body"].as_str().unwrap_or_default();
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn expect(&mut self, request: &str, list: &str, length: usize) -> Result<(), String> {
        let answer = self.ask(request)?;
        if answer[list].as_array().map(Vec::len) == Some(length) {
            return Ok(());
        }
        Err(format!("{request}: expected {length} {list}, found {answer}"))
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many requests were answered.
pub(crate) async fn check(path: &Path, program: &GoProgram, database: i64) -> Result<usize, String> {
    let port = Port {
        program: program.clone(),
        database,
        queues: r#"{"default":1}"#,
        concurrency: 3,
        merges: false,
    };
    port.flush()?;
    let mut ledger = Ledger::new();
    let server = ServerProcess::start(&port, Kind::Ours, &ledger.sender)?;
    fill(&port, &mut ledger).await?;
    let mut dashboard = Dashboard::start(path, &port)?;
    look(&mut dashboard)?;
    act(&mut dashboard)?;
    let left = count(&port.broker().await?, "default").await?;
    let archived = left.iter().find(|(state, _)| *state == TaskState::Archived);
    if archived.is_none_or(|(_, count)| *count != 1) {
        return Err(format!("after what the dashboard did there are {left:?}"));
    }
    dashboard.ask("POST /api/queues/default/active_tasks/active:cancel")?;
    let is_cancelled = |reports: &[crate::worker::Report]| {
        reports
            .iter()
            .any(|report| report.event == "end" && report.id == "active" && !report.error.is_empty())
    };
    ledger.wait(
        "the end of a task that the dashboard cancelled",
        PATIENCE,
        is_cancelled,
    )?;
    server.stop()?;
    Ok(dashboard.requests)
}

/// A task in every state, one of them running.
async fn fill(port: &Port, ledger: &mut Ledger) -> Result<(), String> {
    let mut client = AnyClient::connect(port, Kind::Ours).await?;
    let hour = 3_600_000_000_i64;
    let tasks = [
        ("active", json!({"do": "wait"}), json!({})),
        (
            "completed",
            json!({"do": "ok", "result": "done"}),
            json!({"retention": hour}),
        ),
        ("archived", json!({"do": "skip"}), json!({})),
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
    ];
    for (id, script, options) in tasks {
        let mut task = task(id, &script);
        for (name, value) in options.as_object().into_iter().flatten() {
            task[name] = value.clone();
        }
        client.enqueue(&task).await??;
    }
    let have_run = |reports: &[crate::worker::Report]| {
        let has = |event: &str, id: &str| {
            reports
                .iter()
                .any(|report| report.event == event && report.id == id)
        };
        has("start", "active") && has("end", "completed") && has("end", "archived")
    };
    ledger.wait("tasks to look at", PATIENCE, have_run)?;
    // The outcomes are stored and the worker is shown a little later.
    let broker = port.broker().await?;
    for _ in 0..200 {
        let counts = count(&broker, "default").await?;
        let is_stored = |state| counts.iter().any(|(one, count)| *one == state && *count == 1);
        if is_stored(TaskState::Completed) && is_stored(TaskState::Archived) && shows_worker(&broker).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the tasks to look at were not stored".to_owned())
}

async fn shows_worker(broker: &asynq_redis::RedisBroker) -> Result<bool, String> {
    use asynq_core::broker::Presence as _;
    let servers = broker.servers().await.map_err(|error| error.to_string())?;
    Ok(servers.iter().any(|(_, workers)| !workers.is_empty()))
}

fn look(dashboard: &mut Dashboard) -> Result<(), String> {
    dashboard.expect("GET /api/queues", "queues", 2)?;
    dashboard.ask("GET /api/queues/default")?;
    dashboard.ask("GET /api/queue_stats")?;
    dashboard.ask("GET /api/redis_info")?;
    dashboard.expect("GET /api/queues/idle/pending_tasks", "tasks", 1)?;
    for (state, tasks) in [
        ("active", 1),
        ("scheduled", 3),
        ("retry", 0),
        ("archived", 1),
        ("completed", 1),
    ] {
        dashboard.expect(&format!("GET /api/queues/default/{state}_tasks"), "tasks", tasks)?;
    }
    dashboard.expect("GET /api/queues/default/groups", "groups", 1)?;
    dashboard.expect(
        "GET /api/queues/default/groups/letters/aggregating_tasks",
        "tasks",
        1,
    )?;
    dashboard.expect("GET /api/servers", "servers", 1)?;
    dashboard.ask("GET /api/scheduler_entries")?;
    for id in ["active", "completed", "archived", "scheduled", "grouped"] {
        dashboard.ask(&format!("GET /api/queues/default/tasks/{id}"))?;
    }
    let servers = dashboard.ask("GET /api/servers")?;
    if servers["servers"][0]["active_workers"][0]["task_id"] != "active" {
        return Err(format!("the dashboard shows servers as {servers}"));
    }
    Ok(())
}

/// What is archived at the end is the scheduled task.
fn act(dashboard: &mut Dashboard) -> Result<(), String> {
    for request in [
        "POST /api/queues/default/scheduled_tasks/scheduled:archive",
        "POST /api/queues/default/groups/letters/aggregating_tasks/grouped:run",
        "DELETE /api/queues/default/archived_tasks/archived",
        "DELETE /api/queues/default/completed_tasks/completed",
        "POST /api/queues/idle:pause",
        "POST /api/queues/idle:resume",
        "POST /api/queues/idle/pending_tasks/pending:archive",
        "POST /api/queues/idle/archived_tasks/pending:run",
    ] {
        dashboard.ask(request)?;
    }
    Ok(())
}
