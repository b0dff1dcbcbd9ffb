//! A scheduler with entries that are known beforehand. Start it as often as you like: each tick is enqueued once.
//!
//! ```text
//! ASYNQ_URL=redis://127.0.0.1:6379 cargo run -p asynq-scheduler --example scheduler -- '@every 1s' '* * * * *'
//! ASYNQ_URL=sqlite://tasks.db cargo run -p asynq-scheduler --example scheduler
//! ```
//!
//! Without `ASYNQ_URL` it keeps the tasks in memory. Each spec enqueues tasks of the type `tick`, with the spec as payload;
//! without any there are three examples. Ends with ctrl-c.

use std::time::Duration;

use asynq_core::{Configure, RawTask, TaskOptions};
use asynq_scheduler::{Entry, Missed, Scheduler};
use asynq_server::connect;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let url = std::env::var("ASYNQ_URL").unwrap_or_else(|_| "memory://".to_owned());
    let specs: Vec<String> = std::env::args().skip(1).collect();

    let scheduler = Scheduler::builder(connect(&url).await?)
        .location("Europe/Paris".parse()?)
        .post_enqueue(|tick, answer| match answer {
            Ok(info) => println!("{} enqueued {}", tick.spec, info.id()),
            Err(error) => println!("{} not enqueued: {error}", tick.spec),
        })
        .build();

    for spec in &specs {
        let entry = Entry::new(spec, RawTask::new("tick", spec.clone()));
        scheduler.register_entry(entry.missed(Missed::RunAll { limit: 1000 }))?;
    }
    if specs.is_empty() {
        scheduler.register("@every 2s", RawTask::new("cache:refresh", ""), TaskOptions::new())?;
        let low = TaskOptions::new().queue("low").timeout(Duration::from_secs(600));
        scheduler.register("0 3 * * *", RawTask::new("report:nightly", ""), low)?;
        // A name keeps the entry the same when its spec changes; a night without a scheduler is made up for.
        let invoices = Entry::new(
            "TZ=America/New_York 30 9 1 * *",
            RawTask::new("invoices:send", ""),
        )
        .name("monthly invoices")
        .missed(Missed::RunOnce);
        scheduler.register_entry(invoices)?;
    }
    scheduler.run().await?;
    Ok(())
}
