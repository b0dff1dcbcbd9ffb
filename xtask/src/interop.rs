//! `cargo xtask interop`: compares with the real Go asynq.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::redis;
use crate::step::{Result, cargo_command, run};

const NO_GO: &str = "\
Go is not installed, and without it there is nothing to compare with.
Install Go 1.24 or later, such as with the package golang of your system, or put it on the PATH.
Its module proxy or a filled module cache must be within reach too: interop/go.mod names the versions.";

pub(crate) fn interop(args: &[String]) -> Result {
    redis::ensure_server()?;
    ensure_go()?;
    let [operator, dashboard] = build()?;
    let mut command = cargo_command();
    command.args(["run", "--quiet", "--package", "asynq-interop", "--"]);
    command.arg("--go").arg(operator);
    command.arg("--dashboard").arg(dashboard);
    run(command.args(args))
}

fn ensure_go() -> Result {
    let output = Command::new("go").arg("version").stderr(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            println!("found {}", String::from_utf8_lossy(&output.stdout).trim());
            Ok(())
        }
        _ => Err(NO_GO.to_owned()),
    }
}

/// Builds the Go programs and says where they are.
fn build() -> Result<[PathBuf; 2]> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = std::path::absolute(target.join("interop")).map_err(|error| error.to_string())?;
    let programs = [folder.join("interop"), folder.join("dashboard")];
    go_build(Path::new("interop"), &programs[0])?;
    go_build(Path::new("interop/dashboard"), &programs[1])?;
    Ok(programs)
}

fn go_build(module: &Path, program: &Path) -> Result {
    let mut command = Command::new("go");
    command
        .args(["build", "-o"])
        .arg(program)
        .arg(".")
        .current_dir(module);
    run(&mut command).map_err(|error| {
        format!(
            "{error}\nthe module in {} could not be built; is the Go module proxy within reach?",
            module.display()
        )
    })
}
