//! Enqueues tasks on Redis for the example `worker`.
//!
//! ```text
//! ASYNQ_URL=redis://127.0.0.1:6379 cargo run --example enqueue -- email:welcome '{"name":"Ann"}'
//! ASYNQ_URL=redis://127.0.0.1:6379 cargo run --example enqueue -- sleep 2000 --count 50 --in 1.5 --queue low
//! ```

use std::time::Duration;

use asynq_server::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("ASYNQ_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let Some(wish) = Wish::parse(std::env::args().skip(1))? else {
        println!("usage: enqueue TYPE PAYLOAD [--count N] [--in SECONDS] [--queue NAME]");
        return Ok(());
    };

    let client = Client::from_shared(connect(&url).await?);
    let tasks = (0..wish.count).map(|_| {
        let task = RawTask::new(wish.task_type.as_str(), wish.payload.clone()).queue(wish.queue.as_str());
        match wish.delay {
            Some(delay) => task.process_in(delay),
            None => task,
        }
    });
    for answer in client.enqueue_all(tasks).await {
        let info = answer?;
        println!("{} {} in {}", info.id(), info.state, info.queue());
    }
    Ok(())
}

struct Wish {
    task_type: String,
    payload: String,
    queue: String,
    count: usize,
    delay: Option<Duration>,
}

impl Wish {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, Box<dyn std::error::Error>> {
        let (Some(task_type), Some(payload)) = (args.next(), args.next()) else {
            return Ok(None);
        };
        let mut wish = Wish {
            task_type,
            payload,
            queue: "default".to_owned(),
            count: 1,
            delay: None,
        };
        while let Some(option) = args.next() {
            let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--count" => wish.count = value.parse()?,
                "--in" => wish.delay = Some(Duration::try_from_secs_f64(value.parse()?)?),
                "--queue" => wish.queue = value,
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        Ok(Some(wish))
    }
}
