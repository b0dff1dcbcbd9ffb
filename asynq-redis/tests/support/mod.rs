//! What the tests of this crate share.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Claim, Dequeued, Finish, Leased, NewTask, Placement, Settlement};
use asynq_core::{Clock, Dequeue, Enqueue, ManualClock, QueueName, TaskId, TaskMessage, Timestamp};
use asynq_redis::RedisBroker;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;

pub const LEASE: Duration = Duration::from_secs(30);
pub const START: i64 = 1_700_000_000;

/// A broker on a database of its own, with a clock that the test moves, and a plain connection to look at the keys.
pub struct Subject {
    pub broker: RedisBroker,
    pub clock: Arc<ManualClock>,
    pub raw: MultiplexedConnection,
}

impl Subject {
    pub async fn new() -> Self {
        Self::at(&asynq_fixtures::shared_redis_url()).await
    }

    pub async fn at(url: &str) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(START)));
        let mut raw = connect(url).await;
        redis::cmd("FLUSHDB").exec_async(&mut raw).await.unwrap();
        let broker = RedisBroker::builder(url)
            .clock(clock.clone() as Arc<dyn Clock>)
            .connect()
            .await
            .unwrap();
        Subject { broker, clock, raw }
    }

    pub async fn raw<T: redis::FromRedisValue>(&mut self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut self.raw)
            .await
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub async fn enqueue(&self, ids: &[&str]) {
        let tasks: Vec<NewTask> = ids.iter().map(|id| task(id)).collect();
        for receipt in self.broker.enqueue(&tasks).await.unwrap() {
            assert!(
                matches!(receipt, asynq_core::broker::Receipt::Accepted { .. }),
                "{receipt:?}"
            );
        }
    }

    pub async fn dequeue(&self, max: usize) -> Dequeued {
        self.broker.dequeue(&[queue("q")], max, LEASE).await.unwrap()
    }

    pub async fn dequeue_one(&self) -> Leased {
        let mut dequeued = self.dequeue(1).await;
        assert!(dequeued.errors.is_empty(), "{:?}", dequeued.errors);
        dequeued.tasks.pop().expect("a task")
    }

    pub async fn finish(&self, task: &Leased, settlement: Settlement) -> asynq_core::broker::Finished {
        self.broker.finish(&[finish(task, settlement)]).await.unwrap()[0]
    }

    /// All keys with what is in them, as text; the message of a task and random fractions of leases are left out.
    pub async fn snapshot(&mut self) -> BTreeMap<String, String> {
        let keys: Vec<String> = self.raw("KEYS *").await;
        let mut all = BTreeMap::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE")
                .arg(&key)
                .query_async(&mut self.raw)
                .await
                .unwrap();
            let value = match kind.as_str() {
                "hash" => {
                    let fields: BTreeMap<String, Bytes> = redis::cmd("HGETALL")
                        .arg(&key)
                        .query_async(&mut self.raw)
                        .await
                        .unwrap();
                    fields
                        .iter()
                        .map(|(name, value)| field_text(name, value))
                        .collect::<Vec<_>>()
                        .join(" ")
                }
                "list" => {
                    let ids: Vec<String> = redis::cmd("LRANGE")
                        .arg(&key)
                        .arg(0)
                        .arg(-1)
                        .query_async(&mut self.raw)
                        .await
                        .unwrap();
                    ids.join(" ")
                }
                "zset" => {
                    let ids: Vec<(String, f64)> = redis::cmd("ZRANGE")
                        .arg(&key)
                        .arg(0)
                        .arg(-1)
                        .arg("WITHSCORES")
                        .query_async(&mut self.raw)
                        .await
                        .unwrap();
                    let is_lease = key.ends_with(":lease");
                    let score = |score: f64| if is_lease { score.floor() } else { score };
                    ids.iter()
                        .map(|(id, at)| format!("{id}={}", score(*at)))
                        .collect::<Vec<_>>()
                        .join(" ")
                }
                "set" => {
                    let mut ids: Vec<String> = redis::cmd("SMEMBERS")
                        .arg(&key)
                        .query_async(&mut self.raw)
                        .await
                        .unwrap();
                    ids.sort();
                    ids.join(" ")
                }
                _ => redis::cmd("GET")
                    .arg(&key)
                    .query_async(&mut self.raw)
                    .await
                    .unwrap(),
            };
            all.insert(key, value);
        }
        all
    }

    /// Compares all keys with those expected, given as `key: content` lines.
    pub async fn expect(&mut self, expected: &str) {
        let found = self.snapshot().await;
        let found: Vec<String> = found
            .iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        let mut expected: Vec<String> = expected
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        expected.sort();
        assert_eq!(found, expected);
    }
}

fn field_text(name: &str, value: &Bytes) -> String {
    match name {
        "msg" => "msg".to_owned(),
        "started" => "started".to_owned(),
        _ => format!("{name}={}", String::from_utf8_lossy(value)),
    }
}

pub async fn connect(url: &str) -> MultiplexedConnection {
    redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap()
}

pub fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

pub fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

pub fn message(id: &str) -> TaskMessage {
    TaskMessage {
        id: TaskId::new(id).unwrap(),
        queue: queue("q"),
        task_type: "t".into(),
        payload: Bytes::from_static(b"hello"),
        headers: BTreeMap::new(),
        max_retry: 3,
        retried: 0,
        last_error: String::new(),
        last_failed_at: None,
        timeout: Some(Duration::from_secs(1800)),
        deadline: None,
        retention: Duration::ZERO,
        completed_at: None,
        group: None,
        unique_key: None,
        unknown_fields: Bytes::new(),
    }
}

pub fn task(id: &str) -> NewTask {
    NewTask {
        message: message(id),
        placement: Placement::Now,
        unique_ttl: None,
    }
}

pub fn finish(task: &Leased, settlement: Settlement) -> Finish {
    Finish {
        key: task.key.clone(),
        message: task.message.clone(),
        claim: Claim::Holder,
        settlement,
    }
}

/// The ids of tasks, in their order.
pub fn ids(dequeued: &Dequeued) -> Vec<&str> {
    dequeued.tasks.iter().map(|task| task.key.id.as_str()).collect()
}

/// Waits until a condition holds, however long that takes within reason.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fails the test instead of waiting for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: waited in vain"),
    }
}
