//! Keeps the broker's watch running, and acts on the cancellations it tells of. Go: `subscriber`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::{CancelRequest, QueueName};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::runtime::Runtime;

/// The broker reconnects by itself; this starts it again should it give up.
pub(crate) async fn run(runtime: Arc<Runtime>) {
    let queues: Vec<QueueName> = runtime.queues().cloned().collect();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        tokio::select! {
            biased;
            () = runtime.closing.cancelled() => return,
            end = runtime.broker.watch(&queues, &runtime.signals) => {
                runtime.signals.set_armed(false);
                if let Err(error) = end && !backoff.is_failing() {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the broker does not tell of new tasks; polling until it does"
                    );
                }
            }
        }
        if !runtime.pause(backoff.next()).await {
            return;
        }
    }
}

pub(crate) async fn cancel_tasks(
    runtime: Arc<Runtime>,
    mut requests: mpsc::UnboundedReceiver<CancelRequest>,
) {
    loop {
        tokio::select! {
            biased;
            () = runtime.closing.cancelled() => return,
            request = requests.recv() => {
                let Some(request) = request else { return };
                let told = runtime.running.cancel(&request);
                debug!(task_id = ?request.id, told, "cancellation asked for");
            }
        }
    }
}
