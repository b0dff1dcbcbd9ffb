//! `cargo xtask test` and `cargo xtask ci`.

use crate::architecture;
use crate::redis;
use crate::step::{Result, cargo, cargo_command, output, run, step};

/// How many steps of random operations are compared with the model, on all brokers.
const MODEL_STEPS: u32 = 2_000;
const MODEL_STEPS_OF_CI: u32 = 100_000;

pub(crate) fn test() -> Result {
    test_with(MODEL_STEPS)
}

fn test_with(model_steps: u32) -> Result {
    step("format", || cargo(["fmt", "--all", "--check"]))?;
    step("architecture", architecture::check)?;
    step("redis-server", redis::ensure_server)?;
    step("lints", || {
        cargo([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    step("each set of features builds", features)?;
    step("a producer links no server", producer)?;
    step("tests", || {
        let mut command = cargo_command();
        command.args(["test", "--workspace", "--all-features"]);
        command.args(["--lib", "--bins", "--tests", "--examples"]);
        run(command.env("ASYNQ_MODEL_STEPS", model_steps.to_string()))
    })?;
    step("doc tests", || {
        cargo(["test", "--workspace", "--all-features", "--doc"])
    })?;
    step("documentation", || {
        let mut command = cargo_command();
        command.args(["doc", "--quiet", "--workspace", "--no-deps", "--all-features"]);
        run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    println!("\nall is well");
    Ok(())
}

pub(crate) fn ci() -> Result {
    step("quickstart", || {
        cargo(["run", "--quiet", "--example", "quickstart"])
    })?;
    test_with(MODEL_STEPS_OF_CI)?;
    step("comparison with Go asynq", || crate::interop::interop(&[]))
}

fn features() -> Result {
    let check = |package: &str, features: &str| {
        cargo([
            "clippy",
            "--quiet",
            "--package",
            package,
            "--no-default-features",
            "--features",
            features,
            "--",
            "-D",
            "warnings",
        ])
    };
    check("asynq-core", "")?;
    check("asynq-server", "")?;
    check("asynq-server", "macros")?;
    check("asynq-server", "redis")?;
    check("asynq-server", "sqlite")?;
    check("asynq-scheduler", "")
}

/// A program that only enqueues depends on asynq-core and asynq-redis.
fn producer() -> Result {
    let tree = output(cargo_command().args([
        "tree",
        "--package",
        "asynq-redis",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]))?;
    let unwanted = [
        "asynq-server",
        "asynq-macros",
        "asynq-sqlite",
        "sqlx",
        "axum",
        "hyper",
        "clap",
        "syn v1",
    ];
    match unwanted
        .into_iter()
        .find(|name| tree.lines().any(|line| line.starts_with(name)))
    {
        Some(name) => Err(format!("asynq-redis depends on {name}")),
        None => {
            let mut crates: Vec<&str> = tree
                .lines()
                .filter_map(|line| line.split_whitespace().next())
                .collect();
            crates.sort_unstable();
            crates.dedup();
            println!(
                "{} crates, none of a server, SQLite, the web or macros of ours",
                crates.len()
            );
            Ok(())
        }
    }
}
