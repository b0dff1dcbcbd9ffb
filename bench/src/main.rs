//! Measures the queue on Redis. `cargo xtask bench --help` tells how.

mod observe;
mod report;
mod scenarios;

use std::process::ExitCode;

use asynq_fixtures::RedisServer;

use report::Report;
use scenarios::{SCENARIOS, Setting};

const USAGE: &str = "\
cargo xtask bench [OPTIONS] [NAME…]

Measures what NAMEs begin with, or everything, on a Redis of its own without persistence.
Payloads have 100 bytes and the handler does nothing. Each measure is repeated; shown are
the median and, in brackets, the lowest and the highest.

  --json            one JSON object per measure instead of a table
  --repetitions N   how often each measure is taken (5)
  --tasks N         how many tasks in a measure of throughput (20000)
  --redis URL       a Redis that may be emptied, instead of one of its own
  --list            names the measures
";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let Some(wish) = Wish::parse(std::env::args().skip(1))? else {
        print!("{USAGE}");
        return Ok(());
    };
    if wish.list {
        for (name, _, about) in SCENARIOS {
            println!("{name:<16} {about}");
        }
        return Ok(());
    }
    let own = if wish.redis.is_none() {
        Some(RedisServer::start())
    } else {
        None
    };
    let url = wish
        .redis
        .clone()
        .or_else(|| own.as_ref().map(RedisServer::url))
        .ok_or("no Redis")?;
    let mut report = Report::new(wish.json);
    for (name, scenario, about) in SCENARIOS {
        if !wish.names.is_empty() && !wish.names.iter().any(|wanted| name.starts_with(wanted.as_str())) {
            continue;
        }
        let setting = Setting {
            url: url.clone(),
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
    redis: Option<String>,
    names: Vec<String>,
}

impl Wish {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, Error> {
        let mut wish = Wish {
            json: false,
            list: false,
            repetitions: 5,
            tasks: 20_000,
            redis: None,
            names: Vec::new(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--json" => wish.json = true,
                "--list" => wish.list = true,
                "--repetitions" => wish.repetitions = value()?.parse::<usize>()?.max(1),
                "--tasks" => wish.tasks = value()?.parse::<usize>()?.max(1000),
                "--redis" => wish.redis = Some(value()?),
                "--help" | "-h" => return Ok(None),
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}\n\n{USAGE}").into());
                }
                name => wish.names.push(name.to_owned()),
            }
        }
        Ok(Some(wish))
    }
}
