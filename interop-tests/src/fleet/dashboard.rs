//! asynqmon, the dashboard of Go asynq, on what ours has stored.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use asynq_core::TaskState;
use serde_json::Value;

use super::process::{Port, count};
use super::scene;
use crate::go::GoProgram;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Dashboard {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) requests: usize,
}

impl Dashboard {
    pub(crate) fn start(path: &Path, port: &Port) -> Result<Self, String> {
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
    pub(crate) fn ask(&mut self, request: &str) -> Result<Value, String> {
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

    pub(crate) fn expect(&mut self, request: &str, list: &str, length: usize) -> Result<(), String> {
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
    let (port, mut ledger, server) = scene::of_ours(program, database).await?;
    let mut dashboard = Dashboard::start(path, &port)?;
    look(&mut dashboard)?;
    act(&mut dashboard)?;
    let left = count(&port.broker().await?, "default").await?;
    if !left.contains(&(TaskState::Archived, 1)) {
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

fn look(dashboard: &mut Dashboard) -> Result<(), String> {
    dashboard.expect("GET /api/queues", "queues", 2)?;
    dashboard.ask("GET /api/queues/default")?;
    dashboard.ask("GET /api/queue_stats")?;
    dashboard.ask("GET /api/redis_info")?;
    dashboard.expect("GET /api/queues/idle/pending_tasks", "tasks", 2)?;
    for (state, tasks) in [
        ("active", 1),
        ("scheduled", 3),
        ("retry", 1),
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
