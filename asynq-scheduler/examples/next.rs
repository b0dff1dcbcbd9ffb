//! Prints when a spec fires, one time per line in UTC.
//!
//! ```text
//! cargo run -p asynq-scheduler --example next -- '30 4 1,15 * fri' --from 2024-03-01T00:00:00Z --tz Europe/Paris --count 3
//! ```
//!
//! Without `--from` it begins now, without `--tz` in UTC, without `--count` it prints five. What is wrong with a spec, or
//! that it never fires, is said on stderr, with exit code 1.

use std::process::ExitCode;
use std::time::SystemTime;

use asynq_core::{Clock, SystemClock, Timestamp};
use asynq_scheduler::{Spec, Zone};
use chrono::{DateTime, SecondsFormat};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut spec = None;
    let mut at: SystemTime = SystemClock.now().into();
    let mut zone = Zone::UTC;
    let mut count = 5_usize;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--from" => at = moment(&value()?)?,
            "--tz" => zone = value()?.parse().map_err(|error| format!("{error}"))?,
            "--count" => count = value()?.parse().map_err(|error| format!("--count: {error}"))?,
            _ if spec.is_none() => spec = Some(arg),
            _ => return Err(format!("unexpected argument {arg:?}")),
        }
    }
    let spec = spec.ok_or("expected a spec such as '0 3 * * *'")?;
    let spec: Spec = spec.parse().map_err(|error| format!("{error}"))?;
    for _ in 0..count {
        let next = spec
            .next_after(at, &zone)
            .ok_or_else(|| format!("\"{spec}\" does not fire within five years after {}", text(at)))?;
        println!("{}", text(next));
        at = next;
    }
    Ok(())
}

fn moment(text: &str) -> Result<SystemTime, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("--from {text:?}: {error}; expected a time such as 2024-03-01T00:00:00Z"))?;
    Ok(Timestamp::from_unix_micros(time.timestamp_micros()).into())
}

fn text(time: SystemTime) -> String {
    DateTime::from_timestamp_micros(Timestamp::from(time).unix_micros())
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}
