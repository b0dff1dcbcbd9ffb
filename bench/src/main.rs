//! Measures the queue on Redis and SQLite. `cargo xtask bench --help` tells how.

mod against;
mod observe;
mod report;
mod scenarios;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use report::Report;
use scenarios::{REDIS_ONLY, SCENARIOS};
use store::{Setting, Store};

const USAGE: &str = "\
cargo xtask bench [OPTIONS] [NAME…]

Measures what NAMEs begin with, or everything, on a Redis of its own without persistence
or on another broker.
Payloads have 100 bytes and the handler does nothing. Each measure is repeated; shown are
the median and, in brackets, the lowest and the highest.

  --json            one JSON object per measure instead of a table
  --repetitions N   how often each measure is taken (5)
  --tasks N         how many tasks in a measure of throughput (20000)
  --broker NAME     redis; sqlite (a file of its own under target/); sqlite-full (each commit
                    waits for the disk)
  --redis URL       a Redis that may be emptied, instead of one of its own
  --list            names the measures
  --against go      takes those measures that the real Go asynq has too for both, in turns on the
                    same Redis, and shows the ratios; needs Go and asynq's modules
";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    // On a worker thread of the runtime, as services do and as Go's goroutines are: from the main thread each call would
    // have to wake another thread and be woken by it.
    let ran = tokio::spawn(run()).await;
    match ran.unwrap_or_else(|panic| Err(panic.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    if let Some(url) = scenarios::far_client() {
        return scenarios::enqueue_from_afar(&url).await;
    }
    let Some(wish) = Wish::parse(std::env::args().skip(1))? else {
        print!("{USAGE}");
        return Ok(());
    };
    if let Some(other) = wish.against.as_deref().filter(|other| *other != "go") {
        return Err(format!("cannot compare with {other:?}, only with go\n\n{USAGE}").into());
    }
    if wish.list && wish.against.is_some() {
        against::list();
        return Ok(());
    }
    if wish.list {
        for (name, _, about) in SCENARIOS {
            println!("{name:<16} {about}");
        }
        return Ok(());
    }
    let store = Arc::new(wish.store()?);
    if wish.against.is_some() {
        if !store.is_redis() {
            return Err("Go asynq knows only Redis".into());
        }
        let go = wish
            .go
            .as_deref()
            .ok_or("run this as `cargo xtask bench`, which builds the Go program")?;
        let setting = Setting {
            store,
            tasks: wish.tasks,
        };
        return against::compare(&setting, go, wish.repetitions, wish.json, |name| wish.wants(name)).await;
    }
    let mut report = Report::new(wish.json);
    for (name, scenario, about) in SCENARIOS {
        if !wish.wants(name) {
            continue;
        }
        if REDIS_ONLY.contains(name) && !store.is_redis() {
            continue;
        }
        let setting = Setting {
            store: store.clone(),
            tasks: wish.tasks,
        };
        report.begin(name, about);
        for repetition in 1..=wish.repetitions {
            report.progress(repetition, wish.repetitions);
            setting.empty().await?;
            report.add(scenario(setting.clone()).await?);
        }
        report.finish();
    }
    Ok(())
}

struct Wish {
    json: bool,
    list: bool,
    repetitions: usize,
    tasks: usize,
    broker: String,
    redis: Option<String>,
    against: Option<String>,
    /// The program that drives Go asynq: `cargo xtask` builds it.
    go: Option<PathBuf>,
    names: Vec<String>,
}

impl Wish {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, Error> {
        let mut wish = Wish {
            json: false,
            list: false,
            repetitions: 5,
            tasks: 20_000,
            broker: "redis".into(),
            redis: None,
            against: None,
            go: None,
            names: Vec::new(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--json" => wish.json = true,
                "--list" => wish.list = true,
                "--repetitions" => wish.repetitions = value()?.parse::<usize>()?.max(1),
                "--tasks" => wish.tasks = value()?.parse::<usize>()?.max(1000),
                "--broker" => wish.broker = value()?,
                "--redis" => wish.redis = Some(value()?),
                "--against" => wish.against = Some(value()?),
                "--go" => wish.go = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}\n\n{USAGE}").into());
                }
                name => wish.names.push(name.to_owned()),
            }
        }
        Ok(Some(wish))
    }

    fn wants(&self, measure: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|begin| measure.starts_with(begin.as_str()))
    }

    fn store(&self) -> Result<Store, Error> {
        match self.broker.as_str() {
            "redis" => Ok(Store::redis(self.redis.clone())),
            "sqlite" => Store::sqlite(false),
            "sqlite-full" => Store::sqlite(true),
            other => Err(format!("unknown broker {other:?}\n\n{USAGE}").into()),
        }
    }
}
