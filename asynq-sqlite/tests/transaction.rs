//! Enqueueing within the caller's transaction.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use asynq_core::{
    BrokerError, Client, Configure, Dequeue, EnqueueError, Inspect, QueueName, RawTask, Signals, SystemClock,
    TaskId, TaskState,
};
use asynq_sqlite::sqlx::{self, Connection, Executor, Row, SqliteConnection};
use asynq_sqlite::{EnqueueIn, SqliteBroker};

const PATIENCE: Duration = Duration::from_secs(10);

/// A broker, and the application's own connection to the same file.
struct Shop {
    broker: SqliteBroker,
    client: Client,
    connection: SqliteConnection,
}

impl Shop {
    async fn open() -> Self {
        let path = support::dir_of_this_test().join("shop.db");
        let broker = SqliteBroker::builder(&path)
            .clock(Arc::new(SystemClock))
            .open()
            .await
            .unwrap();
        let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        connection
            .execute("CREATE TABLE orders (item TEXT NOT NULL UNIQUE)")
            .await
            .unwrap();
        let client = Client::new(broker.clone());
        Shop {
            broker,
            client,
            connection,
        }
    }

    async fn orders(&mut self) -> i64 {
        let row = sqlx::query("SELECT count(*) FROM orders")
            .fetch_one(&mut self.connection)
            .await;
        row.unwrap().get(0)
    }

    async fn state(&self, id: &str) -> Option<TaskState> {
        let task = self
            .broker
            .task(&QueueName::default_queue(), &TaskId::new(id).unwrap())
            .await;
        task.unwrap().map(|info| info.state)
    }
}

fn ship(id: &str) -> asynq_core::TaskBuilder<RawTask> {
    RawTask::new("order:ship", "teapot").task_id(id)
}

#[tokio::test]
async fn a_task_is_there_when_the_transaction_is_committed() {
    let mut shop = Shop::open().await;
    let mut transaction = shop.connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    transaction
        .execute("INSERT INTO orders VALUES ('teapot')")
        .await
        .unwrap();

    let info = shop.client.enqueue_in(&mut transaction, ship("a")).await.unwrap();
    assert_eq!(info.state, TaskState::Pending);
    let before = shop
        .broker
        .task(&QueueName::default_queue(), info.id())
        .await
        .unwrap();
    assert_eq!(before, None, "not before the commit");
    transaction.commit().await.unwrap();

    assert_eq!(shop.state("a").await, Some(TaskState::Pending));
    assert_eq!(shop.orders().await, 1);
}

#[tokio::test]
async fn a_task_is_not_there_when_the_transaction_is_rolled_back() {
    let mut shop = Shop::open().await;
    let mut transaction = shop.connection.begin().await.unwrap();
    transaction
        .execute("INSERT INTO orders VALUES ('teapot')")
        .await
        .unwrap();
    let task = ship("a").unique(Duration::from_secs(60));
    shop.client
        .enqueue_in(&mut transaction, task.clone())
        .await
        .unwrap();

    transaction.rollback().await.unwrap();

    assert_eq!((shop.state("a").await, shop.orders().await), (None, 0));
    shop.client
        .enqueue(task)
        .await
        .expect("its uniqueness lock is free");
}

#[tokio::test]
async fn a_task_that_is_refused_leaves_the_rest_of_the_transaction() {
    let mut shop = Shop::open().await;
    shop.client
        .enqueue(ship("a").unique(Duration::from_secs(60)))
        .await
        .unwrap();
    let mut transaction = shop.connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    transaction
        .execute("INSERT INTO orders VALUES ('teapot')")
        .await
        .unwrap();

    let taken = shop
        .client
        .enqueue_in(&mut transaction, ship("a"))
        .await
        .unwrap_err();
    let duplicate = ship("b").unique(Duration::from_secs(60));
    let duplicate = shop
        .client
        .enqueue_in(&mut transaction, duplicate)
        .await
        .unwrap_err();
    transaction.commit().await.unwrap();

    assert!(taken.is_id_conflict(), "{taken:?}");
    assert!(duplicate.is_duplicate(), "{duplicate:?}");
    assert_eq!((shop.state("b").await, shop.orders().await), (None, 1));
}

#[tokio::test]
async fn the_limits_of_the_client_hold() {
    let mut shop = Shop::open().await;
    let client = shop.client.clone().max_payload(3);

    let error = client
        .enqueue_in(&mut shop.connection, ship("a"))
        .await
        .unwrap_err();

    assert!(matches!(error, EnqueueError::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_without_tables_is_refused_with_advice() {
    let path = support::dir_of_this_test().join("other.db");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let shop = Shop::open().await;

    let error = shop
        .client
        .enqueue_in(&mut connection, ship("a"))
        .await
        .unwrap_err();

    let EnqueueError::Broker {
        source: BrokerError::Config(advice),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(advice.contains("SqliteBroker::open"), "{advice}");
}

#[tokio::test]
async fn a_server_is_told_of_a_task_that_came_in_a_transaction() {
    let mut shop = Shop::open().await;
    let (signals, _cancels) = Signals::new();
    let signals = Arc::new(signals);
    let watching = tokio::spawn({
        let (broker, signals) = (shop.broker.clone(), signals.clone());
        async move { broker.watch(&[QueueName::default_queue()], &signals).await }
    });
    tokio::time::timeout(PATIENCE, signals.pending()).await.unwrap();
    tokio::time::timeout(PATIENCE, signals.due()).await.unwrap();

    for id in ["a", "b"] {
        let mut transaction = shop.connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        shop.client.enqueue_in(&mut transaction, ship(id)).await.unwrap();
        transaction.commit().await.unwrap();
        tokio::time::timeout(PATIENCE, signals.pending())
            .await
            .expect("a wake by the client's");
    }
    let later = ship("c").process_in(Duration::from_secs(60));
    shop.broker.enqueue_in(&mut shop.connection, later).await.unwrap();
    tokio::time::timeout(PATIENCE, signals.due())
        .await
        .expect("a wake by the broker's");
    watching.abort();
}
