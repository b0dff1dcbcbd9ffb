//! Stores outcomes: gathers those that come while a write is in flight and sends them together, until each is stored.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use asynq_core::broker::{Broker, Finish, Finished};
use asynq_core::{BrokerError, LeaseKey};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::by_queue::{by_queue, is_one_queue};
use crate::running::Running;

/// At most so many outcomes go out in one write.
const BATCH: usize = 500;

/// Outcomes on their way to the broker. A slot is free as soon as its outcome is here.
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
    settled: Notify,
    capacity: usize,
}

#[derive(Default)]
struct Waiting {
    outcomes: VecDeque<Finish>,
    in_flight: usize,
}

impl Outbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Outbox {
            waiting: Mutex::new(Waiting::default()),
            changed: Notify::new(),
            settled: Notify::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Hands over an outcome. Never waits: the dispatcher takes no new tasks while the outbox is full.
    pub(crate) fn push(&self, finish: Finish) {
        self.lock().outcomes.push_back(finish);
        self.changed.notify_one();
    }

    fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.outcomes.len() + waiting.in_flight
    }

    /// Completes when there is room for more outcomes.
    pub(crate) async fn has_room(&self) {
        self.shrunk_below(self.capacity).await;
    }

    /// Completes when every outcome handed over has been stored or refused.
    pub(crate) async fn drained(&self) {
        self.shrunk_below(1).await;
    }

    async fn shrunk_below(&self, limit: usize) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            // Listening starts before looking, so that nothing is missed in between.
            settled.as_mut().enable();
            if self.len() < limit {
                return;
            }
            settled.await;
        }
    }

    fn take_batch(&self) -> Vec<Finish> {
        let mut waiting = self.lock();
        let count = waiting.outcomes.len().min(BATCH);
        let batch: Vec<Finish> = waiting.outcomes.drain(..count).collect();
        waiting.in_flight = count;
        batch
    }

    fn landed(&self, unsettled: Vec<Finish>) {
        let mut waiting = self.lock();
        waiting.in_flight = 0;
        for finish in unsettled.into_iter().rev() {
            waiting.outcomes.push_front(finish);
        }
        drop(waiting);
        self.settled.notify_waiters();
    }

    /// Stores outcomes until told to close. Outcomes left then are those that the broker did not take.
    pub(crate) async fn run(&self, broker: Arc<dyn Broker>, running: &Running, close: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                tokio::select! {
                    () = self.changed.notified() => continue,
                    () = close.cancelled() => return,
                }
            }
            let unsettled = store(&*broker, running, batch).await;
            let failed = !unsettled.is_empty();
            self.landed(unsettled);
            if failed {
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    () = close.cancelled() => return,
                }
            } else {
                backoff.reset();
            }
        }
    }
}

/// Stores a batch and gives back what must be tried again. When the batch fails, its queues are tried one by one, so
/// that a queue with damaged keys does not hold up the others.
async fn store(broker: &dyn Broker, running: &Running, batch: Vec<Finish>) -> Vec<Finish> {
    match finish(broker, running, &batch).await {
        Ok(()) => return Vec::new(),
        Err(error) if is_one_queue(&batch) || error.is_transient() => {
            warn!(
                outcomes = batch.len(),
                error = &error as &dyn std::error::Error,
                "outcomes not stored yet"
            );
            return batch;
        }
        Err(_) => {}
    }
    let mut unsettled = Vec::new();
    for (queue, part) in by_queue(batch) {
        if let Err(error) = finish(broker, running, &part).await {
            warn!(%queue, outcomes = part.len(), error = &error as &dyn std::error::Error, "outcomes not stored yet");
            unsettled.extend(part);
        }
    }
    unsettled
}

async fn finish(broker: &dyn Broker, running: &Running, batch: &[Finish]) -> Result<(), BrokerError> {
    let answers = broker.finish(batch).await?;
    for (finish, answer) in batch.iter().zip(&answers) {
        if *answer == Finished::NotOwner {
            let LeaseKey { queue, id, .. } = &finish.key;
            // Also the answer to a repeated write whose first answer was lost.
            debug!(%queue, task_id = %id, "outcome not stored: the task was settled before or is another worker's");
        }
    }
    running.remove_all(batch.iter().map(|finish| &finish.key));
    Ok(())
}
