//! What the tests are made of: tasks that fill in what a test does not care about, and calls that check their answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{
    Claim, ExpiredLease, Extension, Finish, Finished, LeaseKey, Leased, NewTask, Page, Placement, QueueInfo,
    Receipt, Settlement,
};
use crate::clock::{Clock, Timestamp};
use crate::message::{TaskInfo, TaskMessage, TaskState};
use crate::names::{GroupName, QueueName, TaskId};
use crate::options::{Headers, When};

use super::Subject;

pub(super) const LEASE: Duration = Duration::from_secs(30);
/// Longer than a lease, whichever way a broker rounds it to whole seconds.
pub(super) const PAST_LEASE: Duration = Duration::from_secs(32);
/// More than any test has.
pub(super) const ALL: Page = Page::first(20_000);

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// The queue of tasks that name none.
pub(super) fn default_queue() -> QueueName {
    QueueName::default_queue()
}

pub(super) fn id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(super) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// A task with this id, to be run now; all that are not told otherwise have the same type, payload and queue.
pub(super) fn task(id: &str) -> TestTask {
    TestTask(NewTask {
        message: TaskMessage {
            id: self::id(id),
            queue: default_queue(),
            task_type: "t".into(),
            payload: Bytes::from_static(b"payload"),
            headers: Headers::new(),
            max_retry: 25,
            retried: 0,
            last_error: String::new(),
            last_failed_at: None,
            timeout: Some(secs(1800)),
            deadline: None,
            retention: Duration::ZERO,
            completed_at: None,
            group: None,
            unique_key: None,
            unknown_fields: Bytes::new(),
        },
        placement: Placement::Now,
        unique_ttl: None,
    })
}

#[derive(Clone)]
pub(super) struct TestTask(NewTask);

impl TestTask {
    pub(super) fn with(mut self, change: impl FnOnce(&mut TaskMessage)) -> Self {
        change(&mut self.0.message);
        self
    }

    pub(super) fn queue(self, name: &str) -> Self {
        self.with(|message| message.queue = queue(name))
    }

    pub(super) fn task_type(self, task_type: &str) -> Self {
        self.with(|message| message.task_type = task_type.into())
    }

    pub(super) fn payload(self, payload: impl Into<Bytes>) -> Self {
        self.with(|message| message.payload = payload.into())
    }

    pub(super) fn group(self, name: &str) -> Self {
        self.with(|message| message.group = Some(group(name)))
    }

    pub(super) fn retention(self, retention: Duration) -> Self {
        self.with(|message| message.retention = retention)
    }

    pub(super) fn delayed(mut self, delay: Duration) -> Self {
        self.0.placement = Placement::Later(When::In(delay));
        self
    }

    pub(super) fn at(mut self, time: Timestamp) -> Self {
        self.0.placement = Placement::Later(When::At(time));
        self
    }

    pub(super) fn unique(mut self, ttl: Duration) -> Self {
        self.0.unique_ttl = Some(ttl);
        self
    }

    pub(super) fn build(self) -> NewTask {
        self.0
    }
}

pub(super) fn done() -> Settlement {
    Settlement::Done { result: None }
}

pub(super) fn done_with(result: &'static str) -> Settlement {
    Settlement::Done {
        result: Some(result.into()),
    }
}

pub(super) fn retry(delay: Duration) -> Settlement {
    Settlement::Retry {
        delay,
        error: "boom".into(),
        is_failure: true,
    }
}

pub(super) fn archive() -> Settlement {
    Settlement::Archive { error: "boom".into() }
}

pub(super) fn snooze(delay: Duration) -> Settlement {
    Settlement::Snooze { delay }
}

pub(super) fn requeue() -> Settlement {
    Settlement::Requeue { lost: false }
}

pub(super) fn requeue_lost() -> Settlement {
    Settlement::Requeue { lost: true }
}

/// One of each, none of which waits.
pub(super) fn every_settlement() -> Vec<Settlement> {
    vec![
        done(),
        Settlement::Drop,
        retry(Duration::ZERO),
        snooze(Duration::ZERO),
        archive(),
        requeue(),
        requeue_lost(),
    ]
}

/// A right to act that nobody has: the same task with another nonce.
pub(super) fn foreign(leased: &Leased) -> Leased {
    let mut foreign = leased.clone();
    foreign.key.nonce = if leased.key.nonce == 1 {
        2
    } else {
        leased.key.nonce - 1
    };
    foreign
}

pub(super) fn ids(leased: &[Leased]) -> Vec<&str> {
    leased.iter().map(|leased| leased.key.id.as_str()).collect()
}

pub(super) fn accepted(state: TaskState, next_process_at: Option<Timestamp>) -> Receipt {
    Receipt::Accepted {
        state,
        next_process_at,
    }
}

pub(super) fn is_accepted(receipt: &Receipt) -> bool {
    matches!(receipt, Receipt::Accepted { .. })
}

/// Leases and some times of listings are stored as whole seconds, rounded either way.
#[track_caller]
pub(super) fn assert_within_a_second(actual: Timestamp, expected: Timestamp) {
    let apart = actual
        .saturating_since(expected)
        .max(expected.saturating_since(actual));
    assert!(apart < secs(1), "{actual} is not within a second of {expected}");
}

