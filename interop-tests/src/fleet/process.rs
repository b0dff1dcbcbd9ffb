//! The processes of a fleet.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use asynq_core::{Client, Configure, RawTask, TaskState};
use asynq_redis::RedisBroker;
use redis::Connection;
use serde_json::{Value, json};

use crate::go::GoProgram;
use crate::hex;
use crate::message::{self, raw_task};
use crate::worker::Report;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Go,
    Ours,
}

/// A database and how to get programs that work on it.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) program: GoProgram,
    pub(crate) database: i64,
    pub(crate) queues: &'static str,
    pub(crate) concurrency: usize,
    pub(crate) merges: bool,
    /// How long a task that failed waits for its next attempt.
    pub(crate) retry_seconds: u64,
}

impl Port {
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/{}", self.program.redis, self.database)
    }

    pub(crate) fn redis(&self) -> Result<Connection, String> {
        redis::Client::open(self.url())
            .and_then(|client| client.get_connection())
            .map_err(|error| error.to_string())
    }

    pub(crate) fn flush(&self) -> Result<(), String> {
        let mut redis = self.redis()?;
        redis::cmd("FLUSHDB")
            .exec(&mut redis)
            .map_err(|error| error.to_string())
    }

    pub(crate) async fn broker(&self) -> Result<RedisBroker, String> {
        RedisBroker::connect(&self.url())
            .await
            .map_err(|error| error.to_string())
    }

    fn server_command(&self, kind: Kind) -> Result<Command, String> {
        let (concurrency, database) = (self.concurrency.to_string(), self.database.to_string());
        Ok(match kind {
            Kind::Go => {
                let mut command = self.program.role("server");
                command.args([
                    "-db",
                    &database,
                    "-queues",
                    self.queues,
                    "-concurrency",
                    &concurrency,
                ]);
                command.arg(format!("-aggregate={}", self.merges));
                command.arg(format!("-retry-delay={}s", self.retry_seconds));
                command
            }
            Kind::Ours => {
                let path = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(path);
                command.args([
                    "worker",
                    &self.url(),
                    self.queues,
                    &concurrency,
                    &self.merges.to_string(),
                    &self.retry_seconds.to_string(),
                ]);
                command
            }
        })
    }
}

/// A server whose reports come in over a channel. It is killed when this is dropped.
pub(crate) struct ServerProcess {
    pub(crate) kind: Kind,
    child: Child,
}

impl ServerProcess {
    pub(crate) fn start(port: &Port, kind: Kind, reports: &Sender<Report>) -> Result<Self, String> {
        Self::spawn(port.server_command(kind)?, kind, reports)
    }

    pub(crate) fn spawn(mut command: Command, kind: Kind, reports: &Sender<Report>) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a server: {error}"))?;
        let stdout = child.stdout.take().ok_or("a server has no output")?;
        let reports = reports.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(report) = serde_json::from_str(&line)
                    && reports.send(report).is_err()
                {
                    return;
                }
            }
        });
        Ok(ServerProcess { kind, child })
    }

    /// As a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").arg(&pid).status();
        asked.map_err(|error| format!("cannot ask a server to end: {error}"))?;
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("a server ended with {status}"))
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("a server does not end".to_owned())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What servers have reported so far.
pub(crate) struct Ledger {
    pub(crate) sender: Sender<Report>,
    receiver: Receiver<Report>,
    pub(crate) reports: Vec<Report>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Ledger {
            sender,
            receiver,
            reports: Vec::new(),
        }
    }

    /// Waits until the reports fulfil a condition.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        mut is_met: impl FnMut(&[Report]) -> bool,
    ) -> Result<(), String> {
        let until = Instant::now() + patience;
        while !is_met(&self.reports) {
            let left = until.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left.min(Duration::from_millis(200))) {
                Ok(report) => self.reports.push(report),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return Err(format!("{what}: not seen within {patience:?}")),
            }
        }
        Ok(())
    }

    /// Takes in what has come.
    pub(crate) fn take_in(&mut self) {
        self.reports.extend(self.receiver.try_iter());
    }

    pub(crate) fn of<'a>(&'a self, event: &'a str, id: &'a str) -> impl Iterator<Item = &'a Report> {
        self.reports
            .iter()
            .filter(move |report| report.event == event && report.id == id)
    }
}

/// Enqueues what Go's client is told in JSON.
pub(crate) enum AnyClient {
    Go {
        child: Child,
        input: ChildStdin,
        output: BufReader<ChildStdout>,
    },
    Ours(Client),
}

impl AnyClient {
    pub(crate) async fn connect(port: &Port, kind: Kind) -> Result<Self, String> {
        if kind == Kind::Ours {
            return Ok(AnyClient::Ours(Client::new(port.broker().await?)));
        }
        let mut child = port
            .program
            .role("client")
            .args(["-db", &port.database.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start Go's client: {error}"))?;
        let input = child.stdin.take().ok_or("Go's client has no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("Go's client has no output")?);
        Ok(AnyClient::Go { child, input, output })
    }

    /// The id and state of the task, or the kind of the refusal.
    pub(crate) async fn enqueue(&mut self, task: &Value) -> Result<Result<(String, String), String>, String> {
        match self {
            AnyClient::Ours(client) => Ok(match client.enqueue(our_task(task)).await {
                Ok(info) => Ok((info.id().to_string(), info.state.to_string())),
                Err(error) => Err(kind_of(&error)),
            }),
            AnyClient::Go { input, output, .. } => {
                writeln!(input, "{task}").map_err(|error| error.to_string())?;
                let mut line = String::new();
                output.read_line(&mut line).map_err(|error| error.to_string())?;
                let reply: Value =
                    serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                Ok(if reply["ok"].is_null() {
                    Err(text(&reply["err"]["kind"]))
                } else {
                    Ok((text(&reply["ok"]["id"]), text(&reply["ok"]["state"])))
                })
            }
        }
    }
}

impl Drop for AnyClient {
    fn drop(&mut self) {
        if let AnyClient::Go { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn kind_of(error: &asynq_core::EnqueueError) -> String {
    match error {
        asynq_core::EnqueueError::TaskIdConflict { .. } => "id_conflict".to_owned(),
        // Go's public error for a duplicate is another than its internal one.
        asynq_core::EnqueueError::DuplicateTask { .. } => "duplicate".to_owned(),
        other => other.to_string(),
    }
}

fn our_task(task: &Value) -> asynq_core::TaskBuilder<RawTask> {
    raw_task(task).configure(|options| *options = message::task_options(task))
}

/// A task as both clients take it.
pub(crate) fn task(id: &str, script: &Value) -> Value {
    json!({
        "type": "interop",
        "payload": hex::to_json(script.to_string().as_bytes()),
        "id": id,
        "queue": "default",
    })
}

/// How many tasks a queue has in each state.
pub(crate) async fn count(broker: &RedisBroker, queue: &str) -> Result<Vec<(TaskState, u64)>, String> {
    use asynq_core::broker::Inspect as _;
    let name = asynq_core::QueueName::from_stored(queue);
    let info = broker
        .queue_info(&name)
        .await
        .map_err(|error| error.to_string())?;
    let Some(info) = info else { return Ok(Vec::new()) };
    Ok(vec![
        (TaskState::Pending, info.pending),
        (TaskState::Active, info.active),
        (TaskState::Scheduled, info.scheduled),
        (TaskState::Retry, info.retry),
        (TaskState::Archived, info.archived),
        (TaskState::Completed, info.completed),
        (TaskState::Aggregating, info.aggregating),
    ])
}
