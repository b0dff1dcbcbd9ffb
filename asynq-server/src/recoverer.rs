//! Takes over tasks whose worker died: those whose lease has expired. Go: `recoverer`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Claim, ExpiredLease, Finish, Finished, Settlement};
use asynq_core::{FailureKind, QueueName, TaskError, Timestamp};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Failure;
use crate::runtime::{Runtime, Seldom};

/// At most so many in one round trip.
const BATCH: usize = 100;

/// A task whose worker died before it is known to have started it is put back without being charged, so often in a
/// row; then it is taken for the cause.
const FREE_LOSSES: u32 = 3;

/// What is stored as the error of a task whose worker died. Go: `ErrLeaseExpired`.
const LEASE_EXPIRED: &str = "asynq: task lease expired";

/// Aggregation sets have a deadline of two minutes: looking for stale ones now and then is enough, as in Go asynq.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(60);

/// Looks again when the next lease ends, or after the interval for leases that are given meanwhile.
pub(crate) async fn run(runtime: Arc<Runtime>) {
    let news = Seldom::every(Duration::from_secs(60));
    let longest = runtime.config.recover_interval;
    let mut reclaimed_at: Option<Instant> = None;
    loop {
        let mut next = runtime.broker.now().saturating_add(longest);
        for queue in runtime.queues() {
            match recover(&runtime, queue).await {
                Ok(next_expiry) => next = next_expiry.map_or(next, |expiry| expiry.min(next)),
                Err(error) => complain(&news, queue, &error),
            }
        }
        if reclaimed_at.is_none_or(|at| at.elapsed() >= RECLAIM_INTERVAL) {
            reclaim(&runtime, &news).await;
            reclaimed_at = Some(Instant::now());
        }
        // Leases that are extended all the time have an end that is always near: not more often than each second.
        let pause = next
            .saturating_since(runtime.broker.now())
            .max(SHORTEST_PAUSE)
            .min(longest);
        if !runtime.pause(pause).await {
            return;
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

fn complain(news: &Seldom, queue: &QueueName, error: &asynq_core::BrokerError) {
    if news.is_news(queue.as_str()) {
        warn!(%queue, error = error as &dyn std::error::Error, "tasks of dead workers not recovered; trying again");
    }
}

/// Every server does it, also one without an aggregator, as in Go asynq.
async fn reclaim(runtime: &Runtime, news: &Seldom) {
    for queue in runtime.queues() {
        match runtime.broker.reclaim(queue).await {
            Ok(0) => {}
            Ok(sets) => info!(%queue, sets, "tasks that were not merged in time are back in their groups"),
            Err(error) => complain(news, queue, &error),
        }
    }
}

/// Takes over all tasks whose lease has expired, and says when the next one does.
async fn recover(runtime: &Runtime, queue: &QueueName) -> Result<Option<Timestamp>, asynq_core::BrokerError> {
    loop {
        let expired = runtime.broker.expired(queue, BATCH).await?;
        let more = expired.tasks.len() >= BATCH;
        let finishes: Vec<Finish> = expired
            .tasks
            .into_iter()
            .map(|lease| takeover(runtime, lease))
            .collect();
        let answers = runtime.broker.finish(&finishes).await?;
        let mut settled = 0;
        for (finish, answer) in finishes.iter().zip(answers) {
            // Somebody else was faster, or the holder is alive after all.
            if answer == Finished::Settled {
                settled += 1;
                report(runtime, finish);
            }
        }
        if !more || settled == 0 || runtime.closing.is_cancelled() {
            return Ok(expired.next_expiry);
        }
    }
}

fn takeover(runtime: &Runtime, lease: ExpiredLease) -> Finish {
    let ExpiredLease {
        key,
        message,
        started,
        lost,
    } = lease;
    let settlement = if !started && lost < FREE_LOSSES {
        Settlement::Requeue { lost: true }
    } else if message.retried >= message.max_retry {
        Settlement::Archive {
            error: LEASE_EXPIRED.to_owned(),
        }
    } else {
        runtime
            .policies()
            .retry(&message, &message.to_raw_task(), &lease_expired(), None)
    };
    Finish {
        key,
        message,
        claim: Claim::Expired,
        settlement,
    }
}

fn report(runtime: &Runtime, finish: &Finish) {
    let (queue, id) = (&finish.key.queue, &finish.key.id);
    if matches!(finish.settlement, Settlement::Requeue { .. }) {
        info!(%queue, task_id = %id, "the worker of the task died before starting it: put back");
        return;
    }
    warn!(%queue, task_id = %id, "the worker of the task died: recovered");
    runtime.policies().report(&Failure {
        context: None,
        queue,
        id,
        task: &finish.message.to_raw_task(),
        error: &lease_expired(),
    });
}

fn lease_expired() -> TaskError {
    TaskError::new(LEASE_EXPIRED).with_kind(FailureKind::LeaseLost)
}
