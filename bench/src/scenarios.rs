//! What is measured.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use asynq_server::prelude::*;
use asynq_server::{Broker, QueueName, Timestamp};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::Error;
use crate::observe::{Cost, listen, observe};
use crate::report::{Figure, figure, percentile};
use crate::store::Setting;

type Measured = Pin<Box<dyn Future<Output = Result<Vec<Figure>, Error>> + Send>>;
type Scenario = fn(Setting) -> Measured;

/// Measures that look into Redis, or write to it as Go does.
pub(crate) const REDIS_ONLY: [&str; 2] = ["go-pick-up", "idle"];

/// Name, measure, and what it measures.
pub(crate) const SCENARIOS: &[(&str, Scenario, &str)] = &[
    (
        "enqueue-1",
        |s| Box::pin(enqueue(s, 1)),
        "one client, one task at a time",
    ),
    (
        "enqueue-64",
        |s| Box::pin(enqueue(s, 64)),
        "one client, 64 tasks in flight",
    ),
    (
        "enqueue-batch",
        |s| Box::pin(enqueue_batches(s, 1000)),
        "one client, batches of 1,000",
    ),
    (
        "enqueue-hundred",
        |s| Box::pin(enqueue_batches(s, 100)),
        "one client, batches of 100",
    ),
    (
        "process-1",
        |s| Box::pin(process(s, 1)),
        "a backlog, concurrency 1",
    ),
    (
        "process-10",
        |s| Box::pin(process(s, 10)),
        "a backlog, concurrency 10",
    ),
    (
        "process-100",
        |s| Box::pin(process(s, 100)),
        "a backlog, concurrency 100",
    ),
    (
        "end-to-end",
        |s| Box::pin(end_to_end(s)),
        "64 in flight and concurrency 10 at the same time",
    ),
    (
        "pick-up",
        |s| Box::pin(pick_up(s)),
        "from enqueue to handler, server idle",
    ),
    (
        "far-pick-up",
        |s| Box::pin(far_pick_up(s)),
        "from enqueue in another process to handler, server idle",
    ),
    (
        "go-pick-up",
        |s| Box::pin(go_pick_up(s)),
        "from the commands of a Go client to handler, server idle",
    ),
    (
        "scheduled",
        |s| Box::pin(scheduled(s, 200, Duration::from_secs(3))),
        "how late scheduled tasks start",
    ),
    ("idle", |s| Box::pin(idle(s)), "commands of an idle server"),
];

const PAYLOAD: [u8; 100] = [b'x'; 100];

pub(crate) fn task() -> RawTask {
    RawTask::new("bench:task", &PAYLOAD[..])
}

pub(crate) async fn enqueue(setting: Setting, in_flight: usize) -> Result<Vec<Figure>, Error> {
    let client = setting.client().await?;
    client.enqueue(task()).await?;
    let tasks = setting.tasks_at_once(in_flight);
    let begun = Instant::now();
    let mut answers =
        futures::stream::iter((0..tasks).map(|_| client.enqueue(task()))).buffer_unordered(in_flight);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(vec![figure(
        "enqueued",
        "tasks/s",
        tasks as f64 / begun.elapsed().as_secs_f64(),
    )])
}

async fn enqueue_batches(setting: Setting, size: usize) -> Result<Vec<Figure>, Error> {
    let client = setting.client().await?;
    let begun = Instant::now();
    enqueue_in_batches(&client, setting.tasks, size).await?;
    Ok(vec![figure(
        "enqueued",
        "tasks/s",
        setting.tasks as f64 / begun.elapsed().as_secs_f64(),
    )])
}

pub(crate) async fn enqueue_in_batches(client: &Client, tasks: usize, size: usize) -> Result<(), Error> {
    for begin in (0..tasks).step_by(size) {
        for answer in client
            .enqueue_all((begin..tasks.min(begin + size)).map(|_| task()))
            .await
        {
            answer?;
        }
    }
    Ok(())
}

/// Counts the tasks that are handled, and tells when there have been enough.
#[derive(Clone)]
struct Counter {
    left: Arc<AtomicUsize>,
    done: mpsc::UnboundedSender<()>,
}

impl Counter {
    fn of(tasks: usize) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (done, receiver) = mpsc::unbounded_channel();
        (
            Counter {
                left: Arc::new(AtomicUsize::new(tasks)),
                done,
            },
            receiver,
        )
    }

    fn handler(self) -> impl Handler {
        move |_: Context, _: RawTask| {
            if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                let _ = self.done.send(());
            }
            async {}
        }
    }
}

