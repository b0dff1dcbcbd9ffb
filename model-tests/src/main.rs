//! `cargo xtask model`: compares the brokers with the model in random sequences, for as long as is asked.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use asynq_model_tests::{Amount, compare};

const USAGE: &str = "\
cargo xtask model [--release] [ARGS]

  --steps N    operations to carry out on every broker (100000)
  --seed N     of the first sequence (1); a failure tells its own
  --jobs N     sequences at once (one for each processor)
  --release    builds with optimizations first: worth it from a million steps on
";
const TELL_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match parse(&args).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n✘ {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<Amount, String> {
    let mut amount = Amount {
        steps: 100_000,
        jobs: std::thread::available_parallelism().map_or(2, |processors| processors.get() as u64),
        seed: 1,
    };
    for pair in args.chunks(2) {
        let number = pair
            .get(1)
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| format!("{} needs a number\n\n{USAGE}", pair[0]))?;
        match pair[0].as_str() {
            "--steps" => amount.steps = number,
            "--seed" => amount.seed = number,
            "--jobs" => amount.jobs = number.max(1),
            name => return Err(format!("unknown argument {name}\n\n{USAGE}")),
        }
    }
    Ok(amount)
}

fn run(amount: Amount) -> Result<(), String> {
    let begun = Instant::now();
    let total = AtomicU64::new(0);
    let told = Mutex::new(begun);
    compare(amount, |done| {
        total.fetch_max(done, Ordering::Relaxed);
        if let Ok(mut told) = told.lock()
            && told.elapsed() >= TELL_EVERY
        {
            *told = Instant::now();
            println!(
                "  {done} of {} steps, {:.0} s",
                amount.steps,
                begun.elapsed().as_secs_f64()
            );
        }
    })?;
    let (steps, seconds) = (total.into_inner(), begun.elapsed().as_secs_f64());
    println!(
        "{steps} steps on memory, SQLite and Redis, each compared with the model, in {seconds:.0} s ({:.0} a second)",
        steps as f64 / seconds
    );
    Ok(())
}
