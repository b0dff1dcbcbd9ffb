//! A user's crate that renames `asynq-server` to `queue` and re-exports it as `facade::tasks`. Everything that the
//! macros generate must compile here, and pass the lints of `Cargo.toml`.

use std::time::Duration;

use queue::prelude::*;
use queue::{FixedBackoff, FromTask, Nothing, TaskParts};
use serde::{Deserialize, Serialize};

/// Where another crate of the user's would look for it.
pub mod facade {
    pub use queue as tasks;
}

/// A payload, by the renamed crate.
#[derive(Debug, Serialize, Deserialize, Task)]
#[task(name = "email:welcome", queue = "low", timeout = TIMEOUT, alias = "mail:welcome", crate = queue)]
pub struct Welcome {
    /// Whom.
    pub username: String,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// A payload, by the re-export.
#[derive(Debug, Serialize, Deserialize, Task)]
#[task(name = "email:bye", crate = crate::facade::tasks, deadline = "2100-01-01T00:00:00Z")]
pub enum Bye {
    /// See you.
    Soon,
    /// Farewell.
    Never {
        /// Why.
        reason: String,
    },
}

/// Sends e-mails.
#[derive(Debug, Clone, Default)]
pub struct Mailer;

/// Counts.
#[derive(Debug, Clone, Default)]
pub struct Counter;

/// What handlers share.
#[derive(Debug, Clone, Default, FromRef)]
#[from_ref(crate = queue)]
pub struct App {
    mailer: Mailer,
    counter: Counter,
}

/// An extractor.
#[derive(Debug)]
pub struct Tenant(pub String);

impl FromTask for Tenant {
    type Needs = Nothing;

    async fn from_task(task: TaskParts<'_>, _: Nothing) -> Result<Self, TaskError> {
        Ok(Self(task.task.headers.get("tenant").cloned().unwrap_or_default()))
    }
}

queue::collect!(
    /// Handlers that add themselves.
    pub COLLECTED: App
);

/// Sends a welcome.
///
/// # Errors
///
/// When nobody is to be welcomed.
#[task(crate = queue, backoff = "exp(2s..10m)", concurrency = 20, timeout_cap = "500ms", on_decode_error = "retry")]
pub async fn send_welcome(
    email: Welcome,
    State(mailer): State<Mailer>,
    State(app): State<App>,
    cx: Context,
    #[extract] Tenant(tenant): Tenant,
) -> Result<(), TaskError> {
    if email.username.is_empty() {
        return Err(TaskError::new("nobody").skip_retry());
    }
    println!("{mailer:?} {app:?} {tenant} {}", cx.task_id());
    Ok(())
}

/// Says good-bye.
#[task(crate = "crate::facade::tasks", backoff = FixedBackoff(TIMEOUT), collect = COLLECTED)]
pub async fn send_bye(bye: Bye, Attempt(attempt): Attempt) {
    println!("{bye:?} {attempt}");
}

/// Resizes an image. Its payload is made of its arguments.
///
/// # Errors
///
/// When nothing would be left.
#[task(name = "image:resize", crate = queue, derive(Debug, Clone), collect = COLLECTED, blocking)]
pub fn resize(
    /// Where it is.
    url: String,
    #[serde(default)] width: u32,
    State(counter): State<Counter>,
) -> Result<u64, TaskError> {
    if width == 0 {
        return Err(TaskError::new(format!("{counter:?}")));
    }
    Ok(url.len() as u64 * u64::from(width))
}

#[task(name = "tidy", payload = TidyUp, crate = queue)]
async fn tidy() -> Outcome {
    Outcome::done()
}

/// A payload that the clock enqueues.
#[derive(Debug, Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "0 3 * * *", tz = "Europe/Paris", missed = "run_all(3)", crate = queue)]
pub struct NightlyReport;

/// Writes a report.
#[task(crate = crate::facade::tasks, collect = COLLECTED)]
pub async fn nightly_report(report: NightlyReport) {
    println!("{report:?}");
}

/// A payload with values, which the clock leaves as they are by default.
#[derive(Debug, Default, Serialize, Deserialize, Task)]
#[task(name = "cache:refresh", crate = queue)]
pub struct Refresh {
    /// How much.
    pub all: bool,
}

/// Refreshes a cache. The handler says when.
#[task(crate = queue, cron = "TZ=Asia/Tokyo @hourly", missed = queue::Missed::Skip, collect = COLLECTED)]
pub async fn refresh(refresh: Refresh) {
    println!("{refresh:?}");
}

/// Polls a feed. Its payload is made of its argument.
#[task(name = "feed:poll", cron = "@every 90s", derive(Debug, Default), crate = queue, collect = COLLECTED)]
pub async fn poll(url: String) {
    println!("{url}");
}

/// Where the user's own items have the names of the standard library's.
pub mod shadowed {
    #![allow(dead_code, clippy::module_name_repetitions, reason = "nobody needs these")]

