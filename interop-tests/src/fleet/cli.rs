//! The command line tool of Go asynq, on what ours has stored.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use asynq_core::{Inspector, QueueName, TaskId, TaskState};

use super::process::{Ledger, Port};
use super::scene;
use crate::go::GoProgram;

const PATIENCE: Duration = Duration::from_secs(20);

/// The program and the database that it is used on.
pub(crate) struct Cli {
    path: PathBuf,
    redis: String,
    database: String,
    /// How many commands it has carried out.
    pub(crate) commands: usize,
}

impl Cli {
    pub(crate) fn new(path: &Path, port: &Port) -> Self {
        Cli {
            path: path.to_owned(),
            redis: port.program.redis.clone(),
            database: port.database.to_string(),
            commands: 0,
        }
    }

    /// What a command prints.
    pub(crate) fn run(&mut self, args: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.path)
            .args(args)
            .args(["--uri", &self.redis, "--db", &self.database])
            // It takes settings from variables with names such as DB, and from a file in the home directory.
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("TZ", "UTC")
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Some errors are only printed.
        if !output.status.success() || text.contains("error: ") {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "asynq {args:?} ended with {}: {text}{errors}",
                output.status
            ));
        }
        self.commands += 1;
        Ok(text)
    }

    /// Each row must be printed: words that stand in one line in this order.
    pub(crate) fn expect(&mut self, args: &[&str], rows: &[&[&str]]) -> Result<(), String> {
        let printed = self.run(args)?;
        match rows
            .iter()
            .find(|row| !printed.lines().any(|line| has_words(line, row)))
        {
            None => Ok(()),
            Some(row) => Err(format!("asynq {args:?} does not print {row:?}:\n{printed}")),
        }
    }

    /// As [`Cli::expect`], for a list with these rows and no others, in any order.
    fn expect_table(&mut self, args: &[&str], rows: &[&[&str]]) -> Result<(), String> {
        self.expect(args, rows)?;
        // A line of names, one that underlines them, and the rows.
        let printed = self.run(args)?;
        let lines = printed.lines().filter(|line| !line.is_empty()).count();
        if lines == rows.len() + 2 {
            return Ok(());
        }
        Err(format!(
            "asynq {args:?} does not print {} rows:\n{printed}",
            rows.len()
        ))
    }
}

fn has_words(line: &str, words: &[&str]) -> bool {
    let mut rest = line;
    for word in words {
        match rest.find(word) {
            Some(at) => rest = &rest[at + word.len()..],
            None => return false,
        }
    }
    true
}

/// How many commands were carried out.
pub(crate) async fn check(path: &Path, program: &GoProgram, database: i64) -> Result<usize, String> {
    let (port, mut ledger, server) = scene::of_ours(program, database).await?;
    let mut cli = Cli::new(path, &port);
    let inspector = Inspector::new(port.broker().await?);
    look_at_queues(&mut cli)?;
    look_at_tasks(&mut cli)?;
    act_on_one(&mut cli, &inspector).await?;
    act_on_all(&mut cli, &inspector).await?;
    cancel(&mut cli, &mut ledger)?;
    act_on_queues(&mut cli, &inspector).await?;
    server.stop()?;
    cli.expect(&["server", "ls"], &[&["No running servers"]])?;
    Ok(cli.commands)
}

