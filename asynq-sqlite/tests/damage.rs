//! Files that are damaged: rows that cannot be decoded, and pages with anything in them.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Claim, Dequeued, Finish, Finished, GroupLimits, Leased, Settlement};
use asynq_core::{
    Aggregate, BrokerError, Client, Configure, Dequeue, GroupName, Inspect, Maintain, ManualClock, Page,
    QueueName, RawTask, TaskId, TaskState, Timestamp,
};
use asynq_sqlite::SqliteBroker;
use asynq_sqlite::sqlx::{self, AssertSqlSafe, ConnectOptions, Row, SqliteConnection};

const LEASE: Duration = Duration::from_secs(30);
const PAGE: u64 = 4096;

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn ids(dequeued: &Dequeued) -> Vec<&str> {
    dequeued
        .tasks
        .iter()
        .map(|leased| leased.key.id.as_str())
        .collect()
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

/// A broker with tasks of these ids, and a connection that damages them.
struct Tasks {
    broker: SqliteBroker,
    clock: Arc<ManualClock>,
    connection: SqliteConnection,
}

impl Tasks {
    async fn new(tasks: impl IntoIterator<Item = asynq_core::TaskBuilder<RawTask>>) -> Self {
        let path = support::dir_of_this_test().join("tasks.db");
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(1_700_000_000)));
        let broker = SqliteBroker::builder(&path)
            .clock(clock.clone())
            .open()
            .await
            .unwrap();
        for answer in Client::new(broker.clone()).enqueue_all(tasks).await {
            answer.unwrap();
        }
        Tasks {
            broker,
            clock,
            connection: connect(&path).await,
        }
    }

    async fn damage(&mut self, change: &str, id: &str) {
        let statement = format!("UPDATE asynq_tasks SET {change} WHERE id = '{id}'");
        let damaged = sqlx::query(AssertSqlSafe(statement))
            .execute(&mut self.connection)
            .await;
        assert_eq!(damaged.unwrap().rows_affected(), 1);
    }

    /// It is archived, the reason is told, and it can be deleted.
    async fn assert_set_aside(&self, id: &str, column: &str) {
        let id = TaskId::new(id).unwrap();
        let info = self.broker.queue_info(&queue("default")).await.unwrap().unwrap();
        assert_eq!(info.archived, 1);
        let told = self.broker.task(&queue("default"), &id).await.unwrap_err();
        let text = told.to_string();
        assert!(matches!(told, BrokerError::Corrupt { .. }), "{told:?}");
        assert!(text.contains(id.as_str()) && text.contains(column), "{text}");

        let inspector = asynq_core::Inspector::new(self.broker.clone());
        inspector.delete_task(&queue("default"), &id).await.unwrap();
        assert_eq!(self.broker.task(&queue("default"), &id).await.unwrap(), None);
    }
}

fn task(id: &str) -> asynq_core::TaskBuilder<RawTask> {
    RawTask::new("t", "x").task_id(id)
}

#[tokio::test]
async fn a_task_that_cannot_be_decoded_is_set_aside_when_it_would_be_taken_out() {
    for (change, column) in [
        ("headers = 'no JSON'", "headers"),
        ("retried = -1", "retried"),
        ("max_retry = 9999999999", "max_retry"),
        ("type = CAST(x'ff' AS TEXT)", "type"),
    ] {
        let mut tasks = Tasks::new(["a", "b", "c"].map(task)).await;
        tasks.damage(change, "a").await;

        let taken = tasks.broker.dequeue(&[queue("default")], 2, LEASE).await.unwrap();

        assert_eq!(ids(&taken), ["b", "c"], "as many as were asked for: {change}");
        assert!(taken.errors.is_empty());
        tasks.assert_set_aside("a", column).await;
    }
}

