//! What the tests of this crate share.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq_core::broker::{Claim, Finish, Settlement};
use asynq_core::{
    Dequeue, Inspect, MemoryBroker, Now, Page, QueueName, RawTask, TaskInfo, TaskState, Timestamp, TokioClock,
};

/// A Tuesday, 22:13:20 UTC.
pub const START: i64 = 1_700_000_000;

/// A broker on tokio's time, which begins at [`START`].
pub fn broker() -> MemoryBroker {
    MemoryBroker::with_clock(Arc::new(TokioClock::starting_at(Timestamp::from_unix_seconds(
        START,
    ))))
}

pub fn task(task_type: &str) -> RawTask {
    RawTask::new(task_type, "")
}

/// Lets so many seconds pass. tokio's time is paused, so all timers fire in order and nobody waits.
pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Lets time pass until the broker shows so many seconds after [`START`].
pub async fn pass_until(broker: &MemoryBroker, seconds: i64) {
    let then = Timestamp::from_unix_seconds(START + seconds);
    tokio::time::sleep(then.saturating_since(broker.now())).await;
}

pub async fn pending(broker: &MemoryBroker, queue: &str) -> Vec<TaskInfo> {
    let queue = QueueName::new(queue).unwrap();
    broker
        .tasks(&queue, TaskState::Pending, None, Page::first(100_000))
        .await
        .unwrap()
}

/// The ticks of the default queue's pending tasks, in seconds after [`START`].
pub async fn ticks(broker: &MemoryBroker) -> Vec<i64> {
    pending(broker, "default").await.iter().map(tick).collect()
}

/// The tick that the id of a task names.
pub fn tick(task: &TaskInfo) -> i64 {
    let (_, tick) = task.id().as_str().rsplit_once(':').unwrap();
    tick.parse::<i64>().unwrap() - START
}

/// Takes out all tasks and settles them.
pub async fn settle_all(broker: &MemoryBroker, settlement: &Settlement) -> usize {
    let queues = [QueueName::default_queue()];
    let leased = broker
        .dequeue(&queues, 1000, Duration::from_secs(30))
        .await
        .unwrap()
        .tasks;
    for leased in &leased {
        let finish = Finish {
            key: leased.key.clone(),
            message: leased.message.clone(),
            claim: Claim::Holder,
            settlement: settlement.clone(),
        };
        broker.finish(&[finish]).await.unwrap();
    }
    leased.len()
}

/// What hooks and providers of tests write down.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What is logged, to be given to a subscriber as its writer.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
