//! What users write every day, as the introduction shows it, on memory and on Redis.
#![cfg(feature = "macros")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::time::Duration;

use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome", queue = "critical", max_retry = 5, timeout = "30s")]
struct WelcomeEmail {
    username: String,
}

#[task]
async fn send_welcome(
    email: WelcomeEmail,
    State(mailer): State<Mailer>,
    cx: Context,
) -> Result<(), MailError> {
    let _ = cx;
    mailer.send(&email.username).await
}

#[task(name = "image:resize", queue = "low")]
async fn resize(url: String, width: u32) -> Result<u64, ResizeError> {
    if width == 0 {
        return Err(ResizeError);
    }
    Ok(url.len() as u64 * u64::from(width))
}

#[derive(Clone, Default)]
struct Mailer(Arc<Mutex<Vec<String>>>);

impl Mailer {
    async fn send(&self, to: &str) -> Result<(), MailError> {
        self.0.lock().await.push(to.to_owned());
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the mail server is busy")]
struct MailError;

#[derive(Debug, thiserror::Error)]
#[error("nothing would be left")]
struct ResizeError;

#[derive(Clone, Default, FromRef)]
struct App {
    mailer: Mailer,
}

async fn every_day(url: &str) {
    let broker = connect(url).await.unwrap();
    let client = Client::from_shared(broker.clone());
    let app = App::default();
    // Nobody else's tasks, should the broker not be new.
    let username = format!("ann-{}", TaskId::random());

    client
        .enqueue(WelcomeEmail {
            username: username.clone(),
        })
        .await
        .unwrap();
    let later = WelcomeEmail {
        username: username.clone(),
    };
    let later = client
        .enqueue(later.process_in(24 * HOUR).unique(HOUR))
        .await
        .unwrap();
    assert_eq!(later.state, TaskState::Scheduled);
    let server = Server::builder(broker)
        .concurrency(10)
        .queues([("critical", 6), ("default", 3), ("low", 1)])
        .state(app.clone())
        .handler(send_welcome)
        .handler(resize)
        .build()
        .unwrap();
    server.start().await.unwrap();
    let task = Resize {
        url: "cat.png".into(),
        width: 2,
    };
    let size: u64 = client
        .enqueue(task.retention(HOUR))
        .await
        .unwrap()
        .result()
        .timeout(Duration::from_secs(20))
        .await
        .unwrap();
    while !app.mailer.0.lock().await.contains(&username) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.shutdown().await;

    assert_eq!(size, 14);
}

#[tokio::test]
async fn every_day_on_memory() {
    every_day("memory://").await;
}

#[tokio::test]
async fn every_day_on_redis() {
    every_day(&asynq_fixtures::shared_redis_url()).await;
}
