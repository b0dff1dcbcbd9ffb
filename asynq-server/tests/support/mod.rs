//! What the tests of the server share: a broker that can be made to fail, and a few short cuts.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use asynq_server::broker::*;
use asynq_server::prelude::*;
use asynq_server::{
    BrokerError, FixedBackoff, GroupName, Inspect, LeaseKey, Now, Page, QueueInfo, QueueName, Signals,
    TaskId, Timestamp,
};
use bytes::Bytes;
use tokio::sync::mpsc;

/// A memory broker whose calls can be made to fail, and are counted.
#[derive(Clone, Default)]
pub(crate) struct TestBroker {
    pub(crate) inner: MemoryBroker,
    failing: Arc<Mutex<HashSet<&'static str>>>,
    pub(crate) dequeues: Arc<AtomicUsize>,
    pub(crate) forwards: Arc<AtomicUsize>,
}

impl TestBroker {
    pub(crate) fn fail(&self, operation: &'static str) {
        self.failing.lock().unwrap().insert(operation);
    }

    pub(crate) fn mend(&self, operation: &'static str) {
        self.failing.lock().unwrap().remove(operation);
    }

    fn check(&self, operation: &'static str) -> Result<(), BrokerError> {
        if self.failing.lock().unwrap().contains(operation) {
            let source = std::io::Error::other("switched off by the test");
            return Err(BrokerError::Unavailable {
                operation,
                maybe_applied: false,
                source: Arc::new(source),
            });
        }
        Ok(())
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.inner.clone())
    }

    pub(crate) async fn task(&self, id: &str) -> Option<TaskInfo> {
        self.inner
            .task(&QueueName::default_queue(), &TaskId::new(id).unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn info(&self) -> QueueInfo {
        self.inner
            .queue_info(&QueueName::default_queue())
            .await
            .unwrap()
            .expect("the queue has had a task")
    }

    /// Waits until a task is in a state, or gone. Fails after ten minutes of (paused) time.
    pub(crate) async fn until(&self, id: &str, state: Option<TaskState>) -> Option<TaskInfo> {
        let check = async {
            loop {
                let info = self.task(id).await;
                if info.as_ref().map(|info| info.state) == state {
                    return info;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(600), check).await {
            Ok(info) => info,
            Err(_) => panic!("task {id} is {:?}, not {state:?}", self.task(id).await),
        }
    }
}

impl From<TestBroker> for Arc<dyn Broker> {
    fn from(broker: TestBroker) -> Self {
        Arc::new(broker)
    }
}

impl Now for TestBroker {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
}

#[async_trait]
impl Enqueue for TestBroker {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Receipt>, BrokerError> {
        self.check("enqueue")?;
        self.inner.enqueue(tasks).await
    }
    async fn ping(&self) -> Result<(), BrokerError> {
        self.check("ping")
    }
}

#[async_trait]
impl Dequeue for TestBroker {
    async fn dequeue(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.dequeues.fetch_add(1, Ordering::Relaxed);
        self.check("dequeue")?;
        let mut good = queues.to_vec();
        let mut errors = Vec::new();
        if let Some(bad) = good.iter().position(|queue| *queue == "bad") {
            errors.push((
                good.remove(bad),
                BrokerError::Unsupported {
                    operation: "dequeue",
                    broker: "test",
                },
            ));
        }
        let mut dequeued = self.inner.dequeue(&good, max, lease).await?;
        dequeued.errors.extend(errors);
        Ok(dequeued)
    }
    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, BrokerError> {
        self.check("finish")?;
        self.inner.finish(finishes).await
    }
    async fn extend(&self, leases: &[LeaseKey], lease: Duration) -> Result<Vec<Extension>, BrokerError> {
        self.check("extend")?;
        if leases.iter().any(|key| key.queue == "bad lease") {
            return Err(BrokerError::Unsupported {
                operation: "extend",
                broker: "test",
            });
        }
        self.inner.extend(leases, lease).await
    }
    async fn write_result(&self, lease: &LeaseKey, result: Bytes) -> Result<bool, BrokerError> {
        self.inner.write_result(lease, result).await
    }
    async fn watch(&self, queues: &[QueueName], signals: &Signals) -> Result<(), BrokerError> {
        self.check("watch")?;
        self.inner.watch(queues, signals).await
    }
}

#[async_trait]
impl Maintain for TestBroker {
    async fn forward(&self, queue: &QueueName) -> Result<Forwarded, BrokerError> {
        self.forwards.fetch_add(1, Ordering::Relaxed);
        self.check("forward")?;
        self.inner.forward(queue).await
    }
    async fn expired(&self, queue: &QueueName, limit: usize) -> Result<Expired, BrokerError> {
        self.inner.expired(queue, limit).await
    }
    async fn purge(&self, queue: &QueueName, limit: usize) -> Result<Purged, BrokerError> {
        self.inner.purge(queue, limit).await
    }
    async fn reconcile(&self, queue: &QueueName, cursor: ReconcileCursor) -> Result<Reconciled, BrokerError> {
        self.inner.reconcile(queue, cursor).await
    }
}

#[async_trait]
impl Aggregate for TestBroker {
    async fn groups(&self, queue: &QueueName) -> Result<Vec<GroupName>, BrokerError> {
        self.inner.groups(queue).await
    }
    async fn seal(
        &self,
        queue: &QueueName,
        group: &GroupName,
        limits: &GroupLimits,
    ) -> Result<Option<SealedSet>, BrokerError> {
        self.inner.seal(queue, group, limits).await
    }
    async fn finish_set(&self, set: &SetKey, merged: &NewTask) -> Result<Option<Receipt>, BrokerError> {
        self.inner.finish_set(set, merged).await
    }
    async fn reclaim(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        self.inner.reclaim(queue).await
    }
}

#[async_trait]
impl Presence for TestBroker {
    async fn announce(
        &self,
        server: &ServerInfo,
        workers: &[WorkerInfo],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        self.inner.announce(server, workers, ttl).await
    }
    async fn withdraw(&self, server: &ServerId) -> Result<(), BrokerError> {
        self.inner.withdraw(server).await
    }
    async fn servers(&self) -> Result<Vec<(ServerInfo, Vec<WorkerInfo>)>, BrokerError> {
        self.inner.servers().await
    }
}

#[async_trait]
impl ScheduleStore for TestBroker {
    async fn last_tick(&self, entry: &EntryKey, since: Timestamp) -> Result<Timestamp, BrokerError> {
        self.inner.last_tick(entry, since).await
    }
    async fn enqueue_tick(
        &self,
        entry: &EntryKey,
        tick: Timestamp,
        task: &NewTask,
    ) -> Result<TickReceipt, BrokerError> {
        self.inner.enqueue_tick(entry, tick, task).await
    }
    async fn publish_entries(
        &self,
        scheduler: &str,
        entries: &[ScheduleEntry],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        self.inner.publish_entries(scheduler, entries, ttl).await
    }
    async fn withdraw_entries(&self, scheduler: &str) -> Result<(), BrokerError> {
        self.inner.withdraw_entries(scheduler).await
    }
    async fn record_event(&self, entry: &str, event: &ScheduleEvent) -> Result<(), BrokerError> {
        self.inner.record_event(entry, event).await
    }
    async fn schedule_entries(&self) -> Result<Vec<ScheduleEntry>, BrokerError> {
        self.inner.schedule_entries().await
    }
    async fn schedule_events(&self, entry: &str, page: Page) -> Result<Vec<ScheduleEvent>, BrokerError> {
        self.inner.schedule_events(entry, page).await
    }
}

#[async_trait]
impl Inspect for TestBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        self.inner.queues().await
    }
    async fn queue_info(&self, queue: &QueueName) -> Result<Option<QueueInfo>, BrokerError> {
        self.inner.queue_info(queue).await
    }
    async fn task(&self, queue: &QueueName, id: &TaskId) -> Result<Option<TaskInfo>, BrokerError> {
        self.inner.task(queue, id).await
    }
    async fn tasks(
        &self,
        queue: &QueueName,
        state: TaskState,
        group: Option<&GroupName>,
        page: Page,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        self.inner.tasks(queue, state, group, page).await
    }
    async fn pause(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.inner.pause(queue).await
    }
    async fn resume(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.inner.resume(queue).await
    }
    async fn cancel(&self, queue: Option<&QueueName>, id: &TaskId) -> Result<(), BrokerError> {
        self.inner.cancel(queue, id).await
    }
}

/// A server of this broker with one slot and a retry delay of one second.
pub(crate) fn server(broker: &TestBroker) -> ServerBuilder {
    Server::builder(broker.clone())
        .concurrency(1)
        .retry_policy(FixedBackoff(Duration::from_secs(1)))
}

/// A task of type `t` with this id.
pub(crate) fn task(id: &str) -> asynq_server::TaskBuilder<RawTask> {
    RawTask::new("t", "").task_id(id)
}

/// A handler that tells of each task it gets and does nothing else.
pub(crate) fn telling() -> (impl Handler, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |cx: Context, _: RawTask| {
        let _ = sender.send(cx.task_id().to_string());
        async {}
    };
    (handler, receiver)
}
