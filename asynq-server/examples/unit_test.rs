//! How a user tests code that enqueues and code that handles, without Redis: `cargo test --example unit_test`.
//!
//! Run as a program it does what the code under test does in production, in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, Task)]
#[task(name = "email:welcome", queue = "critical", max_retry = 5)]
struct Welcome {
    name: String,
}

/// Code that enqueues: it takes a client, whatever its broker is.
async fn sign_up(client: &Client, name: &str) -> Result<(), EnqueueError> {
    let welcome = Welcome {
        name: name.to_owned(),
    };
    client
        .enqueue(welcome.process_in(Duration::from_secs(60)))
        .await?;
    Ok(())
}

/// What handlers share; in a test, one that remembers.
#[derive(Clone, Default)]
struct Mailer {
    sent: Arc<Mutex<Vec<String>>>,
}

impl Mailer {
    fn send(&self, to: &str) {
        println!("welcome, {to}");
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(to.to_owned());
    }
}

/// Code that handles: a function like any other.
#[task]
async fn send_welcome(email: Welcome, State(mailer): State<Mailer>, cx: Context) -> Result<(), TaskError> {
    if email.name.is_empty() {
        return Err(TaskError::new("nobody to welcome").skip_retry());
    }
    if !cx.is_cancelled() {
        mailer.send(&email.name);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = MemoryBroker::new();
    sign_up(&Client::new(broker.clone()), "Ann").await?;
    let server = Server::builder(broker)
        .queues([("critical", 1)])
        .state(Mailer::default())
        .handler(send_welcome)
        .build()?;
    server.start().await?;
    server.shutdown().await;
    println!("Ann's welcome is due in a minute; see the tests in this file for how time is moved");
    Ok(())
}

#[cfg(test)]
mod tests {
    use asynq_server::{Inspect, Page, QueueName};

    use super::*;

    fn critical() -> QueueName {
        QueueName::new("critical").unwrap()
    }

    #[tokio::test]
    async fn signing_up_enqueues_a_welcome_for_a_minute_later() {
        let broker = MemoryBroker::new();

        sign_up(&Client::new(broker.clone()), "Ann").await.unwrap();

        let tasks = broker
            .tasks(&critical(), TaskState::Scheduled, None, Page::first(10))
            .await
            .unwrap();
        assert_eq!(tasks.len(), 1);
        assert_eq!(
            tasks[0].message.to_raw_task().decode::<Welcome>().unwrap(),
            Welcome { name: "Ann".into() }
        );
    }

    /// A handler is called like the function it is, without a server.
    #[tokio::test]
    async fn a_welcome_goes_to_who_signed_up() {
        let mailer = Mailer::default();
        let email = Welcome { name: "Ann".into() };

        send_welcome(email, State(mailer.clone()), Context::for_test())
            .await
            .unwrap();

        assert_eq!(*mailer.sent.lock().unwrap(), ["Ann"]);
    }

    /// The whole way: time is paused, and moves by itself while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn a_welcome_to_nobody_is_archived() {
        let broker = MemoryBroker::new();
        let builder = Server::builder(broker.clone()).queues([("critical", 1)]);
        let server = builder
            .state(Mailer::default())
            .handler(send_welcome)
            .build()
            .unwrap();
        server.start().await.unwrap();

        sign_up(&Client::new(broker.clone()), "").await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        server.shutdown().await;

        let archived = broker
            .tasks(&critical(), TaskState::Archived, None, Page::first(10))
            .await
            .unwrap();
        assert_eq!(archived[0].message.last_error, "nobody to welcome");
    }
}
