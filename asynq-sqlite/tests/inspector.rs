//! What an inspector does with a file that holds tasks nobody can decode.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use asynq_core::{Client, Configure, Filter, Inspector, QueueName, RawTask, TaskList};
use asynq_sqlite::SqliteBroker;
use asynq_sqlite::sqlx::{Connection, Executor, SqliteConnection};

/// Three pending tasks, of which the second is damaged.
async fn inspector() -> Inspector {
    let path = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&path).await.unwrap();
    let client = Client::new(broker.clone());
    for id in ["a", "b", "c"] {
        client.enqueue(RawTask::new("t", "x").task_id(id)).await.unwrap();
    }
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    connection
        .execute("UPDATE asynq_tasks SET headers = 'no JSON' WHERE id = 'b'")
        .await
        .unwrap();
    Inspector::new(broker)
}

fn queue() -> QueueName {
    QueueName::default_queue()
}

#[tokio::test]
async fn a_damaged_task_is_left_out_of_pages_and_ends_none() {
    let inspector = inspector().await;

    let found = inspector
        .search(&queue(), TaskList::Pending)
        .page_size(1)
        .collect()
        .await
        .unwrap();

    let ids: Vec<_> = found.iter().map(|task| task.id().as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn a_damaged_task_is_deleted_with_the_others_by_its_id_only() {
    let inspector = inspector().await;
    let delete = |filter| {
        inspector
            .delete_all(&queue(), TaskList::Pending)
            .matching(filter)
            .finish()
    };

    let by_type = delete(Filter::new().task_type("t")).await.unwrap();
    assert_eq!((by_type.done, by_type.refused), (2, 0));
    let by_id = delete(Filter::new().id_prefix("b")).await.unwrap();
    assert_eq!((by_id.done, by_id.refused), (1, 0));

    assert_eq!(inspector.queue_info(&queue()).await.unwrap().size(), 0);
}
