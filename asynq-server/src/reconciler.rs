//! Mends, a little at a time, what crashes of other programs, evictions and hand edits leave behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::ReconcileCursor;
use tracing::warn;

use crate::runtime::{Runtime, Seldom};

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let news = Seldom::every(Duration::from_secs(60));
    let mut cursors = HashMap::new();
    // Not at the same moment as other servers that were started together.
    let mut pause = runtime.config.reconcile_interval.mul_f64(fastrand::f64());
    while runtime.pause(pause).await {
        for queue in runtime.queues() {
            let cursor: ReconcileCursor = cursors.get(queue).copied().unwrap_or_default();
            match runtime.broker.reconcile(queue, cursor).await {
                Ok(reconciled) => {
                    if reconciled.total() > 0 {
                        warn!(
                            %queue,
                            leases_added = reconciled.leases_added,
                            leases_removed = reconciled.leases_removed,
                            tasks_relisted = reconciled.tasks_relisted,
                            remains_deleted = reconciled.remains_deleted,
                            groups_relisted = reconciled.groups_relisted,
                            "mended what was left behind in the queue"
                        );
                    }
                    cursors.insert(queue.clone(), reconciled.next);
                }
                Err(error) => {
                    if news.is_news(queue.as_str()) {
                        warn!(%queue, error = &error as &dyn std::error::Error, "queue not checked; trying again");
                    }
                }
            }
        }
        pause = runtime.config.reconcile_interval;
    }
}
