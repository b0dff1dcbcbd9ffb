//! Shows the entries of this scheduler to tools and dashboards. Go: `Scheduler.runHeartbeater`, which shows them only
//! after the first interval.

use std::sync::Arc;

use tracing::{debug, warn};

use crate::scheduler::Core;

pub(crate) async fn run(core: Arc<Core>) {
    let interval = core.config.heartbeat_interval;
    let mut failing = false;
    loop {
        let entries = core.shown();
        match core
            .broker
            .publish_entries(&core.id, &entries, interval * 2)
            .await
        {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "entries not shown; trying again"
                    );
                }
                failing = true;
            }
        }
        tokio::select! {
            biased;
            () = core.stop.cancelled() => break,
            () = core.changed.notified(), if !failing => {
                // Entries often come several at a time, and their next times are known a moment later.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            () = tokio::time::sleep(interval) => {}
        }
    }
    if let Err(error) = core.broker.withdraw_entries(&core.id).await {
        // They are not shown any longer than a heartbeat lives.
        debug!(error = &error as &dyn std::error::Error, "entries not withdrawn");
    }
}
