//! Schedulers of both kinds: what they enqueue, and what is seen of them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use asynq_core::Inspector;
use asynq_core::broker::Page;
use serde_json::{Value, json};

use super::cli::Cli;
use super::dashboard::Dashboard;
use super::inspectors;
use super::process::{Kind, Ledger, Port, ServerProcess};
use super::{Sailed, Tools};
use crate::go::GoProgram;
use crate::hex;

const PATIENCE: Duration = Duration::from_secs(20);
const EVERY_SECOND: &str = "@every 1s";
const NIGHTLY: &str = "TZ=Europe/Paris 0 3 * * *";
const NEVER: &str = "0 0 31 2 *";

/// A scheduler that is told what to do. It is killed when this is dropped.
struct SchedulerProcess {
    kind: Kind,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl SchedulerProcess {
    fn start(port: &Port, kind: Kind) -> Result<Self, String> {
        let mut command = match kind {
            Kind::Go => {
                let mut command = port.program.role("scheduler");
                command.args(["-db", &port.database.to_string()]);
                command
            }
            Kind::Ours => {
                let path = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(path);
                command.args(["scheduler", &port.url()]);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a scheduler: {error}"))?;
        Ok(SchedulerProcess {
            kind,
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().ok_or("a scheduler has no output")?),
            child,
        })
    }

    fn tell(&mut self, command: &Value) -> Result<String, String> {
        let input = self.input.as_mut().ok_or("the scheduler is ending")?;
        writeln!(input, "{command}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        let reply: Value = serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
        let id = reply["ok"].as_str();
        id.map(str::to_owned).ok_or_else(|| {
            format!(
                "the {:?} scheduler was told {command} and said {reply}",
                self.kind
            )
        })
    }

    /// The id of the entry.
    fn register(&mut self, spec: &str, options: Value) -> Result<String, String> {
        let mut task = options;
        task["type"] = task_type(self.kind).into();
        task["payload"] = hex::encode(br#"{"do":"ok"}"#).into();
        self.tell(&json!({"do": "register", "spec": spec, "task": task}))
    }

    fn unregister(&mut self, id: &str) -> Result<(), String> {
        self.tell(&json!({"do": "unregister", "id": id})).map(drop)
    }

    fn shut_down(mut self) -> Result<(), String> {
        self.input = None;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the {:?} scheduler ended with {status}", self.kind))
    }
}

impl Drop for SchedulerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn task_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Go => "periodic:go",
        Kind::Ours => "periodic:ours",
    }
}

/// Every option that both can show.
fn all_options() -> Value {
    json!({
        "queue": "low",
        "max_retry": 3,
        "timeout": 90_000_000_i64,
        "deadline": 4_000_000_000_000_000_i64,
        "unique": 129_600_000_000_i64,
        "process_in": 1_500_000,
        "retention": 3_600_000_000_i64,
        "group": "letters",
    })
}

pub(crate) async fn check(
    program: &GoProgram,
    tools: &Tools,
    database: i64,
    sailed: &mut Sailed,
) -> Result<(), String> {
    let port = Port {
        program: program.clone(),
        database,
        queues: r#"{"default":1}"#,
        concurrency: 5,
        merges: false,
        retry_seconds: 1,
    };
    for (scheduler, server) in [(Kind::Go, Kind::Ours), (Kind::Ours, Kind::Go)] {
        runs(&port, scheduler, server)?;
    }
    are_seen(&port, tools, sailed).await
}

/// What a scheduler enqueues is run by a server of the other kind.
fn runs(port: &Port, scheduler: Kind, server: Kind) -> Result<(), String> {
    port.flush()?;
    let mut ledger = Ledger::new();
    let server = ServerProcess::start(port, server, &ledger.sender)?;
    let mut process = SchedulerProcess::start(port, scheduler)?;
    process.register(EVERY_SECOND, json!({"queue": "default", "max_retry": 3}))?;
    ledger.wait("tasks of a schedule", PATIENCE, |reports| {
        reports.iter().filter(|report| report.event == "end").count() >= 3
    })?;
    process.shut_down()?;
    server.stop()?;
    ledger.take_in();
    let starts = ledger.reports.iter().filter(|report| report.event == "start");
    for start in starts {
        let payload = hex::from_json(&start.payload);
        if start.task_type != task_type(scheduler) || payload != br#"{"do":"ok"}"# || start.max_retry != 3 {
            return Err(format!(
                "a task of the {scheduler:?} scheduler arrived as {start:?}"
            ));
        }
    }
    if ledger.reports.iter().any(|report| !report.error.is_empty()) {
        return Err(format!("a task of the {scheduler:?} scheduler failed"));
    }
    Ok(())
}

/// Entries and events, seen by both inspectors and by Go's tools, until they are taken back.
async fn are_seen(port: &Port, tools: &Tools, sailed: &mut Sailed) -> Result<(), String> {
    port.flush()?;
    let mut schedulers = Vec::new();
    let (mut every_second, mut nightly) = (Vec::new(), Vec::new());
    for kind in [Kind::Go, Kind::Ours] {
        let mut scheduler = SchedulerProcess::start(port, kind)?;
        every_second.push(scheduler.register(EVERY_SECOND, json!({}))?);
        nightly.push(scheduler.register(NIGHTLY, all_options())?);
        scheduler.register(NEVER, json!({}))?;
        schedulers.push(scheduler);
    }
    let inspector = Inspector::new(port.broker().await?);
    entries_are(&inspector, 6).await?;
    for entry in &every_second {
        has_events(&inspector, entry).await?;
    }
    sailed.answers += inspectors::compare(port, 30).await?;
    options_are_the_same(&inspector, &nightly).await?;
    let mut cli = Cli::new(&tools.cli, port);
    for (entry, kind) in every_second.iter().zip([Kind::Go, Kind::Ours]) {
        cli.expect(&["cron", "ls"], &[&[entry, EVERY_SECOND, task_type(kind)]])?;
        let events = inspector.schedule_events(entry, Page::first(3)).await;
        for event in events.map_err(|error| error.to_string())? {
            cli.expect(&["cron", "history", entry], &[&[event.task_id.as_str()]])?;
        }
    }
    cli.expect(
        &["cron", "ls"],
        &[&[&nightly[1], NIGHTLY, "Queue(\"low\")", "Retention(1h0m0s)", "N/A"]],
    )?;
    let mut dashboard = Dashboard::start(&tools.dashboard, port)?;
    dashboard.expect("GET /api/scheduler_entries", "entries", 6)?;
    for entry in &every_second {
        let events = dashboard.ask(&format!("GET /api/scheduler_entries/{entry}/enqueue_events"))?;
        if events["events"].as_array().is_none_or(Vec::is_empty) {
            return Err(format!("the dashboard shows events of {entry} as {events}"));
        }
    }
    sailed.commands += cli.commands;
    sailed.requests += dashboard.requests;
    are_taken_back(port, &inspector, schedulers, &every_second, &nightly).await
}

async fn are_taken_back(
    port: &Port,
    inspector: &Inspector,
    mut schedulers: Vec<SchedulerProcess>,
    every_second: &[String],
    nightly: &[String],
) -> Result<(), String> {
    for (scheduler, entry) in schedulers.iter_mut().zip(nightly) {
        scheduler.unregister(entry)?;
    }
    entries_are(inspector, 4).await?;
    inspectors::compare(port, 30).await?;
    for (scheduler, left) in schedulers.into_iter().zip([2, 0]) {
        scheduler.shut_down()?;
        entries_are(inspector, left).await?;
        inspectors::compare(port, 30).await?;
    }
    let mut events = Vec::new();
    for entry in every_second {
        let of_entry = inspector.schedule_events(entry, Page::first(1)).await;
        events.push(of_entry.map_err(|error| error.to_string())?.len());
    }
    // Go deletes the history of its entries; ours is that of all schedulers and stays.
    if events == [0, 1] {
        return Ok(());
    }
    Err(format!(
        "after the schedulers have ended there are {events:?} events"
    ))
}

async fn entries_are(inspector: &Inspector, count: usize) -> Result<(), String> {
    eventually(&format!("{count} entries"), async || {
        let entries = inspector.schedule_entries().await;
        Ok(entries.map_err(|error| error.to_string())?.len() == count)
    })
    .await
}

async fn has_events(inspector: &Inspector, entry: &str) -> Result<(), String> {
    eventually(&format!("events of entry {entry}"), async || {
        let events = inspector.schedule_events(entry, Page::first(3)).await;
        Ok(events.map_err(|error| error.to_string())?.len() == 3)
    })
    .await
}

async fn eventually(what: &str, condition: impl AsyncFn() -> Result<bool, String>) -> Result<(), String> {
    for _ in 0..PATIENCE.as_millis() / 100 {
        if condition().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{what}: not seen within {PATIENCE:?}"))
}

/// Two entries of the same options, of schedulers of either kind.
async fn options_are_the_same(inspector: &Inspector, entries: &[String]) -> Result<(), String> {
    let shown = inspector
        .schedule_entries()
        .await
        .map_err(|error| error.to_string())?;
    let options = |id: &String| {
        let entry = shown.iter().find(|entry| entry.id == *id);
        let mut options = entry.map(|entry| entry.options.clone()).unwrap_or_default();
        options.sort_unstable();
        options
    };
    let (go, ours) = (options(&entries[0]), options(&entries[1]));
    if go == ours && go.len() == 8 {
        return Ok(());
    }
    Err(format!("Go's scheduler shows options {go:?}, ours {ours:?}"))
}
