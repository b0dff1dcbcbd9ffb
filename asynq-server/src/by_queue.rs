//! Parts a batch by queue, so that a queue with damaged keys does not hold up the others.

use asynq_core::{LeaseKey, QueueName};

/// What is about a leased task.
pub(crate) trait Keyed {
    fn key(&self) -> &LeaseKey;
}

impl Keyed for LeaseKey {
    fn key(&self) -> &LeaseKey {
        self
    }
}

impl Keyed for asynq_core::broker::Finish {
    fn key(&self) -> &LeaseKey {
        &self.key
    }
}

pub(crate) fn is_one_queue<T: Keyed>(batch: &[T]) -> bool {
    batch
        .windows(2)
        .all(|pair| pair[0].key().queue == pair[1].key().queue)
}

/// The parts keep the order of the batch.
pub(crate) fn by_queue<T: Keyed>(batch: Vec<T>) -> Vec<(QueueName, Vec<T>)> {
    let mut parts: Vec<(QueueName, Vec<T>)> = Vec::new();
    for item in batch {
        match parts.iter_mut().find(|(queue, _)| *queue == item.key().queue) {
            Some((_, part)) => part.push(item),
            None => parts.push((item.key().queue.clone(), vec![item])),
        }
    }
    parts
}
