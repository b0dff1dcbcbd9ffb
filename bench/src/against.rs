//! The same measures for the real Go asynq, in turns with ours on the same Redis.

use std::future::Future;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use asynq_core::{Clock, SystemClock};
use asynq_server::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use crate::Error;
use crate::observe::observe;
use crate::report::{Figure, figure, number, percentile};
use crate::scenarios;
use crate::store::Setting;

/// Takes a setting and where the Go program is.
type Measure = fn(Setting, PathBuf) -> Pin<Box<dyn Future<Output = Result<Vec<Figure>, Error>> + Send>>;

/// Name, our measure, Go's, and what they measure.
const MEASURES: &[(&str, Measure, Measure, &str)] = &[
    (
        "enqueue-1",
        |s, _| Box::pin(scenarios::enqueue(s, 1)),
        |s, go| Box::pin(go_enqueue(s, go, 1)),
        "one client, one task at a time",
    ),
    (
        "enqueue-64",
        |s, _| Box::pin(scenarios::enqueue(s, 64)),
        |s, go| Box::pin(go_enqueue(s, go, 64)),
        "one client, 64 tasks in flight",
    ),
    (
        "process-1",
        |s, _| Box::pin(scenarios::process(s, 1)),
        |s, go| Box::pin(go_process(s, go, 1)),
        "a backlog, concurrency 1",
    ),
    (
        "process-10",
        |s, _| Box::pin(scenarios::process(s, 10)),
        |s, go| Box::pin(go_process(s, go, 10)),
        "a backlog, concurrency 10",
    ),
    (
        "process-100",
        |s, _| Box::pin(scenarios::process(s, 100)),
        |s, go| Box::pin(go_process(s, go, 100)),
        "a backlog, concurrency 100",
    ),
    (
        "go-pick-up",
        |s, go| Box::pin(pick_up(s, go)),
        |s, go| Box::pin(go_pick_up(s, go)),
        "from enqueue by a Go client to handler, server idle",
    ),
    (
        "scheduled",
        |s, _| Box::pin(scenarios::scheduled(s, SCHEDULED, SPREAD)),
        |s, go| Box::pin(go_scheduled(s, go)),
        "how late scheduled tasks start, due over ten seconds",
    ),
    (
        "idle",
        |s, _| Box::pin(scenarios::idle(s)),
        |s, go| Box::pin(go_idle(s, go)),
        "commands of an idle server",
    ),
];

const PICKED_UP: usize = 50;
const SCHEDULED: usize = 200;
/// Twice as long as Go waits before it looks for tasks that are due.
const SPREAD: Duration = Duration::from_secs(10);

pub(crate) fn list() {
    for (name, _, _, about) in MEASURES {
        println!("{name:<16} {about}");
    }
}

/// Takes those measures that are wanted, each repetition first for ours, then for Go.
pub(crate) async fn compare(
    setting: &Setting,
    go: &Path,
    repetitions: usize,
    is_json: bool,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    if !is_json {
        println!(
            "{:<16} {:<24} {:>10} {:>10} {:>8} {:>17}  unit",
            "measure", "figure", "ours", "Go", "ours/Go", "(lowest–highest)"
        );
    }
    for (name, ours, theirs, about) in MEASURES {
        if !is_wanted(name) {
            continue;
        }
        if !is_json {
            println!("\n{name}: {about}");
        }
        let mut pairs = Vec::new();
        for repetition in 1..=repetitions {
            progress(&format!("{name} {repetition}/{repetitions} …"));
            setting.empty().await?;
            let of_ours = ours(setting.clone(), go.to_owned()).await?;
            setting.empty().await?;
            let of_go = theirs(setting.clone(), go.to_owned()).await?;
            pairs.push((of_ours, of_go));
        }
        progress("");
        show(name, &pairs, is_json);
    }
    Ok(())
}

fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{text}\x1b[K");
    }
}

/// Figures that both have. The ratio is that of neighbours in time, so that a noisy machine harms it less.
fn show(name: &str, pairs: &[(Vec<Figure>, Vec<Figure>)], is_json: bool) {
    let value_of = |figures: &[Figure], name: &str| {
        let found = figures.iter().find(|figure| figure.name == name);
        found.map_or(f64::NAN, |figure| figure.value)
    };
    for Figure { name: of, unit, .. } in pairs.first().map(|pair| &*pair.0).unwrap_or_default() {
        let mut ours: Vec<f64> = pairs.iter().map(|pair| value_of(&pair.0, of)).collect();
        let mut theirs: Vec<f64> = pairs.iter().map(|pair| value_of(&pair.1, of)).collect();
        let mut ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(our, their)| our / their).collect();
        let medians = [percentile(&mut ours, 0.5), percentile(&mut theirs, 0.5)];
        let ratio = percentile(&mut ratios, 0.5);
        let (lowest, highest) = (ratios[0], ratios[ratios.len() - 1]);
        // Of what can be early there is no ratio.
        let has_ratio = lowest.is_finite() && highest.is_finite() && *of != scenarios::EARLIEST;
        if is_json {
            let object = json!({
                "measure": name,
                "figure": of,
                "unit": unit,
                "ours": {"median": medians[0], "values": ours},
                "go": {"median": medians[1], "values": theirs},
                "ratio": has_ratio.then(|| json!({"median": ratio, "min": lowest, "max": highest})),
            });
            println!("{object}");
            continue;
        }
        let (ratio, range) = if has_ratio {
            (
                precise(ratio),
                format!("({}–{})", precise(lowest), precise(highest)),
            )
        } else {
            ("–".to_owned(), String::new())
        };
        let [our, their] = medians.map(number);
        println!(
            "{:<16} {of:<24} {our:>10} {their:>10} {ratio:>8} {range:>17}  {unit}",
            ""
        );
    }
}

