//! What can be wrong with a file: each gives an error that says so, and what can recover does.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use asynq_core::{
    BrokerError, Client, Dequeue, Enqueue, EnqueueError, Inspect, Page, QueueName, RawTask, TaskState,
};
use asynq_sqlite::SqliteBroker;
use asynq_sqlite::sqlx::{Connection, Executor, Row, SqliteConnection};

const LEASE: Duration = Duration::from_secs(30);

fn queue() -> QueueName {
    QueueName::default_queue()
}

async fn connect(path: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}?mode=rwc", path.display());
    SqliteConnection::connect(&url).await.unwrap()
}

async fn enqueue(broker: &SqliteBroker, payload: Vec<u8>) -> Result<(), BrokerError> {
    match Client::new(broker.clone())
        .enqueue(RawTask::new("t", payload))
        .await
    {
        Ok(_) => Ok(()),
        Err(EnqueueError::Broker { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_file_that_a_newer_version_has_used_is_refused() {
    let path = support::dir_of_this_test().join("tasks.db");
    drop(SqliteBroker::open(&path).await.unwrap());
    let mut connection = connect(&path).await;
    connection
        .execute("UPDATE asynq_schema SET version = 99")
        .await
        .unwrap();

    let error = SqliteBroker::open(&path).await.unwrap_err();

    assert!(matches!(error, BrokerError::Config(_)), "{error:?}");
    assert!(error.to_string().contains("version 99"), "{error}");
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_refused_by_its_name() {
    let path = support::dir_of_this_test().join("nowhere/tasks.db");

    let error = SqliteBroker::open(&path).await.unwrap_err();

    assert!(matches!(error, BrokerError::Config(_)), "{error:?}");
    assert!(error.to_string().contains("nowhere/tasks.db"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let path = support::dir_of_this_test().join("tasks.db");
    std::fs::write(&path, "Dear diary, ".repeat(1000)).unwrap();

    let error = SqliteBroker::open(&path).await.unwrap_err();

    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("no SQLite database"), "{error:?}");
}

#[tokio::test]
async fn the_tables_of_an_application_stay_as_they_are() {
    let path = support::dir_of_this_test().join("app.db");
    let mut connection = connect(&path).await;
    connection
        .execute("CREATE TABLE tasks (mine TEXT); PRAGMA user_version = 7")
        .await
        .unwrap();

    let broker = SqliteBroker::open(&path).await.unwrap();
    enqueue(&broker, vec![1]).await.unwrap();

    let version = connection.fetch_one("PRAGMA user_version").await.unwrap();
    assert_eq!(version.get::<i64, _>(0), 7);
    connection
        .execute("INSERT INTO tasks VALUES ('still here')")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_damaged_page_is_an_error_and_no_panic() {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&path).await.unwrap();
    let tasks = (0..2000).map(|_| RawTask::new("t", vec![b'x'; 200]));
    for answer in Client::new(broker.clone()).enqueue_all(tasks).await {
        answer.unwrap();
    }
    support::close(broker, &path).await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Pages have 4 KiB. The first ones hold the list of tables.
    let from = bytes.len() / 4;
    bytes[from..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();

    let broker = SqliteBroker::open(&path).await.unwrap();
    let listed = broker
        .tasks(&queue(), TaskState::Pending, None, Page::first(5000))
        .await
        .unwrap_err();
    let taken = broker.dequeue(&[queue()], 1000, LEASE).await.unwrap_err();

    assert!(matches!(listed, BrokerError::Corrupt { .. }), "{listed:?}");
    let cause = std::error::Error::source(&taken).expect("a cause").to_string();
    assert!(cause.contains("the file is damaged"), "{taken:?}");
}

#[tokio::test]
async fn the_file_is_closed_with_the_last_clone() {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&path).await.unwrap();
    let clone = broker.clone();
    drop(broker);
    enqueue(&clone, vec![1]).await.unwrap();
    clone.queue_info(&queue()).await.unwrap();

    support::close(clone, &path).await;
}

#[tokio::test]
async fn a_file_that_another_program_keeps_locked_is_unavailable_until_it_is_not() {
    let path = support::dir_of_this_test().join("tasks.db");
    let timeout = Duration::from_millis(200);
    let broker = SqliteBroker::builder(&path)
        .busy_timeout(timeout)
        .open()
        .await
        .unwrap();
    let mut other = connect(&path).await;
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();

    let begun = Instant::now();
    let error = enqueue(&broker, vec![1]).await.unwrap_err();
    assert!(
        matches!(
            error,
            BrokerError::Unavailable {
                maybe_applied: false,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(begun.elapsed() >= timeout);
    broker.ping().await.expect("reading goes on");
    lock.rollback().await.unwrap();

    enqueue(&broker, vec![1]).await.unwrap();
}

#[tokio::test]
async fn a_short_lock_is_waited_for() {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&path).await.unwrap();
    let mut other = connect(&path).await;
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();

    let (enqueued, ()) = tokio::join!(enqueue(&broker, vec![1]), async {
        // The enqueue has begun when it is this one's turn.
        tokio::task::yield_now().await;
        lock.rollback().await.unwrap();
    });

    enqueued.unwrap();
}