pub(crate) async fn process(setting: Setting, concurrency: usize) -> Result<Vec<Figure>, Error> {
    let tasks = setting.tasks_at_once(concurrency);
    let broker = setting.broker().await?;
    enqueue_in_batches(&Client::from_shared(broker.clone()), tasks, 1000).await?;
    let (counter, mut done) = Counter::of(tasks);
    let server = Server::builder(broker.clone())
        .concurrency(concurrency)
        .handle("bench:", counter.handler())
        .build()?;
    let mut redis = setting.redis().await?;

    let before = observe(redis.as_mut()).await?;
    let begun = Instant::now();
    server.start().await?;
    done.recv().await;
    // Processed means that the outcome is stored too.
    while processed(&broker).await? < tasks as u64 {
        tokio::task::yield_now().await;
    }
    let elapsed = begun.elapsed();
    let cost = before.until(&observe(redis.as_mut()).await?);
    server.shutdown().await;

    Ok(throughput(tasks, elapsed.as_secs_f64(), &cost, redis.is_some()))
}

pub(crate) fn throughput(tasks: usize, seconds: f64, cost: &Cost, is_redis: bool) -> Vec<Figure> {
    let per_task = |value: f64| value / tasks as f64;
    let mut figures = vec![figure("processed", "tasks/s", tasks as f64 / seconds)];
    if let Some(cpu) = cost.worker_cpu {
        figures.push(figure("CPU of the worker", "µs/task", per_task(cpu * 1e6)));
    }
    if is_redis {
        figures.extend([
            figure("CPU of Redis", "µs/task", per_task(cost.redis_cpu * 1e6)),
            figure("script calls", "/task", per_task(cost.scripts)),
            figure("commands, in scripts too", "/task", per_task(cost.commands)),
        ]);
    }
    figures
}

async fn processed(broker: &Arc<dyn Broker>) -> Result<u64, Error> {
    let info = broker.queue_info(&QueueName::default_queue()).await?;
    Ok(info.map_or(0, |info| info.processed_total))
}

async fn end_to_end(setting: Setting) -> Result<Vec<Figure>, Error> {
    let (counter, mut done) = Counter::of(setting.tasks);
    let broker = setting.broker().await?;
    let server = Server::builder(broker.clone())
        .concurrency(10)
        .handle("bench:", counter.handler())
        .build()?;
    server.start().await?;
    let client = setting.client_beside(&broker).await?;
    let begun = Instant::now();
    let mut answers =
        futures::stream::iter((0..setting.tasks).map(|_| client.enqueue(task()))).buffer_unordered(64);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    done.recv().await;
    let elapsed = begun.elapsed();
    server.shutdown().await;
    Ok(vec![figure(
        "enqueued and processed",
        "tasks/s",
        setting.tasks as f64 / elapsed.as_secs_f64(),
    )])
}

async fn pick_up(setting: Setting) -> Result<Vec<Figure>, Error> {
    let broker = setting.broker().await?;
    let client = setting.client_beside(&broker).await?;
    let store = |_| {
        let client = client.clone();
        async move { Ok(client.enqueue(task()).await.map(drop)?) }
    };
    latencies(broker, store).await
}

/// Names the broker that this process is to enqueue to, if it was started for that.
const FAR_CLIENT: &str = "ASYNQ_BENCH_ENQUEUE_TO";
const FAR_SAMPLES: usize = 200;

pub(crate) fn far_client() -> Option<String> {
    std::env::var(FAR_CLIENT).ok()
}

/// What the other process does. The payload tells when it began.
pub(crate) async fn enqueue_from_afar(url: &str) -> Result<(), Error> {
    let broker = connect(url).await?;
    let client = Client::from_shared(broker.clone());
    for n in 0..FAR_SAMPLES {
        // Not in step with whoever looks every so many milliseconds.
        tokio::time::sleep(Duration::from_millis(20 + 7 * n as u64 % 23)).await;
        let begun = broker.now().unix_micros().to_string();
        client.enqueue(RawTask::new("bench:task", begun)).await?;
    }
    Ok(())
}

async fn far_pick_up(setting: Setting) -> Result<Vec<Figure>, Error> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let broker = setting.broker().await?;
    let clock = broker.clone();
    let server = Server::builder(broker)
        .concurrency(10)
        .handle("bench:", move |_: Context, task: RawTask| {
            let begun = std::str::from_utf8(&task.payload)
                .ok()
                .and_then(|text| text.parse::<i64>().ok());
            let _ = started.send((clock.now().unix_micros() - begun.unwrap_or(0)) as f64 / 1e3);
            async {}
        })
        .build()?;
    server.start().await?;
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .env(FAR_CLIENT, setting.url())
        .spawn()?;
    let mut latencies = Vec::with_capacity(FAR_SAMPLES);
    for _ in 0..FAR_SAMPLES {
        latencies.push(starts.recv().await.ok_or("the server ended")?);
    }
    child.wait()?;
    server.shutdown().await;
    Ok(percentiles(&mut latencies))
}

/// The task is stored by a script such as Go's client sends.
async fn go_pick_up(setting: Setting) -> Result<Vec<Figure>, Error> {
    let script = redis::Script::new(
        "redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3])
         redis.call('LPUSH', KEYS[2], ARGV[2])
         return 1",
    );
    let mut redis = setting.redis().await?.ok_or("Redis only")?;
    redis::cmd("SADD")
        .arg("asynq:queues")
        .arg("default")
        .exec_async(&mut redis)
        .await?;
    let store = |n| {
        let (script, mut redis) = (script.clone(), redis.clone());
        async move {
            let id = format!("task-{n:04}");
            let mut call = script.key(format!("asynq:{{default}}:t:{id}"));
            call.key("asynq:{default}:pending")
                .arg(go_message(&id))
                .arg(id)
                .arg(1);
            Ok(call.invoke_async::<()>(&mut redis).await?)
        }
    };
    latencies(setting.broker().await?, store).await
}