/// Two digits that matter, also of what is far below one.
fn precise(ratio: f64) -> String {
    match ratio {
        small if small < 0.1 => format!("{small:.4}"),
        _ => number(ratio),
    }
}

/// The Go program while it takes a measure. It is killed when this is dropped.
struct Go {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

/// What the Go program says of a measure of throughput.
#[derive(Deserialize)]
struct Throughput {
    seconds: f64,
    cpu: f64,
}

impl Go {
    /// Starts a server that reports how late each task is, as its payload tells.
    async fn serve(program: &Path, setting: &Setting) -> Result<Self, Error> {
        Self::start(program, setting, "serve", &[]).await
    }

    /// Starts a client that puts times in payloads, for [`Go::serve`] or us.
    async fn stamp(program: &Path, setting: &Setting, tasks: usize, spread: Duration) -> Result<Self, Error> {
        let spread = format!("{}ms", spread.as_millis());
        let options = [("-tasks", tasks.to_string()), ("-spread", spread)];
        Self::start(program, setting, "stamp", &options).await
    }

    /// Starts the program and waits until it is ready.
    async fn start(
        program: &Path,
        setting: &Setting,
        measure: &str,
        options: &[(&str, String)],
    ) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.args(["bench", "-url", &setting.url()]);
        for (name, value) in options {
            command.args([name, value.as_str()]);
        }
        command.arg(measure);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut go = Go { child, lines };
        let _ready: String = go.next().await?;
        Ok(go)
    }

    fn begin(&mut self) -> Result<(), Error> {
        let mut input = self.child.stdin.as_ref().ok_or("no input")?;
        Ok(input.write_all(b"\n")?)
    }

    async fn next<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let line = self.lines.recv().await.ok_or("the Go program has failed")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// What the server reports next, in milliseconds.
    async fn lateness(&mut self, tasks: usize) -> Result<Vec<f64>, Error> {
        let mut all = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            all.push(self.next::<f64>().await? / 1e6);
        }
        Ok(all)
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn go_enqueue(setting: Setting, program: PathBuf, in_flight: usize) -> Result<Vec<Figure>, Error> {
    let tasks = setting.tasks_at_once(in_flight);
    let options = [
        ("-tasks", tasks.to_string()),
        ("-in-flight", in_flight.to_string()),
    ];
    let mut go = Go::start(&program, &setting, "enqueue", &options).await?;
    go.begin()?;
    let took: Throughput = go.next().await?;
    Ok(vec![figure("enqueued", "tasks/s", tasks as f64 / took.seconds)])
}

/// The backlog is the same as for ours.
async fn go_process(setting: Setting, program: PathBuf, concurrency: usize) -> Result<Vec<Figure>, Error> {
    let tasks = setting.tasks_at_once(concurrency);
    scenarios::enqueue_in_batches(&setting.client().await?, tasks, 1000).await?;
    let options = [
        ("-tasks", tasks.to_string()),
        ("-concurrency", concurrency.to_string()),
    ];
    let mut go = Go::start(&program, &setting, "process", &options).await?;
    let mut redis = setting.redis().await?;

    let before = observe(redis.as_mut()).await?;
    go.begin()?;
    let took: Throughput = go.next().await?;
    let mut cost = before.until(&observe(redis.as_mut()).await?);
    cost.worker_cpu = Some(took.cpu);
    Ok(scenarios::throughput(tasks, took.seconds, &cost, true))
}

async fn pick_up(setting: Setting, program: PathBuf) -> Result<Vec<Figure>, Error> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let server = Server::builder(setting.broker().await?)
        .concurrency(10)
        .handle("bench:", move |_: Context, task: RawTask| {
            let now = SystemClock.now().unix_micros() as f64 / 1e3;
            let stamp = std::str::from_utf8(&task.payload)
                .ok()
                .and_then(|text| text.parse::<f64>().ok());
            let _ = started.send(now - stamp.unwrap_or(0.0) / 1e6);
            async {}
        })
        .build()?;
    server.start().await?;
    let mut client = Go::stamp(&program, &setting, PICKED_UP, Duration::ZERO).await?;
    client.begin()?;
    let mut latencies = Vec::with_capacity(PICKED_UP);
    for _ in 0..PICKED_UP {
        latencies.push(starts.recv().await.ok_or("the server ended")?);
    }
    server.shutdown().await;
    Ok(scenarios::percentiles(&mut latencies))
}

async fn go_pick_up(setting: Setting, program: PathBuf) -> Result<Vec<Figure>, Error> {
    let mut server = Go::serve(&program, &setting).await?;
    let mut client = Go::stamp(&program, &setting, PICKED_UP, Duration::ZERO).await?;
    client.begin()?;
    Ok(scenarios::percentiles(&mut server.lateness(PICKED_UP).await?))
}

async fn go_scheduled(setting: Setting, program: PathBuf) -> Result<Vec<Figure>, Error> {
    let mut server = Go::serve(&program, &setting).await?;
    let mut client = Go::stamp(&program, &setting, SCHEDULED, SPREAD).await?;
    client.begin()?;
    Ok(scenarios::lateness_of(&mut server.lateness(SCHEDULED).await?))
}

async fn go_idle(setting: Setting, program: PathBuf) -> Result<Vec<Figure>, Error> {
    let mut server = Go::serve(&program, &setting).await?;
    // The queue exists and is empty.
    setting.client().await?.enqueue(scenarios::task()).await?;
    server.lateness(1).await?;
    scenarios::idle_commands(&setting).await
}