impl Subject {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(super) async fn enqueue(&self, task: TestTask) -> Receipt {
        self.enqueue_all([task]).await.remove(0)
    }

    pub(super) async fn enqueue_all(&self, tasks: impl IntoIterator<Item = TestTask>) -> Vec<Receipt> {
        let tasks: Vec<NewTask> = tasks.into_iter().map(TestTask::build).collect();
        let receipts = self.broker.enqueue(&tasks).await.unwrap();
        assert_eq!(receipts.len(), tasks.len(), "one receipt for each task");
        receipts
    }

    pub(super) async fn must_enqueue(&self, task: TestTask) {
        self.must_enqueue_all([task]).await;
    }

    pub(super) async fn must_enqueue_all(&self, tasks: impl IntoIterator<Item = TestTask>) {
        for receipt in self.enqueue_all(tasks).await {
            assert!(is_accepted(&receipt), "{receipt:?}");
        }
    }

    pub(super) async fn dequeue(&self, queues: &[&str], max: usize) -> Vec<Leased> {
        let queues: Vec<QueueName> = queues.iter().map(|name| queue(name)).collect();
        let dequeued = self.broker.dequeue(&queues, max, LEASE).await.unwrap();
        assert!(dequeued.errors.is_empty(), "{:?}", dequeued.errors);
        assert!(dequeued.tasks.len() <= max, "more tasks than asked for");
        dequeued.tasks
    }

    /// What the default queue gives.
    pub(super) async fn take_up_to(&self, max: usize) -> Vec<Leased> {
        self.dequeue(&["default"], max).await
    }

    /// The next task of the default queue.
    pub(super) async fn take(&self) -> Leased {
        let mut tasks = self.take_up_to(1).await;
        assert_eq!(tasks.len(), 1, "no task to take out");
        tasks.remove(0)
    }

    pub(super) async fn enqueue_and_take(&self, task: TestTask) -> Leased {
        self.must_enqueue(task).await;
        self.take().await
    }

    pub(super) async fn finish(&self, leased: &Leased, settlement: Settlement) -> Finished {
        let finish = finish_of(leased, settlement);
        let mut finished = self.broker.finish(&[finish]).await.unwrap();
        assert_eq!(finished.len(), 1, "one answer for each task");
        finished.remove(0)
    }

    pub(super) async fn settle(&self, leased: &Leased, settlement: Settlement) {
        let finished = self.finish(leased, settlement.clone()).await;
        assert_eq!(finished, Finished::Settled, "{settlement:?}");
    }

    /// Settles in the right of somebody who found the lease expired.
    pub(super) async fn finish_expired(
        &self,
        key: &LeaseKey,
        message: &Arc<TaskMessage>,
        settlement: Settlement,
    ) -> Finished {
        let finish = Finish {
            key: key.clone(),
            message: message.clone(),
            claim: Claim::Expired,
            settlement,
        };
        self.broker.finish(&[finish]).await.unwrap().remove(0)
    }

    pub(super) async fn extend(&self, leased: &Leased) -> Extension {
        let keys = [leased.key.clone()];
        self.broker.extend(&keys, LEASE).await.unwrap().remove(0)
    }

    /// The leases of the default queue that have expired.
    pub(super) async fn expired(&self) -> Vec<ExpiredLease> {
        self.broker.expired(&default_queue(), 1000).await.unwrap().tasks
    }

    /// Forwards until nothing more is due, and says how many tasks were moved.
    pub(super) async fn forward(&self) -> usize {
        let mut moved = 0;
        loop {
            let forwarded = self.broker.forward(&default_queue()).await.unwrap();
            moved += forwarded.moved;
            if !forwarded.more {
                return moved;
            }
        }
    }

    pub(super) async fn task(&self, id: &str) -> Option<TaskInfo> {
        let id = self::id(id);
        self.broker.task(&default_queue(), &id).await.unwrap()
    }

    pub(super) async fn stored(&self, id: &str) -> TaskInfo {
        let info = self.task(id).await;
        info.unwrap_or_else(|| panic!("task {id:?} is gone"))
    }

    pub(super) async fn state(&self, id: &str) -> Option<TaskState> {
        self.task(id).await.map(|info| info.state)
    }

    pub(super) async fn queue_info(&self) -> QueueInfo {
        let info = self.broker.queue_info(&default_queue()).await.unwrap();
        info.expect("the default queue has had tasks")
    }

    /// The ids of the default queue in this state, in the order of the listing.
    pub(super) async fn listed(&self, state: TaskState) -> Vec<String> {
        let tasks = self.broker.tasks(&default_queue(), state, None, ALL).await;
        let ids = |info: &TaskInfo| info.id().as_str().to_owned();
        tasks.unwrap().iter().map(ids).collect()
    }
}

pub(super) fn finish_of(leased: &Leased, settlement: Settlement) -> Finish {
    Finish {
        key: leased.key.clone(),
        message: leased.message.clone(),
        claim: Claim::Holder,
        settlement,
    }
}