    #[derive(Debug)]
    struct Result;
    #[derive(Debug)]
    struct Option;
    #[derive(Debug)]
    struct Box;
    #[derive(Debug)]
    struct String;
    #[derive(Debug)]
    struct Outcome;
    trait Send {}
    trait Sync {}
    trait Clone {}
    trait Configure {}
    trait Default {}
    trait Periodic {}
    #[derive(Debug)]
    struct Schedule;
    mod core {}
    mod std {}
    mod queue {}

    /// The only one that is meant.
    #[::queue::task(name = "shadowed", queue = "q", max_retry = 1, crate = ::queue, concurrency = 1, cron = "@daily", tz = "Asia/Tokyo", derive(::core::default::Default))]
    pub async fn shadowed(n: u32, state: ::queue::State<super::Mailer>, text: ::std::string::String) {
        drop((n, state, text));
    }
}

/// All handlers of this crate.
pub fn handlers(list: queue::Handlers<App>) -> queue::Handlers<App> {
    list.handler(send_welcome)
        .handler(tidy)
        .handler(shadowed::shadowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn handlers_of_a_renamed_crate_run() -> Result<(), Box<dyn std::error::Error>> {
        let broker = MemoryBroker::new();
        let server = Server::builder(broker.clone())
            .queues([("default", 1), ("low", 1), ("q", 1)])
            .state(App::default())
            .handlers(handlers)
            .collected(&COLLECTED)
            .build()?;
        server.start().await?;

        let client = Client::new(broker);
        let task = Resize {
            url: "cat.png".into(),
            width: 2,
        }
        .retention(TIMEOUT);
        let tidy = TidyUp {}.retention(TIMEOUT);
        let pixels = client.enqueue(task).await?.result::<u64>().await?;
        client.enqueue(tidy).await?.result::<()>().await?;
        for bye in [
            Bye::Soon,
            Bye::Never {
                reason: "why not".into(),
            },
        ] {
            let bye = client.enqueue(bye.retention(TIMEOUT)).await?;
            bye.result::<()>().await?;
        }
        let welcome = Welcome {
            username: "ann".into(),
        }
        .retention(TIMEOUT);
        client.enqueue(welcome).await?.result::<()>().await?;
        server.shutdown().await;

        assert_eq!(pixels, 14);
        Ok(())
    }

    #[test]
    fn schedules_of_a_renamed_crate_are_registered() -> Result<(), Box<dyn std::error::Error>> {
        let broker = MemoryBroker::new();
        let scheduler = Scheduler::new(broker);
        let declared = handlers(queue::Handlers::new()).collected(&COLLECTED).schedules();
        scheduler.register_all(&declared)?;

        let mut shown: Vec<_> = scheduler
            .entries_shown()
            .into_iter()
            .map(|entry| (entry.id, entry.spec))
            .collect();
        shown.sort();
        let expected = [
            ("cache:refresh", "TZ=Asia/Tokyo @hourly"),
            ("feed:poll", "@every 90s"),
            ("report:nightly", "0 3 * * *"),
            ("shadowed", "@daily"),
        ];
        assert_eq!(shown, expected.map(|(id, spec)| (id.into(), spec.into())));
        Ok(())
    }
}
