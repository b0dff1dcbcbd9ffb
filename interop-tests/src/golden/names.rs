//! Every key that ours makes has a name that Go gives.

use std::time::Duration;

use asynq_core::broker::{Claim, Enqueue as _, Inspect as _, NewTask, Placement, Settlement};
use asynq_core::{GroupName, TaskMessage, When};
use fastrand::Rng;

use super::random::{random_message, text};
use super::{Checked, Golden, failed, retry};
use crate::hex;

/// How each of the tasks is stored and what becomes of it.
const TASKS: [&str; 6] = [
    "unique",
    "scheduled",
    "grouped",
    "failed",
    "archived",
    "completed",
];

impl Golden {
    pub(super) async fn names(&mut self, rng: &mut Rng) -> Checked {
        let base = random_message(rng);
        let group = GroupName::from_stored(text(rng));
        let mut expected = vec!["asynq:queues".to_owned()];
        for kind in TASKS {
            let mut message = base.clone();
            message.id = asynq_core::TaskId::from_stored(format!("{}{kind}", base.id));
            message.retention = Duration::from_secs(60);
            expected.extend(self.names_by_go(&message, &group)?);
            self.pass_through(kind, message, &group).await?;
        }
        self.broker.pause(&base.queue).await.map_err(failed)?;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query(&mut self.redis)
            .map_err(failed)?;
        let strange = keys.iter().find(|key| !expected.contains(key));
        strange.map_or(Ok(()), |key| {
            Err(format!("Go has no key {key:?}, only {expected:?}"))
        })
    }

    fn names_by_go(&mut self, message: &TaskMessage, group: &GroupName) -> Result<Vec<String>, String> {
        let of_queue = super::request("keys")
            .with("queue", message.queue.as_str())
            .with("id", message.id.as_str())
            .with("group", group.as_str());
        let lock = super::request("unique_key")
            .with("queue", message.queue.as_str())
            .with("text", &*message.task_type)
            .with("data", hex::to_json(&message.payload));
        let mut names: Vec<String> = serde_json::from_value(self.go.must(of_queue)?).map_err(failed)?;
        names.push(serde_json::from_value(self.go.must(lock)?).map_err(failed)?);
        Ok(names)
    }

    async fn pass_through(&mut self, kind: &str, mut message: TaskMessage, group: &GroupName) -> Checked {
        message.group = (kind == "grouped").then(|| group.clone());
        let task = NewTask {
            message: message.clone(),
            placement: if kind == "scheduled" {
                Placement::Later(When::In(Duration::from_secs(60)))
            } else {
                Placement::Now
            },
            unique_ttl: (kind == "unique").then_some(Duration::from_secs(60)),
        };
        self.broker.enqueue(&[task]).await.map_err(failed)?;
        let settlement = match kind {
            "failed" => retry(),
            "archived" => Settlement::Archive {
                error: "boom".to_owned(),
            },
            "completed" => Settlement::Done { result: None },
            _ => return Ok(()),
        };
        // Whichever is next: the unique one, or this.
        let task = self.take_out(&message).await?;
        self.finish(task, Claim::Holder, settlement).await
    }
}
