//! A user's crate that enqueues tasks and links neither a server nor handlers.

use asynq_core::{Client, Configure, EnqueueError, Task};
use serde::{Deserialize, Serialize};

/// What is enqueued.
#[derive(Debug, Serialize, Deserialize, Task)]
#[task(name = "email:welcome", queue = "critical", max_retry = 5, timeout = "30s")]
pub struct Welcome {
    /// Whom.
    pub username: String,
}

/// What the clock enqueues, by a scheduler elsewhere.
#[derive(Debug, Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "0 3 * * *", tz = "Europe/Paris")]
pub struct NightlyReport;

/// Code that enqueues.
///
/// # Errors
///
/// Those of the broker.
pub async fn sign_up(client: &Client, username: &str) -> Result<(), EnqueueError> {
    let welcome = Welcome {
        username: username.to_owned(),
    };
    client.enqueue(welcome.max_retry(7)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use asynq_core::{Inspect, MemoryBroker, Page, Periodic, QueueName, TaskState};

    #[tokio::test]
    async fn options_of_the_type_and_of_the_call_are_stored() {
        let broker = MemoryBroker::new();

        sign_up(&Client::new(broker.clone()), "ann").await.unwrap();

        let queue = QueueName::new("critical").unwrap();
        let tasks = broker
            .tasks(&queue, TaskState::Pending, None, Page::first(1))
            .await
            .unwrap();
        let message = &tasks[0].message;
        assert_eq!(&*message.task_type, "email:welcome");
        assert_eq!(message.max_retry, 7);
        assert_eq!(message.timeout.map(|timeout| timeout.as_secs()), Some(30));
    }

    #[test]
    fn a_schedule_needs_no_server() {
        let schedule = NightlyReport::schedule();

        assert_eq!(schedule.cron(), "0 3 * * *");
        assert_eq!(schedule.zone_name(), Some("Europe/Paris"));
        assert!(NightlyReport::periodic().is_some() && Welcome::periodic().is_none());
    }

    #[test]
    fn no_server_is_linked() {
        let manifest = include_str!("../Cargo.toml");

        assert!(!manifest.contains("asynq-server ="));
    }
}
