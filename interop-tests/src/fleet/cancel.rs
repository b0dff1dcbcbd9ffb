//! Cancelling tasks across languages.

use std::time::Duration;

use asynq_core::broker::Inspect as _;
use asynq_core::{Clock as _, QueueName, SystemClock, TaskId};
use serde_json::json;

use super::process::{AnyClient, Kind, Ledger, Port, ServerProcess, task};
use crate::go::{Go, GoProgram, Request};

const PATIENCE: Duration = Duration::from_secs(20);

fn port(program: &GoProgram, database: i64) -> Port {
    Port {
        program: program.clone(),
        database,
        queues: r#"{"default":1}"#,
        concurrency: 5,
        merges: false,
        retry_seconds: 1,
    }
}

/// A task that runs on a server of one kind is cancelled by the inspector of the other.
pub(crate) async fn check(program: &GoProgram, database: i64) -> Result<(), String> {
    for server in [Kind::Ours, Kind::Go] {
        let port = port(program, database);
        port.flush()?;
        let mut ledger = Ledger::new();
        let process = ServerProcess::start(&port, server, &ledger.sender)?;
        ledger.wait("a server", PATIENCE, |reports| !reports.is_empty())?;
        let mut client = AnyClient::connect(&port, Kind::Ours).await?;
        let waiting = task("to be cancelled", &json!({"do": "wait"}));
        client.enqueue(&waiting).await??;
        let has = |event: &'static str| {
            move |reports: &[crate::worker::Report]| reports.iter().any(|r| r.event == event)
        };
        ledger.wait("the start of a task", PATIENCE, has("start"))?;
        cancel(&port, server).await?;
        ledger.wait("the end of a task that was cancelled", PATIENCE, has("end"))?;
        let end = ledger.of("end", "to be cancelled").next();
        if end.is_none_or(|end| end.error.is_empty()) {
            return Err(format!(
                "a task that was cancelled on {server:?} ended as {end:?}"
            ));
        }
        process.stop()?;
    }
    Ok(())
}

async fn cancel(port: &Port, server: Kind) -> Result<(), String> {
    let id = "to be cancelled";
    if server == Kind::Ours {
        let mut go = Go::start(&port.program)?;
        let request = Request::new("publish_cancelation", port.database, SystemClock.now());
        go.must(request.with("id", id))?;
        return Ok(());
    }
    let queue = QueueName::default_queue();
    let broker = port.broker().await?;
    let cancelled = broker.cancel(Some(&queue), &TaskId::from_stored(id)).await;
    cancelled.map_err(|error| error.to_string())
}
