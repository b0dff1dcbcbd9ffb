//! Finds redis-server, or installs it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{Result, run};

/// Makes sure that tests find a redis-server, and says what it did.
pub(crate) fn ensure_server() -> Result {
    if std::env::var_os("ASYNQ_TEST_REDIS_URL").is_some() {
        eprintln!(
            "using the Redis that ASYNQ_TEST_REDIS_URL names; the tests start one of their own where they must kill it"
        );
    }
    if let Some(version) = version() {
        eprintln!("found {version}");
        return Ok(());
    }
    eprintln!("no redis-server found; installing it");
    install()?;
    let version = version().ok_or("redis-server was installed but does not run")?;
    eprintln!("installed {version}");
    Ok(())
}

fn version() -> Option<String> {
    let program = std::env::var_os("ASYNQ_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let output = Command::new(program)
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    output.status.success().then(|| words.join(" "))
}

fn install() -> Result {
    let installers: [(&str, &[&[&str]]); 4] = [
        (
            "/usr/bin/apt-get",
            &[
                &["apt-get", "update", "-qq"],
                &["apt-get", "install", "-y", "-qq", "redis-server"],
            ],
        ),
        ("/usr/bin/dnf", &[&["dnf", "install", "-y", "redis"]]),
        ("/sbin/apk", &[&["apk", "add", "redis"]]),
        ("/opt/homebrew/bin/brew", &[&["brew", "install", "redis"]]),
    ];
    let Some((program, commands)) = installers
        .into_iter()
        .find(|(program, _)| Path::new(program).exists())
    else {
        return Err(
            "install redis-server, or set ASYNQ_TEST_REDIS_URL to a Redis that tests may empty".into(),
        );
    };
    for words in commands {
        let mut command = if is_root() || program.contains("brew") {
            Command::new(words[0])
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", words[0]]);
            sudo
        };
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        eprintln!("  {}", words.join(" "));
        run(&mut command).map_err(|error| {
            format!("{error}\ninstall redis-server yourself, or set ASYNQ_TEST_REDIS_URL to a Redis that tests may empty")
        })?;
    }
    Ok(())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