fn look_at_queues(cli: &mut Cli) -> Result<(), String> {
    cli.expect(&["queue", "ls"], &[&["default"], &["idle"]])?;
    // Active, pending, aggregating, scheduled, retry, archived, completed.
    let counts: &[&str] = &["1", "0", "1", "3", "1", "1", "1"];
    cli.expect(
        &["queue", "inspect", "default"],
        &[
            &["Size:", "8"],
            &["Groups:", "1"],
            &["Paused:", "false"],
            counts,
            &["3", "2", "66.67%"],
        ],
    )?;
    cli.expect(
        &["queue", "inspect", "idle"],
        &[&["Size:", "2"], &["0", "2", "0", "0", "0", "0", "0"]],
    )?;
    cli.expect(
        &["queue", "history", "default", "--days", "2"],
        &[&["3", "2", "66.67%"], &["0", "0", "N/A"]],
    )?;
    cli.expect(
        &["stats"],
        &[
            &["1", "2", "1", "3", "1", "1", "1"],
            &["default", "idle"],
            &["3", "2", "66.67%"],
        ],
    )
    .or_else(|_| {
        // The queues come in any order.
        cli.expect(
            &["stats"],
            &[&["1", "2", "1", "3", "1", "1", "1"], &["idle", "default"]],
        )
    })?;
    let stats = cli.run(&["stats", "--json"])?;
    let stats: serde_json::Value = serde_json::from_str(&stats).map_err(|error| error.to_string())?;
    let sum = &stats["aggregate"];
    if sum["pending"] != 2 || sum["scheduled"] != 3 || sum["retry"] != 1 || sum["processed"] != 3 {
        return Err(format!("asynq stats --json prints {stats}"));
    }
    cli.expect_table(&["server", "ls"], &[&["active", "1/3", "default:1"]])?;
    cli.expect(&["group", "ls", "--queue", "default"], &[&["letters"]])
}

/// The arguments that list the tasks of a state.
fn listing<'a>(queue: &'a str, state: &'a str) -> Vec<&'a str> {
    vec!["task", "ls", "--queue", queue, "--state", state]
}

