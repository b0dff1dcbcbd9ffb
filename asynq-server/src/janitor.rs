//! Deletes completed tasks after their retention, and archived ones that are too old or too many. Go: `janitor`.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::runtime::{Runtime, Seldom};

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let news = Seldom::every(Duration::from_secs(60));
    while runtime.pause(runtime.config.janitor_interval).await {
        let mut unclean: Vec<_> = runtime.queues().collect();
        // In turn, a batch each, so that a queue with much to delete does not hold up the others.
        while !unclean.is_empty() && !runtime.closing.is_cancelled() {
            let mut more = Vec::new();
            for queue in unclean {
                match runtime
                    .broker
                    .purge(queue, runtime.config.janitor_batch_size)
                    .await
                {
                    Ok(purged) => {
                        if purged.completed + purged.archived > 0 {
                            debug!(%queue, completed = purged.completed, archived = purged.archived, "deleted");
                        }
                        if purged.more {
                            more.push(queue);
                        }
                    }
                    Err(error) => {
                        if news.is_news(queue.as_str()) {
                            warn!(%queue, error = &error as &dyn std::error::Error, "expired tasks not deleted; trying again");
                        }
                    }
                }
            }
            unclean = more;
        }
    }
}
