//! Keeps the leases of running tasks, apart from everything else that may be slow. Go: a part of `heartbeater`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::Extension;
use asynq_core::{BrokerError, CancelReason, LeaseKey};
use tokio::time::Instant;
use tracing::{info, warn};

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
            failing = extend(&runtime, &due, failing).await;
        }
        for key in runtime.running.expired(Instant::now()) {
            lost(&runtime, &key);
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

/// Extends leases; says whether that failed.
async fn extend(runtime: &Runtime, keys: &[LeaseKey], failed_before: bool) -> bool {
    let lease = runtime.config.lease;
    // Counted from before the call: the broker starts counting later, so we never believe in a lease for too long.
    let asked = Instant::now();
    let answers = tokio::time::timeout(lease / 3, runtime.broker.extend(keys, lease)).await;
    match answers {
        Ok(Ok(answers)) => {
            for (key, answer) in keys.iter().zip(answers) {
                match answer {
                    Extension::Held { cancel, .. } => {
                        runtime.running.extended(key, asked + lease / 3, asked + lease);
                        if cancel {
                            runtime.running.cancel_one(key, CancelReason::Requested);
                        }
                    }
                    Extension::Lost => lost(runtime, key),
                }
            }
            if failed_before {
                info!("leases are extended again");
            }
            false
        }
        Ok(Err(error)) => {
            note_failure(failed_before, Some(&error));
            true
        }
        Err(_) => {
            note_failure(failed_before, None);
            true
        }
    }
}

fn note_failure(failed_before: bool, error: Option<&BrokerError>) {
    if !failed_before {
        let error = error.map(|error| error as &dyn std::error::Error);
        warn!(
            error,
            "leases of running tasks not extended; trying again until it works or they end"
        );
    }
}

fn lost(runtime: &Runtime, key: &LeaseKey) {
    // A task that was settled while its lease was being extended is no longer in the table.
    if runtime.running.is_held(key) {
        runtime.running.lost(key);
    }
}
