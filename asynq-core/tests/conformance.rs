//! The memory broker shows all behaviours of a broker.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

use std::collections::HashSet;
use std::time::Duration;

use asynq_core::conformance::random::{Step, replay};
use asynq_core::conformance::{InspectorSubject, Subject, clock, operate_random::replay as replay_inspected};
use asynq_core::{
    DEFAULT_MAX_PAYLOAD, Dequeue, Enqueue, MemoryBroker, QueueName, RawTask, TaskId, TaskOptions, new_task,
};
use proptest::prelude::*;

async fn memory() -> Subject {
    let clock = clock();
    Subject::new(MemoryBroker::with_clock(clock.clone()), clock)
}

async fn inspected() -> InspectorSubject {
    let clock = clock();
    InspectorSubject::new(MemoryBroker::with_clock(clock.clone()), clock)
}

asynq_core::broker_conformance!(memory);
asynq_core::inspector_conformance!(inspected);
asynq_core::broker_conformance_moved_lock_time!(memory);

proptest! {
    #[test]
    fn no_sequence_of_operations_loses_a_task(
        steps in proptest::collection::vec(any::<Step>(), 0..120),
    ) {
        block_on(async { replay(&memory().await, &steps).await });
    }

    #[test]
    fn no_sequence_with_an_inspector_loses_a_task(
        steps in proptest::collection::vec(any::<Step>(), 0..120),
    ) {
        block_on(async { replay_inspected(&inspected().await, &steps).await });
    }
}

// The suite runs on one thread, where calls to memory never overlap.
#[test]
fn threads_that_dequeue_at_once_never_get_the_same_task() {
    let broker = MemoryBroker::new();
    let tasks: Vec<_> = (0..2000)
        .map(|n| RawTask::new("t", format!("{n}")))
        .map(|task| new_task(task, TaskOptions::new(), DEFAULT_MAX_PAYLOAD).unwrap())
        .collect();
    block_on(broker.enqueue(&tasks)).unwrap();

    let threads: Vec<_> = (0..4)
        .map(|_| {
            let broker = broker.clone();
            std::thread::spawn(move || block_on(take_all(broker)))
        })
        .collect();
    let taken: Vec<TaskId> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();

    assert_eq!(taken.len(), 2000);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 2000);
}

async fn take_all(broker: MemoryBroker) -> Vec<TaskId> {
    let mut taken = Vec::new();
    loop {
        let queues = [QueueName::default_queue()];
        let dequeued = broker.dequeue(&queues, 5, Duration::from_secs(30)).await.unwrap();
        if dequeued.tasks.is_empty() {
            return taken;
        }
        taken.extend(dequeued.tasks.into_iter().map(|leased| leased.key.id));
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}
