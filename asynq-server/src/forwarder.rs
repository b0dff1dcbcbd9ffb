//! Makes scheduled tasks and retries pending at their time: sleeps until the earliest is due, and is woken when an
//! earlier one comes. Go: `forwarder`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::{QueueName, Timestamp};
use tracing::warn;

use crate::runtime::{Runtime, Seldom};

/// However fast tasks are scheduled, due times are looked at no more often than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let news = Seldom::every(Duration::from_secs(60));
    loop {
        let mut next_due: Option<Timestamp> = None;
        for queue in runtime.queues() {
            let due = forward(&runtime, queue, &news).await;
            next_due = match (next_due, due) {
                (Some(earliest), Some(due)) => Some(earliest.min(due)),
                (earliest, due) => earliest.or(due),
            };
        }
        // The timer is exact; the interval is a net for what nobody told.
        let interval = runtime.poll_interval(runtime.config.delayed_task_check_interval);
        let until_due = next_due.map_or(interval, |due| due.saturating_since(runtime.broker.now()));
        if !runtime.pause(SHORTEST_PAUSE).await {
            return;
        }
        tokio::select! {
            biased;
            () = runtime.closing.cancelled() => return,
            () = tokio::time::sleep(until_due.min(interval).saturating_sub(SHORTEST_PAUSE)) => {}
            () = runtime.signals.due() => {}
        }
    }
}

/// Forwards all that is due in a queue and says when the next task is.
async fn forward(runtime: &Runtime, queue: &QueueName, news: &Seldom) -> Option<Timestamp> {
    loop {
        match runtime.broker.forward(queue).await {
            Ok(forwarded) => {
                if forwarded.moved > 0 {
                    runtime.signals.wake_pending();
                }
                if !forwarded.more || runtime.closing.is_cancelled() {
                    return forwarded.next_due;
                }
            }
            Err(error) => {
                if news.is_news(queue.as_str()) {
                    warn!(%queue, error = &error as &dyn std::error::Error, "scheduled tasks not forwarded; trying again");
                }
                return None;
            }
        }
    }
}
