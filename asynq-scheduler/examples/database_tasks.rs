//! Periodic tasks from a table of your own, which changes while they run: rows are added, changed and removed without a
//! restart, and a row or a database that makes no sense takes nothing away.
//!
//! ```text
//! cargo run -p asynq-scheduler --example database_tasks   # changes a table of its own, and tells what happens
//! ```
//!
//! Table and tasks are in one SQLite file here, which is deleted at the end. Any database will do, and any broker.

use std::time::Duration;

use asynq_core::{Context, Page, RawTask};
use asynq_scheduler::{Entry, PeriodicTasks, Scheduler};
use asynq_server::{Server, connect};
use sqlx::{Executor, Row, SqlitePool};
use tracing_subscriber::EnvFilter;

const TABLE: &str = "CREATE TABLE jobs (
    name      TEXT NOT NULL PRIMARY KEY,
    spec      TEXT NOT NULL,
    task_type TEXT NOT NULL,
    payload   TEXT NOT NULL
)";

/// What happens to the table, one after the other.
const CHANGES: [(&str, &str); 6] = [
    (
        "a job each second",
        "INSERT INTO jobs VALUES ('news', '@every 1s', 'feed:poll', 'news.example')",
    ),
    (
        "another one is added",
        "INSERT INTO jobs VALUES ('digest', '@every 2s', 'mail:digest', 'ann')",
    ),
    (
        "it is changed",
        "UPDATE jobs SET spec = '@every 1s', payload = 'ann, ben' WHERE name = 'digest'",
    ),
    ("the first is removed", "DELETE FROM jobs WHERE name = 'news'"),
    (
        "a spec makes no sense: the job goes on as it was",
        "UPDATE jobs SET spec = 'at noon' WHERE name = 'digest'",
    ),
    (
        "the table is gone: what there was goes on",
        "ALTER TABLE jobs RENAME TO elsewhere",
    ),
];

/// What the provider of periodic tasks is: anything that gives a list.
async fn jobs(pool: SqlitePool) -> Result<Vec<Entry>, sqlx::Error> {
    let rows = pool.fetch_all("SELECT name, spec, task_type, payload FROM jobs ORDER BY name");
    let entry = |row: sqlx::sqlite::SqliteRow| {
        let text = |column| row.try_get::<String, _>(column);
        let task = RawTask::new(text("task_type")?, text("payload")?);
        // The name says that it is the same job still when the rest changes.
        Ok(Entry::new(text("spec")?, task).name(text("name")?))
    };
    rows.await?.into_iter().map(entry).collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .init();
    let folder = std::env::temp_dir().join(format!("database-tasks-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let told = tell(&format!("sqlite://{}", folder.join("shop.db").display())).await;
    std::fs::remove_dir_all(&folder)?;
    told
}

async fn run(_: Context, task: RawTask) {
    println!("  {} {}", task.task_type, String::from_utf8_lossy(&task.payload));
}

async fn tell(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let broker = connect(url).await?;
    let pool = SqlitePool::connect(url).await?;
    pool.execute(TABLE).await?;

    let provider = {
        let pool = pool.clone();
        move || jobs(pool.clone())
    };
    let tasks =
        PeriodicTasks::new(Scheduler::new(broker.clone()), provider).sync_interval(Duration::from_secs(1));
    let server = Server::builder(broker.clone())
        .handle("feed:", run)
        .handle("mail:", run)
        .build()?;
    tasks.start().await?;
    server.start().await?;

    for (what, change) in CHANGES {
        println!("\n{what}");
        pool.execute(change).await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }

    tasks.shutdown().await;
    server.shutdown().await;
    println!("\nwhat was enqueued, by any scheduler:");
    for name in ["news", "digest"] {
        let events = broker.schedule_events(name, Page::first(100)).await?;
        println!("  {name}: {} times", events.len());
    }
    pool.close().await;
    Ok(())
}
