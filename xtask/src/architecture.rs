//! Checks ARCHITECTURE.md against the code: who depends on whom, and what each crate deliberately does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::step::{Result, cargo_command, output};

/// What each crate may depend on, of ours.
const MAY_USE: &[(&str, &[&str])] = &[
    ("asynq-cron", &[]),
    ("asynq-macros", &["asynq-cron"]),
    ("asynq-core", &["asynq-macros"]),
    ("asynq-redis", &["asynq-core"]),
    ("asynq-scheduler", &["asynq-core", "asynq-cron"]),
    ("asynq-sqlite", &["asynq-core"]),
    (
        "asynq-server",
        &[
            "asynq-core",
            "asynq-macros",
            "asynq-redis",
            "asynq-scheduler",
            "asynq-sqlite",
        ],
    ),
    ("asynq-fixtures", &[]),
    (
        "asynq-bench",
        &["asynq-core", "asynq-redis", "asynq-server", "asynq-fixtures"],
    ),
    (
        "asynq-interop",
        &[
            "asynq-core",
            "asynq-redis",
            "asynq-scheduler",
            "asynq-server",
            "asynq-fixtures",
        ],
    ),
    (
        "asynq-model-tests",
        &["asynq-core", "asynq-redis", "asynq-sqlite", "asynq-fixtures"],
    ),
    ("xtask", &[]),
];

/// Words that may stand in the sources of some crates only, and why.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    (
        "asynq:{",
        &["asynq-redis", "bench", "interop-tests"],
        "only asynq-redis knows key names",
    ),
    ("prost::", &["asynq-redis"], "only asynq-redis knows protobuf"),
    (
        "tokio::spawn(",
        &[
            "asynq-core/src/conformance",
            "asynq-redis",
            "asynq-server",
            "bench",
            "fixtures",
            "interop-tests",
        ],
        "asynq-core starts nothing in the background",
    ),
    (
        "RedisBroker",
        &[
            "asynq-redis",
            "asynq-server/src/connect.rs",
            "asynq-server/src/lib.rs",
            "bench",
            "interop-tests",
            "model-tests",
        ],
        "the server names no broker outside of connect",
    ),
    (
        "SqliteBroker",
        &[
            "asynq-sqlite",
            "asynq-server/src/connect.rs",
            "asynq-server/src/lib.rs",
            "bench",
            "model-tests",
        ],
        "the server names no broker outside of connect",
    ),
    ("sqlx::", &["asynq-sqlite"], "only asynq-sqlite knows SQL"),
    ("chrono_tz::", &["asynq-cron"], "only asynq-cron knows time zones"),
    (
        "MemoryBroker",
        &["asynq-core", "asynq-server", "bench", "model-tests"],
        "nothing of the memory broker in production code of other brokers",
    ),
];

pub(crate) fn check() -> Result {
    let mut problems = Vec::new();
    check_dependencies(&mut problems)?;
    check_words(&mut problems)?;
    check_map(&mut problems)?;
    if problems.is_empty() {
        println!("ARCHITECTURE.md and the code agree");
        return Ok(());
    }
    Err(format!(
        "{} problems:\n  {}",
        problems.len(),
        problems.join("\n  ")
    ))
}

fn check_dependencies(problems: &mut Vec<String>) -> Result {
    for (package, allowed) in MAY_USE {
        let tree = output(cargo_command().args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--depth",
            "1",
            "--prefix",
            "none",
            "--all-features",
        ]))?;
        let used = tree
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next());
        let ours = used.filter(|name| name.starts_with("asynq"));
        for name in ours {
            if name != *package && !allowed.contains(&name) {
                problems.push(format!("{package} depends on {name}"));
            }
        }
    }
    Ok(())
}

fn check_words(problems: &mut Vec<String>) -> Result {
    for (word, places, why) in ONLY_IN {
        for file in sources(Path::new("."))? {
            if places.iter().any(|place| file.starts_with(place)) || file.starts_with("xtask") {
                continue;
            }
            // Documentation may name everything.
            let text = read(&file)?;
            let uses = text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            if uses {
                problems.push(format!("{} uses {word:?}: {why}", file.display()));
            }
        }
    }
    Ok(())
}

/// Every source file is on the map, under its crate; every file on the map exists.
fn check_map(problems: &mut Vec<String>) -> Result {
    let map = read(Path::new("ARCHITECTURE.md"))?;
    let named: BTreeSet<PathBuf> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| {
            code.contains('/') && (code.ends_with(".rs") || code.ends_with('/')) && !code.contains(' ')
        })
        .map(PathBuf::from)
        .collect();
    for path in &named {
        if !path.exists() {
            problems.push(format!(
                "ARCHITECTURE.md names {}, which does not exist",
                path.display()
            ));
        }
    }
    for file in sources(Path::new("."))? {
        let on_map = file
            .ancestors()
            .any(|part| named.contains(part) || named.contains(Path::new(&format!("{}/", part.display()))));
        if !on_map {
            problems.push(format!("{} is not on the map in ARCHITECTURE.md", file.display()));
        }
    }
    Ok(())
}

/// The sources of the crates, without their tests and examples.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for package in entries(root)? {
        let sources = package.join("src");
        if package.join("Cargo.toml").exists() && sources.is_dir() {
            collect(&sources, &mut found)?;
        }
    }
    Ok(found
        .into_iter()
        .map(|path| path.strip_prefix("./").map(Path::to_owned).unwrap_or(path))
        .collect())
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
        .collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
