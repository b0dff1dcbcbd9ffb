//! Runs commands as steps, showing what runs and how long it took.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Instant;

pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// Announces a step, runs it, and says how long it took.
pub(crate) fn step(name: &str, run: impl FnOnce() -> Result) -> Result {
    println!("\n▶ {name}");
    let begun = Instant::now();
    run().map_err(|error| format!("{name}: {error}"))?;
    println!("✔ {name} ({:.1} s)", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Runs cargo with the toolchain that runs this.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result {
    run(cargo_command().args(args))
}

pub(crate) fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

pub(crate) fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}

/// The standard output of a command.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
