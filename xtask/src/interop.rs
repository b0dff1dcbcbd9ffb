//! `cargo xtask interop`: compares with the real Go asynq.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::redis;
use crate::step::{Result, cargo_command, run};

const NO_GO: &str = "\
Go is not installed, and without it there is nothing to compare with.
Install Go 1.24 or later, such as with the package golang of your system, or put it on the PATH.
Its module proxy or a filled module cache must be within reach too: the go.mod files below interop/ name the versions.";

/// The command line tool of Go asynq, which `interop/cli` names the version of.
const CLI: &str = "github.com/hibiken/asynq/tools/asynq";

pub(crate) fn interop(args: &[String]) -> Result {
    redis::ensure_server()?;
    ensure_go()?;
    let folder = folder()?;
    let (dashboard, cli) = (folder.join("dashboard"), folder.join("asynq"));
    let operator = build_operator(&folder)?;
    go_build(Path::new("interop/dashboard"), ".", &dashboard)?;
    go_build(Path::new("interop/cli"), CLI, &cli)?;
    let mut command = cargo_command();
    command.args(["run", "--quiet", "--package", "asynq-interop", "--"]);
    command.arg("--go").arg(operator);
    command.arg("--dashboard").arg(dashboard);
    command.arg("--cli").arg(cli);
    run(command.args(args))
}

fn ensure_go() -> Result {
    let output = Command::new("go").arg("version").stderr(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            eprintln!("found {}", String::from_utf8_lossy(&output.stdout).trim());
            Ok(())
        }
        _ => Err(NO_GO.to_owned()),
    }
}

/// Builds the program that drives the real Go asynq, and says where it is.
pub(crate) fn operator() -> Result<PathBuf> {
    ensure_go()?;
    build_operator(&folder()?)
}

fn folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::path::absolute(target.join("interop")).map_err(|error| error.to_string())
}

fn build_operator(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("interop");
    go_build(Path::new("interop"), ".", &program)?;
    Ok(program)
}

fn go_build(module: &Path, package: &str, program: &Path) -> Result {
    let mut command = Command::new("go");
    command
        .args(["build", "-o"])
        .arg(program)
        .arg(package)
        .current_dir(module);
    run(&mut command).map_err(|error| {
        format!(
            "{error}\nthe module in {} could not be built; is the Go module proxy within reach?",
            module.display()
        )
    })
}