/// Type, payload, id, queue, 25 retries, half an hour, as protobuf.
fn go_message(id: &str) -> Vec<u8> {
    let mut message = Vec::new();
    for (field, bytes) in [
        (1, b"bench:task".as_slice()),
        (2, &PAYLOAD),
        (3, id.as_bytes()),
        (4, b"default"),
    ] {
        message.extend([field << 3 | 2, bytes.len() as u8]);
        message.extend(bytes);
    }
    message.extend([5 << 3, 25, 8 << 3, 0x88, 0x0e]);
    message
}

/// From before a task is stored to its handler, one task after the other.
async fn latencies<F: Future<Output = Result<(), Error>>>(
    broker: Arc<dyn Broker>,
    store: impl Fn(usize) -> F,
) -> Result<Vec<Figure>, Error> {
    const SAMPLES: usize = 200;
    let (started, mut starts) = mpsc::unbounded_channel();
    let server = Server::builder(broker)
        .concurrency(10)
        .handle("bench:", move |_: Context, _: RawTask| {
            let _ = started.send(Instant::now());
            async {}
        })
        .build()?;
    server.start().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut latencies = Vec::with_capacity(SAMPLES);
    for n in 0..SAMPLES {
        let begun = Instant::now();
        store(n).await?;
        let started = starts.recv().await.ok_or("the server ended")?;
        latencies.push((started - begun).as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.shutdown().await;
    Ok(percentiles(&mut latencies))
}

pub(crate) fn percentiles(samples: &mut [f64]) -> Vec<Figure> {
    vec![
        figure("p50", "ms", percentile(samples, 0.50)),
        figure("p95", "ms", percentile(samples, 0.95)),
        figure("p99", "ms", percentile(samples, 0.99)),
    ]
}

/// The tasks are due evenly over a while.
pub(crate) async fn scheduled(
    setting: Setting,
    samples: usize,
    spread: Duration,
) -> Result<Vec<Figure>, Error> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let broker = setting.broker().await?;
    let clock = broker.clone();
    let server = Server::builder(broker)
        .concurrency(10)
        .handle("bench:", move |cx: Context, _: RawTask| {
            let _ = started.send((cx.task_id().to_string(), clock.now()));
            async {}
        })
        .build()?;
    server.start().await?;
    let client = setting.client().await?;
    let mut due = std::collections::HashMap::<String, Timestamp>::new();
    for n in 0..samples {
        let delay = Duration::from_millis(300) + spread * n as u32 / samples as u32;
        let info = client.enqueue(task().process_in(delay)).await?;
        due.insert(
            info.id().to_string(),
            info.next_process_at.ok_or("not scheduled")?,
        );
    }
    let mut lateness = Vec::with_capacity(samples);
    for _ in 0..samples {
        let (id, at) = starts.recv().await.ok_or("the server ended")?;
        let due = due.get(&id).ok_or("a task that was not scheduled")?;
        lateness.push((at.unix_micros() - due.unix_micros()) as f64 / 1e3);
    }
    server.shutdown().await;
    Ok(lateness_of(&mut lateness))
}

pub(crate) const EARLIEST: &str = "earliest";

pub(crate) fn lateness_of(samples: &mut [f64]) -> Vec<Figure> {
    let mut figures = vec![figure(EARLIEST, "ms", percentile(samples, 0.0))];
    figures.extend(percentiles(samples));
    figures
}

pub(crate) async fn idle(setting: Setting) -> Result<Vec<Figure>, Error> {
    let broker = setting.broker().await?;
    // The queue exists and is empty.
    let (counter, mut done) = Counter::of(1);
    let server = Server::builder(broker.clone())
        .concurrency(10)
        .handle("bench:", counter.handler())
        .build()?;
    server.start().await?;
    Client::from_shared(broker).enqueue(task()).await?;
    done.recv().await;
    let figures = idle_commands(&setting).await;
    server.shutdown().await;
    figures
}

/// What is sent to Redis while nothing happens.
pub(crate) async fn idle_commands(setting: &Setting) -> Result<Vec<Figure>, Error> {
    const WHILE: Duration = Duration::from_secs(20);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (sent, inside) = listen(&redis::Client::open(setting.url())?, WHILE).await?;
    let per_second = |commands: &std::collections::BTreeMap<String, u64>| {
        commands.values().sum::<u64>() as f64 / WHILE.as_secs_f64()
    };
    Ok(vec![
        figure("commands sent", "/s", per_second(&sent)),
        figure("commands inside scripts", "/s", per_second(&inside)),
    ])
}
