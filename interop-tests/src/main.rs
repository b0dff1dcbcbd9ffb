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
mod scheduler;
mod specs;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use asynq_fixtures::RedisServer;
use fleet::{Sailed, Tools};
use go::GoProgram;
use model::{Amount, Compared};
use specs::Specs;

const USAGE: &str = "\
cargo xtask interop [ARGS]

  --only PART       one of: golden, oddities, specs, cases, model, fleet; may be given several times
  --sequences N     random sequences to compare (2000)
  --length N        operations in each (50)
  --seed N          of everything random (1)
  --jobs N          sequences at once (2)
  --specs N         random specs of schedules to compare (4000)
  --tasks N         tasks for the mixed fleet (20000)
";

struct Args {
    go: PathBuf,
    tools: Tools,
    only: Vec<String>,
    amount: Amount,
    specs: usize,
    tasks: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((role, rest)) = args.split_first()
        && let Some(run) = process_of_fleet(role)
    {
        return match run(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{role}: {error}");
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

type Role = fn(&[String]) -> Result<(), String>;

/// Processes of the mixed fleet are this program too.
fn process_of_fleet(role: &str) -> Option<Role> {
    match role {
        "worker" => Some(worker::run),
        "scheduler" => Some(scheduler::run),
        _ => None,
    }
}

fn parse(args: &[String]) -> Result<Args, String> {
    let mut parsed = Args {
        go: PathBuf::new(),
        tools: Tools::default(),
        only: Vec::new(),
        amount: Amount {
            sequences: 2_000,
            length: 50,
            seed: 1,
            workers: 2,
        },
        specs: 4_000,
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
            "--dashboard" => parsed.tools.dashboard = value.into(),
            "--cli" => parsed.tools.cli = value.into(),
            "--only" => parsed.only.push(value.clone()),
            "--sequences" => parsed.amount.sequences = number()?,
            "--length" => parsed.amount.length = number()? as usize,
            "--seed" => parsed.amount.seed = number()?,
            "--jobs" => parsed.amount.workers = number()?.max(1),
            "--specs" => parsed.specs = number()? as usize,
            "--tasks" => parsed.tasks = number()? as usize,
            _ => return Err(format!("unknown argument {name}\n\n{USAGE}")),
        }
    }
    Ok(parsed)
}

/// What all parts found, as far as they were wanted.
#[derive(Default)]
struct Found {
    records: Option<u64>,
    oddities: Option<usize>,
    compared: Option<Compared>,
    specs: Option<Specs>,
    sailed: Option<Sailed>,
}

fn run(args: &Args) -> Result<(), String> {
    let server = RedisServer::start();
    let program = GoProgram::new(&args.go, format!("127.0.0.1:{}", server.port()));
    let seed = args.amount.seed;
    let wanted = |part: &str| args.only.is_empty() || args.only.iter().any(|one| one == part);
    println!("seed {seed}");
    let mut found = Found::default();
    if wanted("golden") {
        found.records = Some(step("golden records", || golden::check(&program, seed))?);
    }
    if wanted("oddities") {
        found.oddities = Some(step("what others leave behind", || oddities::check(&program))?);
    }
    if wanted("specs") {
        let check = || specs::check(&program, args.specs, seed);
        found.specs = Some(step("specs of schedules", check)?);
    }
    if wanted("cases") {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
        let compared = step("named sequences", || model::named(&program, folder))?;
        found.compared.get_or_insert_default().add(&compared);
    }
    if wanted("model") {
        let compared = step("random sequences", || model::random(&program, args.amount))?;
        found.compared.get_or_insert_default().add(&compared);
    }
    if wanted("fleet") {
        let check = || fleet::check(&program, &args.tools, args.tasks, seed);
        found.sailed = Some(step("mixed fleet", check)?);
    }
    found.print();
    Ok(())
}

fn step<T>(name: &str, run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    println!("▶ {name}");
    let begun = Instant::now();
    let result = run().map_err(|error| format!("{name}: {error}"))?;
    println!("✔ {name} ({:.1} s)", begun.elapsed().as_secs_f64());
    Ok(result)
}

impl Found {
    fn print(&self) {
        println!("\nCompared:");
        if let Some(records) = self.records {
            println!("  {records:>9} records, texts and names");
        }
        if let Some(oddities) = self.oddities {
            println!("  {oddities:>9} things left behind by others that Go stumbles over and ours does not");
        }
        if let Some(specs) = &self.specs {
            println!(
                "  {:>9} specs of schedules that fire, {} that both refuse; {} to which Go has no answer",
                specs.firing, specs.refused, specs.unanswered
            );
        }
        if let Some(sailed) = &self.sailed {
            print_sailed(sailed);
        }
        if let Some(compared) = &self.compared {
            print_compared(compared);
        }
    }
}

fn print_sailed(sailed: &Sailed) {
    println!(
        "  {:>9} tasks with options, followed from client to server",
        sailed.options
    );
    println!("  {:>9} answers of the two inspectors", sailed.answers);
    println!("  {:>9} requests answered by asynqmon", sailed.requests);
    println!("  {:>9} commands carried out by the asynq tool", sailed.commands);
    println!(
        "  {:>9} tasks done while servers were killed {} times: none lost, {} done twice",
        sailed.tasks, sailed.kills, sailed.repeated
    );
}

fn print_compared(compared: &Compared) {
    println!(
        "  {:>9} operations in {} sequences ({} calls of Go's code):",
        compared.total(),
        compared.sequences,
        compared.go_calls
    );
    for (name, count) in &compared.operations {
        println!("  {count:>9} × {name}");
    }
    println!("\nIntended differences met, and the defects of Go's that they mend:");
    compared.met.print();
}
