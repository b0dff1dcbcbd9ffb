//! Shows this server and what it runs to tools and dashboards. Go: `heartbeater`, without its care for leases.

use std::sync::Arc;

use asynq_core::broker::ServerInfo;
use tracing::{debug, warn};

use crate::runtime::Runtime;

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let interval = runtime.config.heartbeat_interval;
    let mut failing = false;
    loop {
        let (server, workers) = look(&runtime);
        match runtime.broker.announce(&server, &workers, interval * 2).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "heartbeat not written; trying again"
                    );
                }
                failing = true;
            }
        }
        if !runtime.pause(interval).await {
            break;
        }
    }
    if let Err(error) = runtime.broker.withdraw(&runtime.id).await {
        // It is not shown any longer than a heartbeat lives.
        debug!(
            error = &error as &dyn std::error::Error,
            "heartbeat not withdrawn"
        );
    }
}

fn look(runtime: &Runtime) -> (ServerInfo, Vec<asynq_core::broker::WorkerInfo>) {
    let workers = runtime.running.workers(&runtime.id);
    let server = ServerInfo {
        id: runtime.id.clone(),
        concurrency: runtime.config.concurrency.try_into().unwrap_or(u32::MAX),
        queues: runtime.config.queues.clone(),
        strict_priority: runtime.config.strict_priority,
        status: runtime.status().to_owned(),
        started_at: runtime.started_at,
        active_workers: workers.len().try_into().unwrap_or(u32::MAX),
    };
    (server, workers)
}
