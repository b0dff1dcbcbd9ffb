//! Takes over tasks whose worker died: those whose lease has expired. Go: `recoverer`.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Claim, ExpiredLease, Finish, Finished, Settlement};
use asynq_core::{FailureKind, QueueName, TaskError};
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

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let news = Seldom::every(Duration::from_secs(60));
    loop {
        for queue in runtime.queues() {
            if let Err(error) = recover(&runtime, queue).await
                && news.is_news(queue.as_str())
            {
                warn!(%queue, error = &error as &dyn std::error::Error, "expired leases not recovered; trying again");
            }
        }
        if !runtime.pause(runtime.config.recover_interval).await {
            return;
        }
    }
}

async fn recover(runtime: &Runtime, queue: &QueueName) -> Result<(), asynq_core::BrokerError> {
    loop {
        let expired = runtime.broker.expired(queue, BATCH).await?;
        let more = expired.len() >= BATCH;
        let finishes: Vec<Finish> = expired
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
            return Ok(());
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
