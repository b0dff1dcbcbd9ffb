//! Keeps the leases of running tasks, apart from everything else that may be slow. Go: a part of `heartbeater`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::Extension;
use asynq_core::{BrokerError, CancelReason, LeaseKey};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::by_queue::{by_queue, is_one_queue};
use crate::runtime::Runtime;

/// Started tasks are confirmed, and leases looked at, at most this often.
const TICK: Duration = Duration::from_millis(50);

/// Extends each lease when a third of it has passed, and stops the handlers whose lease is lost.
pub(crate) async fn run(runtime: Arc<Runtime>) {
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = runtime.closing.cancelled() => return,
            () = runtime.running.not_empty() => {}
        }
        let now = Instant::now();
        let (due, next) = runtime.running.due_for_extension(now);
        if !due.is_empty() {
            failing = extend(&runtime, due, failing).await;
        }
        for key in runtime.running.expired(Instant::now()) {
            runtime.running.lost(&key);
        }
        let longest = runtime.config.lease / 10;
        let pause = next
            .map_or(TICK, |next| next.saturating_duration_since(now))
            .clamp(TICK, longest.max(TICK));
        if !runtime.pause(pause).await {
            return;
        }
    }
}

/// Extends leases; says whether that failed. When the batch fails, its queues are tried one by one.
async fn extend(runtime: &Runtime, keys: Vec<LeaseKey>, failed_before: bool) -> bool {
    let result = match extend_batch(runtime, &keys).await {
        Err(error) if !error.is_transient() && !is_one_queue(&keys) => extend_parts(runtime, keys).await,
        result => result,
    };
    match &result {
        Err(error) if !failed_before => {
            let error = error as &dyn std::error::Error;
            warn!(
                error,
                "leases of running tasks not extended; trying again until it works or they end"
            );
        }
        Ok(()) if failed_before => info!("leases are extended again"),
        _ => {}
    }
    result.is_err()
}

async fn extend_parts(runtime: &Runtime, keys: Vec<LeaseKey>) -> Result<(), BrokerError> {
    let mut result = Ok(());
    for (_, part) in by_queue(keys) {
        result = extend_batch(runtime, &part).await.and(result);
    }
    result
}

async fn extend_batch(runtime: &Runtime, keys: &[LeaseKey]) -> Result<(), BrokerError> {
    let lease = runtime.config.lease;
    // Counted from before the call: the broker starts counting later, so we never believe in a lease for too long.
    let asked = Instant::now();
    let answers = tokio::time::timeout(lease / 3, runtime.broker.extend(keys, lease))
        .await
        .unwrap_or_else(|elapsed| {
            let source = Arc::new(elapsed);
            Err(BrokerError::Unavailable {
                operation: "extend",
                maybe_applied: true,
                source,
            })
        })?;
    for (key, answer) in keys.iter().zip(answers) {
        match answer {
            Extension::Held { cancel, .. } => {
                runtime.running.extended(key, asked + lease / 3, asked + lease);
                if cancel {
                    runtime.running.cancel_one(key, CancelReason::Requested);
                }
            }
            Extension::Lost => runtime.running.lost(key),
        }
    }
    Ok(())
}