fn look_at_tasks(cli: &mut Cli) -> Result<(), String> {
    let ok = r#"{"do":"ok"}"#;
    let lists: [(&str, &str, &[&[&str]]); 6] = [
        ("default", "active", &[&["active", "interop", r#"{"do":"wait"}"#]]),
        (
            "idle",
            "pending",
            &[&["pending", "interop", ok], &["pending too", "interop", ok]],
        ),
        (
            "default",
            "scheduled",
            &[
                &["scheduled", "interop", ok, "in "],
                &["scheduled too", "interop", ok, "in "],
                &["grouped later", "interop", ok, "in "],
            ],
        ),
        (
            "default",
            "retry",
            &[&[
                "retry",
                "interop",
                r#"{"do":"fail"}"#,
                "in ",
                "asked to fail",
                "1",
                "7",
            ]],
        ),
        (
            "default",
            "archived",
            &[&["archived", "interop", r#"{"do":"skip"}"#, "asked to fail"]],
        ),
        (
            "default",
            "completed",
            &[&["completed", "interop", r#""result":"done"}"#, "done"]],
        ),
    ];
    for (queue, state, rows) in lists {
        cli.expect_table(&listing(queue, state), rows)?;
    }
    let mut grouped = listing("default", "aggregating");
    grouped.extend(["--group", "letters"]);
    cli.expect_table(&grouped, &[&["grouped", "interop", ok, "letters"]])?;
    let mut second = listing("idle", "pending");
    second.extend(["--size", "1", "--page", "2"]);
    cli.expect_table(&second, &[&["pending too", "interop"]])?;
    cli.expect(
        &["task", "inspect", "--queue", "default", "--id", "retry"],
        &[
            &["State:", "retry"],
            &["Retried:", "1/7"],
            &["Error message:", "asked to fail"],
        ],
    )?;
    cli.expect(
        &["task", "inspect", "--queue", "default", "--id", "active"],
        &[
            &["Type:", "interop"],
            &["State:", "active"],
            &["Retried:", "0/25"],
        ],
    )
}

/// Each action, and the state of the task afterwards: none if it is gone.
async fn act_on_one(cli: &mut Cli, inspector: &Inspector) -> Result<(), String> {
    use TaskState::{Archived, Pending};
    let steps = [
        ("archive", "idle", "pending", Some(Archived)),
        ("run", "idle", "pending", Some(Pending)),
        ("delete", "idle", "pending", None),
        ("archive", "default", "scheduled", Some(Archived)),
        ("archive", "default", "grouped", Some(Archived)),
        ("archive", "default", "completed", Some(Archived)),
        ("delete", "default", "archived", None),
    ];
    for (command, queue, id, expected) in steps {
        cli.run(&["task", command, "--queue", queue, "--id", id])?;
        let found = inspector
            .task(&QueueName::from_stored(queue), &TaskId::from_stored(id))
            .await;
        let state = match found {
            Ok(info) => Some(info.state),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.to_string()),
        };
        if state != expected {
            return Err(format!("after asynq task {command} task {id} is {state:?}"));
        }
    }
    Ok(())
}

/// Each action on all of a list, and how many tasks are in which state afterwards.
async fn act_on_all(cli: &mut Cli, inspector: &Inspector) -> Result<(), String> {
    use TaskState::{Archived, Pending, Retry, Scheduled};
    let steps = [
        ("archiveall", "idle", "pending", (Archived, 1)),
        ("runall", "idle", "archived", (Pending, 1)),
        ("archiveall", "default", "retry", (Archived, 4)),
        ("archiveall", "default", "scheduled", (Archived, 6)),
        ("deleteall", "default", "archived", (Archived, 0)),
        ("deleteall", "default", "retry", (Retry, 0)),
        ("runall", "default", "scheduled", (Scheduled, 0)),
        ("deleteall", "idle", "pending", (Pending, 0)),
    ];
    for (command, queue, state, (counted, expected)) in steps {
        cli.run(&["task", command, "--queue", queue, "--state", state])?;
        let info = inspector.queue_info(&QueueName::from_stored(queue)).await;
        let info = info.map_err(|error| error.to_string())?;
        let count = match counted {
            Archived => info.archived,
            Pending => info.pending,
            Retry => info.retry,
            _ => info.scheduled,
        };
        if count != expected {
            return Err(format!(
                "after asynq task {command} of {state} there are {info:?}"
            ));
        }
    }
    Ok(())
}

fn cancel(cli: &mut Cli, ledger: &mut Ledger) -> Result<(), String> {
    cli.expect(&["task", "cancel", "active"], &[&["Sent", "active"]])?;
    ledger.wait("the end of a task that the tool cancelled", PATIENCE, |reports| {
        reports
            .iter()
            .any(|report| report.event == "end" && report.id == "active" && !report.error.is_empty())
    })
}

async fn act_on_queues(cli: &mut Cli, inspector: &Inspector) -> Result<(), String> {
    let idle = QueueName::from_stored("idle");
    for (command, expected) in [("pause", true), ("unpause", false)] {
        cli.expect(&["queue", command, "idle"], &[&["Successfully", "idle"]])?;
        let info = inspector
            .queue_info(&idle)
            .await
            .map_err(|error| error.to_string())?;
        if info.paused != expected {
            return Err(format!("after asynq queue {command} it is {info:?}"));
        }
    }
    cli.expect(&["queue", "rm", "idle"], &[&["Successfully", "idle"]])?;
    // By force also what is not empty: the task that was cancelled waits for its next attempt.
    wait_for_retry(inspector).await?;
    if cli.run(&["queue", "rm", "default"]).is_ok() {
        return Err("asynq removes a queue that is not empty".to_owned());
    }
    cli.expect(
        &["queue", "rm", "default", "--force"],
        &[&["Successfully", "default"]],
    )?;
    let left = inspector.queues().await.map_err(|error| error.to_string())?;
    if left.is_empty() {
        return Ok(());
    }
    Err(format!("the queues {left:?} were not removed"))
}

async fn wait_for_retry(inspector: &Inspector) -> Result<(), String> {
    for _ in 0..200 {
        let info = inspector.queue_info(&QueueName::default_queue()).await;
        let info = info.map_err(|error| error.to_string())?;
        if info.active == 0 && info.retry == 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the task that was cancelled is not retried".to_owned())
}
