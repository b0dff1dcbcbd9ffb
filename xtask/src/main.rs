//! The project's own commands. `cargo xtask` lists them.

mod architecture;
mod interop;
mod redis;
mod step;
mod test;

use std::process::ExitCode;

use step::{Result, cargo_command};

const USAGE: &str = "\
cargo xtask COMMAND

  test           format, lints, all tests, doc tests, documentation; installs redis-server if there is none
  ci             what CI runs: the quickstart, test, interop
  architecture   checks ARCHITECTURE.md against the code
  bench [ARGS]   measures; `cargo xtask bench --help` tells more
  model [ARGS]   compares all brokers with a plain model; `cargo xtask model --help` tells more
  interop [ARGS] compares with the real Go asynq, which needs Go; `cargo xtask interop --help` tells more
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match run(&command, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, rest: &[String]) -> Result {
    std::env::set_current_dir(root()).map_err(|error| format!("cannot enter the workspace: {error}"))?;
    match command {
        "test" => test::test(),
        "ci" => test::ci(),
        "architecture" => architecture::check(),
        "bench" => bench(rest),
        "interop" => interop::interop(rest),
        "model" => model(rest),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown command\n\n{USAGE}")),
    }
}

fn bench(args: &[String]) -> Result {
    if !args.iter().any(|arg| arg.starts_with("sqlite")) {
        redis::ensure_server()?;
    }
    let mut command = cargo_command();
    command.args(["run", "--quiet", "--release", "--package", "asynq-bench", "--"]);
    let only_tells = ["--help", "-h", "--list"];
    let is_against_go = args.windows(2).any(|pair| pair == ["--against", "go"]);
    if is_against_go && !args.iter().any(|arg| only_tells.contains(&arg.as_str())) {
        command.arg("--go").arg(interop::operator()?);
    }
    step::run(command.args(args))
}

fn model(args: &[String]) -> Result {
    redis::ensure_server()?;
    let mut command = cargo_command();
    command.args(["run", "--quiet", "--package", "asynq-model-tests"]);
    let (build, rest): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| *arg == "--release");
    command.args(build).arg("--").args(rest);
    step::run(&mut command)
}

fn root() -> &'static std::path::Path {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
