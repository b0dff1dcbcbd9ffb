//! What can be wrong with a file: each gives an error that says so, and what can recover does.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use asynq_core::{BrokerError, Client, EnqueueError, Inspect, QueueName, RawTask};
use asynq_sqlite::SqliteBroker;
use asynq_sqlite::sqlx::{Connection, Executor, Row, SqliteConnection};

const PATIENCE: Duration = Duration::from_secs(20);

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
    let text = error.to_string();
    assert!(
        text.contains("version 99") && text.contains("update this program"),
        "{text}"
    );
    assert!(text.contains(path.to_str().unwrap()), "{text}");
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
    assert!(cause.contains(path.to_str().unwrap()), "{cause}");
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
async fn the_file_is_closed_with_the_last_clone() {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&path).await.unwrap();
    let clone = broker.clone();
    drop(broker);
    enqueue(&clone, vec![1]).await.unwrap();
    clone.queue_info(&queue()).await.unwrap();

    support::close(clone, &path).await;
}

/// Calls fail and say why, reading goes on, and afterwards everything does.
async fn live_through_a_lock(hold: Duration, timeout: Duration) {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::builder(&path)
        .busy_timeout(timeout)
        .open()
        .await
        .unwrap();
    enqueue(&broker, vec![1]).await.unwrap();
    let mut other = connect(&path).await;
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();

    let locked = Instant::now();
    let mut refused = 0;
    while locked.elapsed() < hold {
        let begun = Instant::now();
        let error = enqueue(&broker, vec![1]).await.unwrap_err();
        let waited = begun.elapsed();
        assert!(waited >= timeout && waited < timeout + PATIENCE, "{waited:?}");
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
        assert!(error.is_transient());
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(
            cause.contains("another program keeps") && cause.contains(path.to_str().unwrap()),
            "{cause}"
        );
        let info = broker.queue_info(&queue()).await.expect("reading goes on");
        assert_eq!(info.unwrap().pending, 1);
        refused += 1;
    }
    assert!(refused > 0);
    lock.rollback().await.unwrap();

    enqueue(&broker, vec![1]).await.unwrap();
    let info = broker.queue_info(&queue()).await.unwrap().unwrap();
    assert_eq!(info.pending, 2, "what was refused is not there");
}

#[tokio::test]
async fn a_file_that_another_program_keeps_locked_is_unavailable_until_it_is_not() {
    live_through_a_lock(Duration::from_millis(300), Duration::from_millis(100)).await;
}

#[tokio::test]
#[ignore = "holds a lock for sixty seconds: run with --ignored"]
async fn a_file_may_be_locked_for_a_minute() {
    live_through_a_lock(Duration::from_secs(60), Duration::from_secs(5)).await;
}

/// SQLite itself does not wait here: to switch to the log it already reads, and then it fails at once. Two processes that
/// make the same file meet that way.
#[tokio::test]
async fn a_lock_on_a_file_that_has_no_log_yet_is_waited_for() {
    let path = support::dir_of_this_test().join("app.db");
    let mut other = connect(&path).await;
    other.execute("CREATE TABLE mine (n INTEGER)").await.unwrap();
    let mut lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    lock.execute("INSERT INTO mine VALUES (1)").await.unwrap();

    let (opened, ()) = tokio::join!(SqliteBroker::open(&path), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lock.rollback().await.unwrap();
    });

    enqueue(&opened.unwrap(), vec![1]).await.unwrap();
}

#[tokio::test]
async fn a_file_that_stays_locked_is_not_opened() {
    let path = support::dir_of_this_test().join("app.db");
    let mut other = connect(&path).await;
    other.execute("CREATE TABLE mine (n INTEGER)").await.unwrap();
    let _lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let timeout = Duration::from_millis(100);

    let begun = Instant::now();
    let opened = SqliteBroker::builder(&path).busy_timeout(timeout).open().await;

    let error = opened.unwrap_err();
    assert!(begun.elapsed() >= timeout);
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error:?}");
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
