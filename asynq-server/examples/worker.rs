//! A worker process on Redis, for the tasks that the example `enqueue` makes. Ends with ctrl-c.
//!
//! ```text
//! ASYNQ_URL=redis://127.0.0.1:6379 cargo run --example worker
//! ```

use std::time::Duration;

use asynq_server::prelude::*;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let url = std::env::var("ASYNQ_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());

    Server::builder(connect(&url).await?)
        .concurrency(std::env::var("CONCURRENCY").map_or(Ok(10), |text| text.parse())?)
        .queues([("critical", 6), ("default", 3), ("low", 1)])
        .handle("email:", |cx: Context, task: RawTask| async move {
            println!("{} {} attempt {}", task.task_type, cx.task_id(), cx.retried() + 1);
            Ok::<(), TaskError>(())
        })
        // As slow as its payload says: `500` is half a second.
        .handle("sleep", |cx: Context, task: RawTask| async move {
            let millis: u64 = std::str::from_utf8(&task.payload)?.trim().parse()?;
            println!("started {} attempt {}", cx.task_id(), cx.retried() + 1);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            println!("finished {}", cx.task_id());
            Ok::<(), TaskError>(())
        })
        .run()
        .await?;
    Ok(())
}
