//! Compares this asynq with Go's: `cargo xtask interop`.

mod differences;
mod fleet;
mod go;
mod golden;
mod hex;
mod keyspace;
mod message;
mod model;
mod oddities;
mod protobuf;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use asynq_fixtures::RedisServer;
use go::GoProgram;
use model::{Amount, Compared};

const USAGE: &str = "\
cargo xtask interop [ARGS]

  --only PART       one of: golden, oddities, cases, model, fleet; may be given several times
  --sequences N     random sequences to compare (2000)
  --length N        operations in each (50)
  --seed N          of the first sequence (1)
  --jobs N          sequences at once (2)
  --tasks N         tasks for the mixed fleet (20000)
";

struct Args {
    go: PathBuf,
    dashboard: PathBuf,
    only: Vec<String>,
    amount: Amount,
    tasks: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("worker", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return match worker::run(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("worker: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match parse(&args).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n✘ {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<Args, String> {
    let mut parsed = Args {
        go: PathBuf::new(),
        dashboard: PathBuf::new(),
        only: Vec::new(),
        amount: Amount {
            sequences: 2_000,
            length: 50,
            seed: 1,
            workers: 2,
        },
        tasks: 20_000,
    };
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let value = args
            .next()
            .ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} needs a number\n\n{USAGE}"))
        };
        match name.as_str() {
            "--go" => parsed.go = value.into(),
            "--dashboard" => parsed.dashboard = value.into(),
            "--only" => parsed.only.push(value.clone()),
            "--sequences" => parsed.amount.sequences = number()?,
            "--length" => parsed.amount.length = number()? as usize,
            "--seed" => parsed.amount.seed = number()?,
            "--jobs" => parsed.amount.workers = number()?.max(1),
            "--tasks" => parsed.tasks = number()? as usize,
            _ => return Err(format!("unknown argument {name}\n\n{USAGE}")),
        }
    }
    Ok(parsed)
}

fn run(args: &Args) -> Result<(), String> {
    let server = RedisServer::start();
    let program = GoProgram::new(&args.go, format!("127.0.0.1:{}", server.port()));
    let wanted = |part: &str| args.only.is_empty() || args.only.iter().any(|one| one == part);
    let mut compared = Compared::default();
    let mut records = 0;
    if wanted("golden") {
        step("golden records", || {
            records = golden::check(&program, args.amount.seed)?;
            Ok(())
        })?;
    }
    let mut oddities = 0;
    if wanted("oddities") {
        step("what others leave behind", || {
            oddities = oddities::check(&program)?;
            Ok(())
        })?;
    }
    if wanted("cases") {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
        step("named sequences", || {
            compared.add(&model::named(&program, folder)?);
            Ok(())
        })?;
    }
    if wanted("model") {
        step("random sequences", || {
            compared.add(&model::random(&program, args.amount)?);
            Ok(())
        })?;
    }
    let mut sailed = fleet::Sailed::default();
    if wanted("fleet") {
        step("mixed fleet", || {
            sailed = fleet::check(&program, &args.dashboard, args.tasks, args.amount.seed)?;
            Ok(())
        })?;
    }
    println!(
        "\n{} tasks with options followed; {} requests answered by asynqmon; {} tasks done while servers were killed {} \
         times, none lost, {} done twice",
        sailed.options, sailed.requests, sailed.tasks, sailed.kills, sailed.repeated
    );
    println!(
        "{records} records compared; {oddities} things left behind by others that Go stumbles over and ours does not"
    );
    summary(&compared);
    Ok(())
}

fn step(name: &str, run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("▶ {name}");
    let begun = Instant::now();
    run().map_err(|error| format!("{name}: {error}"))?;
    println!("✔ {name} ({:.1} s)", begun.elapsed().as_secs_f64());
    Ok(())
}

fn summary(compared: &Compared) {
    println!(
        "\n{} sequences with {} operations compared ({} calls of Go's code):",
        compared.sequences,
        compared.total(),
        compared.go_calls
    );
    for (name, count) in &compared.operations {
        println!("  {count:>9} × {name}");
    }
    println!("\nIntended differences met:");
    compared.met.print();
}
