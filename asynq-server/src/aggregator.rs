//! Merges groups of tasks that are ready. Go: `aggregator`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Receipt, SealedSet};
use asynq_core::{GroupName, IntoTask, QueueName, RawTask, TaskError, new_task};
use tracing::{debug, warn};

use crate::config::GroupAggregator;
use crate::panic::guard_future;
use crate::runtime::{Runtime, Seldom};

/// Groups are looked at at least this often, as in Go asynq.
const LONGEST_INTERVAL: Duration = Duration::from_secs(7);
/// And at most this often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let Some(aggregator) = &runtime.config.group_aggregator else {
        return;
    };
    let news = Seldom::every(Duration::from_secs(60));
    let limits = runtime.config.group_limits;
    // A group is merged at most half as late again as its limits say.
    let shortest_limit = limits
        .max_delay
        .unwrap_or(limits.grace_period)
        .min(limits.grace_period);
    let interval = (shortest_limit / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
    while runtime.pause(interval).await {
        for queue in runtime.queues() {
            if let Err(error) = serve(&runtime, &**aggregator, queue).await
                && news.is_news(queue.as_str())
            {
                warn!(%queue, error = &error as &dyn std::error::Error, "groups not served; trying again");
            }
        }
    }
}

async fn serve(
    runtime: &Runtime,
    aggregator: &dyn GroupAggregator,
    queue: &QueueName,
) -> Result<(), asynq_core::BrokerError> {
    for group in runtime.broker.groups(queue).await? {
        // A group may hold more than one set's worth.
        while let Some(set) = runtime
            .broker
            .seal(queue, &group, &runtime.config.group_limits)
            .await?
        {
            merge(runtime, aggregator, &group, set).await?;
            if runtime.closing.is_cancelled() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Merges a set. What goes wrong is logged and the set goes back to its group after its deadline.
async fn merge(
    runtime: &Runtime,
    aggregator: &dyn GroupAggregator,
    group: &GroupName,
    set: SealedSet,
) -> Result<(), asynq_core::BrokerError> {
    let queue = &set.key.queue;
    let time_left = set.deadline.saturating_since(runtime.broker.now());
    let tasks: Vec<RawTask> = set.tasks.iter().map(|message| message.to_raw_task()).collect();
    let count = tasks.len();
    let merged = tokio::time::timeout(time_left, guard_future(aggregator.aggregate(group, tasks))).await;
    let merged = match merged {
        Ok(Ok(Ok(builder))) => prepare(runtime, queue, builder),
        Ok(Ok(Err(error)) | Err(error)) => Err(error),
        Err(_) => Err(TaskError::new("merging took longer than the set's deadline")),
    };
    let merged = match merged {
        Ok(merged) => merged,
        Err(error) => {
            warn!(%queue, %group, tasks = count, %error, "group not merged; its tasks wait for another time");
            return Ok(());
        }
    };
    match runtime.broker.finish_set(&set.key, &merged).await? {
        Some(Receipt::Accepted { .. }) => {
            debug!(%queue, %group, tasks = count, merged = %merged.message.id, "group merged");
        }
        Some(refused) => {
            warn!(%queue, %group, tasks = count, ?refused, "merged task refused; its tasks wait for another time");
        }
        None => {
            warn!(%queue, %group, tasks = count, "group was merged too late: its tasks wait for another time")
        }
    }
    Ok(())
}

fn prepare(
    runtime: &Runtime,
    queue: &QueueName,
    builder: asynq_core::TaskBuilder<RawTask>,
) -> Result<asynq_core::broker::NewTask, TaskError> {
    let (task, mut options) = builder.into_task()?;
    // As in Go asynq, whatever the merged task says.
    options.queue = Some(queue.to_string());
    Ok(new_task(task, options, runtime.config.max_payload)?)
}