#[tokio::test]
async fn a_running_task_that_cannot_be_decoded_is_set_aside_when_its_lease_has_expired() {
    for (change, column) in [
        ("headers = 'no JSON'", "headers"),
        ("retried = -1, nonce = -1", "retried"),
    ] {
        let mut tasks = Tasks::new(["a", "b"].map(task)).await;
        tasks.broker.dequeue(&[queue("default")], 2, LEASE).await.unwrap();
        tasks.damage(change, "a").await;
        tasks.clock.advance(LEASE);

        let expired = tasks.broker.expired(&queue("default"), 10).await.unwrap();

        let found: Vec<_> = expired
            .tasks
            .iter()
            .map(|expired| expired.key.id.as_str())
            .collect();
        assert_eq!(found, ["b"]);
        tasks.assert_set_aside("a", column).await;
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_decoded_is_set_aside_too() {
    let mut tasks = Tasks::new(["a", "b"].map(task)).await;
    tasks.broker.dequeue(&[queue("default")], 2, LEASE).await.unwrap();
    tasks.damage("nonce = -1", "a").await;
    tasks.clock.advance(LEASE);

    let expired = tasks.broker.expired(&queue("default"), 10).await.unwrap();

    assert_eq!(expired.tasks.len(), 1);
    let archived = tasks
        .broker
        .tasks(&queue("default"), TaskState::Archived, None, Page::first(9))
        .await;
    let archived = archived.unwrap();
    assert_eq!(archived[0].id().as_str(), "a");
    assert!(archived[0].message.last_error.contains("nonce"), "{archived:?}");
}

#[tokio::test]
async fn a_task_of_a_group_that_cannot_be_decoded_is_set_aside_when_the_group_is_sealed() {
    let mut tasks = Tasks::new(["a", "b"].map(|id| task(id).group("g"))).await;
    tasks.damage("headers = 'no JSON'", "a").await;
    let limits = GroupLimits {
        grace_period: Duration::ZERO,
        max_delay: None,
        max_size: None,
    };

    let group = GroupName::new("g").unwrap();
    let sealed = tasks
        .broker
        .seal(&queue("default"), &group, &limits)
        .await
        .unwrap();

    let sealed: Vec<_> = sealed
        .unwrap()
        .tasks
        .iter()
        .map(|task| task.id.to_string())
        .collect();
    assert_eq!(sealed, ["b"]);
    tasks.assert_set_aside("a", "headers").await;
}

const TASKS_OF_A_QUEUE: usize = 6_000;

/// A file with two queues, so many tasks that its tree has inner pages below the root, and where its pages are.
async fn two_queues() -> PathBuf {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&path).await.unwrap();
    for name in ["a", "b"] {
        let tasks = (0..TASKS_OF_A_QUEUE).map(|_| RawTask::new("t", vec![b'x'; 900]).queue(name));
        for answer in Client::new(broker.clone()).enqueue_all(tasks).await {
            answer.unwrap();
        }
    }
    support::close(broker, &path).await;
    path
}

/// Overwrites one page of a tree, of those that hold the tasks of queue a.
async fn flip(path: &Path, tree: &str, kind: &str) {
    let mut connection = connect(path).await;
    let pages = sqlx::query(
        "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = ?2 AND path <> '/' ORDER BY path",
    );
    let pages = pages
        .bind(tree)
        .bind(kind)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let pages: Vec<i64> = pages.iter().map(|row| row.get(0)).collect();
    assert!(pages.len() >= 4, "{tree} has inner pages: {pages:?}");
    let page = pages[pages.len() / 4] as u64;
    sqlx::Connection::close(connection).await.unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = [0; PAGE as usize];
    file.read_exact_at(&mut bytes, (page - 1) * PAGE).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    file.write_all_at(&bytes, (page - 1) * PAGE).unwrap();
}

/// The error is of queue a, names the file and says what to do.
fn assert_told(error: &BrokerError, path: &Path) {
    let text = error.to_string();
    assert!(
        matches!(error, BrokerError::Corrupt { queue, .. } if *queue == self::queue("a")),
        "{error:?}"
    );
    for part in [path.to_str().unwrap(), "is damaged", ".recover"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Takes out and finishes what can be, until there is no more.
async fn work(broker: &SqliteBroker, path: &Path) -> usize {
    let mut finished = 0;
    loop {
        let taken = broker
            .dequeue(&[queue("a"), queue("b")], 200, LEASE)
            .await
            .unwrap();
        for (_, error) in &taken.errors {
            assert_told(error, path);
        }
        if taken.tasks.is_empty() {
            assert_eq!(taken.errors.len(), 1, "the damaged queue is told");
            return finished;
        }
        let finish = |leased: Leased| Finish {
            key: leased.key,
            message: leased.message,
            claim: Claim::Holder,
            settlement: Settlement::Done { result: None },
        };
        let finishes: Vec<Finish> = taken.tasks.into_iter().map(finish).collect();
        // As a server does it when all together fail.
        for part in finishes.chunk_by(|one, next| one.key.queue == next.key.queue) {
            match broker.finish(part).await {
                Ok(answers) => {
                    finished += answers
                        .iter()
                        .filter(|answer| **answer == Finished::Settled)
                        .count()
                }
                Err(error) => assert_told(&error, path),
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_inner_page_of_the_table_stops_one_queue_only() {
    one_queue_goes_on("asynq_tasks", "internal").await;
}

#[tokio::test]
async fn a_damaged_page_of_the_table_stops_one_queue_only() {
    one_queue_goes_on("asynq_tasks", "leaf").await;
}

#[tokio::test]
async fn a_damaged_page_of_an_index_stops_one_queue_only() {
    one_queue_goes_on("asynq_tasks_by_state", "leaf").await;
}

async fn one_queue_goes_on(tree: &str, kind: &str) {
    let path = two_queues().await;
    flip(&path, tree, kind).await;
    let broker = SqliteBroker::open(&path).await.unwrap();

    let listed = broker
        .tasks(
            &queue("a"),
            TaskState::Pending,
            None,
            Page::first(TASKS_OF_A_QUEUE),
        )
        .await
        .unwrap_err();
    assert_told(&listed, &path);
    let finished = work(&broker, &path).await;

    assert!(
        finished >= TASKS_OF_A_QUEUE,
        "all of queue b and some of queue a: {finished}"
    );
    Client::new(broker.clone())
        .enqueue(RawTask::new("t", "x").queue("b"))
        .await
        .expect("new tasks are taken in");
    let taken = broker.dequeue(&[queue("b")], 1, LEASE).await.unwrap();
    assert_eq!(taken.tasks.len(), 1);
}
