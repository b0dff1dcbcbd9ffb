//! Enqueueing within the caller's own transaction.

use async_trait::async_trait;
use asynq_core::broker::{NewTask, Receipt};
use asynq_core::{
    BrokerError, Client, Clock, EnqueueError, IntoTask, Now, SystemClock, TaskInfo, Timestamp, answer_for,
};
use sqlx::{Executor, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::enqueue::store;
use crate::error::broker_error;
use crate::schema;

const OPERATION: &str = "enqueue in a transaction";

/// Enqueues within a transaction of the caller's: with what else the transaction changes, or not at all.
///
/// The connection must be to a file that a [`SqliteBroker`] has opened once. Workers see the task some milliseconds
/// after the commit.
///
/// ```
/// use asynq_core::{Client, Inspect, QueueName, RawTask};
/// use asynq_sqlite::{EnqueueIn, SqliteBroker};
/// use asynq_sqlite::sqlx::{self, Connection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("asynq-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let path = dir.join("shop.db");
/// let broker = SqliteBroker::open(&path).await?;
/// let client = Client::new(broker.clone());
///
/// let mut shop = sqlx::SqliteConnection::connect(path.to_str().ok_or("path")?).await?;
/// sqlx::query("CREATE TABLE orders (item TEXT)").execute(&mut shop).await?;
///
/// let mut transaction = shop.begin_with("BEGIN IMMEDIATE").await?;
/// sqlx::query("INSERT INTO orders VALUES ('teapot')").execute(&mut *transaction).await?;
/// client.enqueue_in(&mut transaction, RawTask::new("order:ship", "teapot")).await?;
/// transaction.commit().await?;
///
/// let info = broker.queue_info(&QueueName::default_queue()).await?.ok_or("no queue")?;
/// assert_eq!(info.pending, 1);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
///
/// # Transactions that begin with reading
///
/// Begin a transaction that writes with `BEGIN IMMEDIATE` (`connection.begin_with("BEGIN IMMEDIATE")`). A plain `BEGIN`
/// reads first and asks for the lock at its first write, and SQLite refuses that at once, whatever the busy timeout, if
/// anybody has written in between.
///
/// # Time
///
/// A [`Client`] takes the time from the system, a [`SqliteBroker`] from its clock.
#[async_trait]
pub trait EnqueueIn {
    /// Enqueues one task.
    ///
    /// # Errors
    ///
    /// As [`Client::enqueue`]. A task that was refused, and one that failed to be stored, leaves the transaction as it
    /// was; what becomes of the rest is yours to decide.
    async fn enqueue_in<T: IntoTask + Send>(
        &self,
        connection: &mut SqliteConnection,
        task: T,
    ) -> Result<TaskInfo, EnqueueError>;
}

#[async_trait]
impl EnqueueIn for Client {
    async fn enqueue_in<T: IntoTask + Send>(
        &self,
        connection: &mut SqliteConnection,
        task: T,
    ) -> Result<TaskInfo, EnqueueError> {
        let task = self.prepare(task)?;
        let receipt = store_one(connection, &task, SystemClock.now()).await;
        answer_for(task, receipt)
    }
}

/// A broker knows who watches in this process: they look closely for what the transaction brings.
#[async_trait]
impl EnqueueIn for SqliteBroker {
    async fn enqueue_in<T: IntoTask + Send>(
        &self,
        connection: &mut SqliteConnection,
        task: T,
    ) -> Result<TaskInfo, EnqueueError> {
        let task = Client::new(self.clone()).prepare(task)?;
        let receipt = store_one(connection, &task, self.now()).await;
        self.watchers().expect_change();
        answer_for(task, receipt)
    }
}

async fn store_one(
    connection: &mut SqliteConnection,
    task: &NewTask,
    now: Timestamp,
) -> Result<Receipt, BrokerError> {
    let stored = store_or_undo(connection, std::slice::from_ref(task), now).await;
    let failed = |error| broker_error(None, OPERATION, Some(&task.message.queue), error);
    match stored {
        Ok(mut receipts) => receipts.pop().ok_or_else(|| failed(sqlx::Error::RowNotFound)),
        Err(error) => {
            // Worth a look only now: nearly always there are tables.
            schema::check(connection).await?;
            Err(failed(error))
        }
    }
}

/// A savepoint keeps a task that failed midway from being committed with the rest of the transaction.
async fn store_or_undo(
    connection: &mut SqliteConnection,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<Vec<Receipt>, sqlx::Error> {
    connection.execute("SAVEPOINT asynq_enqueue").await?;
    let stored = store(connection, tasks, now).await;
    if stored.is_err() {
        // Refused if SQLite has undone the whole transaction by itself: then there is nothing left to undo.
        let _ = connection.execute("ROLLBACK TO asynq_enqueue").await;
    }
    let released = connection.execute("RELEASE asynq_enqueue").await;
    let receipts = stored?;
    released?;
    Ok(receipts)
}
