//! A server of ours as a process of its own, which does what the payloads of its tasks say and reports each attempt: the
//! counterpart of `interop/roles.go`.

use std::io::Write as _;
use std::time::Duration;

use asynq_core::{Context, FixedBackoff, GroupName, Outcome, RawTask, TaskError};
use asynq_server::Server;
use serde::{Deserialize, Serialize};

use crate::hex;

/// What the payload of a task asks for.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Script {
    #[serde(rename = "do")]
    what: String,
    fail_times: u32,
    sleep_ms: u64,
    result: String,
}

/// Tells that an attempt has begun or ended. Go's server writes the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) queue: String,
    #[serde(rename = "type")]
    pub(crate) task_type: String,
    pub(crate) payload: serde_json::Value,
    pub(crate) headers: Option<std::collections::BTreeMap<String, String>>,
    pub(crate) retried: u32,
    pub(crate) max_retry: u32,
    /// In microseconds.
    pub(crate) deadline: i64,
    pub(crate) error: String,
}

/// Runs until it is told to end. Arguments: URL, queues as JSON, concurrency, whether to merge groups, after how many
/// seconds to retry.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [url, queues, concurrency, merges, retry_seconds] = args else {
        return Err("worker needs a URL, queues, concurrency, whether to merge and when to retry".to_owned());
    };
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let queues: std::collections::BTreeMap<String, u32> =
        serde_json::from_str(queues).map_err(|error| failed(&error))?;
    let concurrency = concurrency.parse().map_err(|_| "concurrency is no number")?;
    let retry = retry_seconds.parse().map_err(|_| "seconds are no number")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let broker = asynq_server::connect(url).await.map_err(|error| failed(&error))?;
        let mut builder = Server::builder(broker)
            .concurrency(concurrency)
            .queues(queues)
            .lease_duration(Duration::from_secs(10))
            .group_grace_period(Duration::from_secs(1))
            .retry_policy(FixedBackoff(Duration::from_secs(retry)))
            .serve(perform);
        if merges == "true" {
            builder = builder.merge_groups(merge);
        }
        let server = builder.build().map_err(|error| failed(&error))?;
        server.start().await.map_err(|error| failed(&error))?;
        print(&Report {
            event: "ready".to_owned(),
            ..Report::default()
        });
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|error| failed(&error))?;
        ended.recv().await;
        server.shutdown().await;
        Ok(())
    })
}

fn merge(group: &GroupName, tasks: &[RawTask]) -> RawTask {
    let payloads: Vec<_> = tasks
        .iter()
        .map(|task| String::from_utf8_lossy(&task.payload))
        .collect();
    let payload = serde_json::json!({"do": "ok", "group": group.as_str(), "payloads": payloads});
    RawTask::new("merged", payload.to_string())
}

async fn perform(cx: Context, task: RawTask) -> Outcome {
    let report = Report {
        event: "start".to_owned(),
        id: cx.task_id().to_string(),
        queue: cx.queue().to_string(),
        task_type: task.task_type.to_string(),
        payload: hex::to_json(&task.payload),
        headers: Some(task.headers.clone()).filter(|headers| !headers.is_empty()),
        retried: cx.retried(),
        max_retry: cx.max_retry(),
        deadline: cx.deadline().unix_micros(),
        error: String::new(),
    };
    print(&report);
    let outcome = play(&cx, &task).await;
    print(&Report {
        event: "end".to_owned(),
        error: match &outcome {
            Outcome::Done(_) => String::new(),
            other => format!("{other:?}"),
        },
        ..report
    });
    outcome
}

async fn play(cx: &Context, task: &RawTask) -> Outcome {
    let script: Script = serde_json::from_slice(&task.payload).unwrap_or_default();
    let failed = || TaskError::new("asked to fail");
    tokio::time::sleep(Duration::from_millis(script.sleep_ms)).await;
    if cx.retried() < script.fail_times {
        return Outcome::Retry(failed());
    }
    match script.what.as_str() {
        "fail" => Outcome::Retry(failed()),
        "skip" => Outcome::Archive(failed()),
        "revoke" => Outcome::Drop(failed()),
        "wait" => {
            cx.cancelled().await;
            Outcome::Retry(TaskError::new("cancelled"))
        }
        _ => Outcome::Done(
            Some(script.result)
                .filter(|result| !result.is_empty())
                .map(Into::into),
        ),
    }
}

/// One write, so that the line is whole also when the process is killed.
fn print(report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
        let _ = std::io::stdout().flush();
    }
}
