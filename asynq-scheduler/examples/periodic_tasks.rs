//! Periodic tasks from a YAML file that changes while they run: entries are added, changed and removed without a restart,
//! and a file that makes no sense changes nothing.
//!
//! ```text
//! cargo run -p asynq-scheduler --example periodic_tasks              # edits a file of its own, and tells what happens
//! ASYNQ_URL=sqlite://tasks.db cargo run -p asynq-scheduler --example periodic_tasks -- tasks.yaml
//! ```

use std::path::Path;
use std::time::Duration;

use asynq_scheduler::{PeriodicTasks, Scheduler, YamlFile};
use asynq_server::connect;
use tracing_subscriber::EnvFilter;

/// What the file holds, one after the other.
const EDITS: [(&str, &str); 5] = [
    (
        "one entry",
        "configs:\n  - {cronspec: '@every 1s', task_type: 'feed:poll'}\n",
    ),
    (
        "a second one is added",
        "configs:\n  - {cronspec: '@every 1s', task_type: 'feed:poll'}\n  - name: mail\n    cronspec: '@every 2s'\n    \
         task_type: 'mail:digest'\n    payload: {to: all}\n    options: {queue: low, timeout: 30s}\n",
    ),
    (
        "the first is removed, the second changed",
        "configs:\n  - {name: mail, cronspec: '@every 1s', task_type: 'mail:digest'}\n",
    ),
    (
        "the file is broken: what there was goes on",
        "configs:\n  - name: mail\n    cronspec: '@every 1s'\n    task_tipe: 'mail:digest'\n",
    ),
    (
        "an entry makes no sense: the one it was goes on",
        "configs:\n  - {name: mail, cronspec: '0 25 * * *', task_type: 'mail:digest'}\n",
    ),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let url = std::env::var("ASYNQ_URL").unwrap_or_else(|_| "memory://".to_owned());
    let scheduler = Scheduler::builder(connect(&url).await?)
        .post_enqueue(|tick, answer| {
            if let Ok(info) = answer {
                println!("  {} to {}: {}", info.message.task_type, info.queue(), tick.spec);
            }
        })
        .build();
    match std::env::args().nth(1) {
        Some(path) => Ok(PeriodicTasks::new(scheduler, YamlFile::new(path)).run().await?),
        None => demonstrate(scheduler).await,
    }
}

async fn demonstrate(scheduler: Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("periodic-tasks-{}.yaml", std::process::id()));
    let edit = |(what, text): (&str, &str)| {
        println!("\n{what}");
        std::fs::write(Path::new(&path), text)
    };
    edit(EDITS[0])?;
    let tasks = PeriodicTasks::new(scheduler, YamlFile::new(&path));
    tasks.start().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for step in &EDITS[1..] {
        edit(*step)?;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    tasks.shutdown().await;
    std::fs::remove_file(&path)?;
    Ok(())
}
