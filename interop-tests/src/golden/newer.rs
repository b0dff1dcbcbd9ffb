//! What a newer peer adds to a task, in its message and in its hash, survives whatever ours does to it.

use std::time::Duration;

use asynq_core::broker::{Aggregate as _, Change, Claim, GroupLimits, Maintain as _, Settlement};
use asynq_core::{GroupName, Inspector, QueueName, TaskMessage, When};

use super::{Checked, FUTURE_FIELD, Golden, LEASE, NOW, failed, retry, same, task_key};
use crate::{hex, message};

/// Field 16 is a text, field 200 a number.
const UNKNOWN: [u8; 9] = [0x82, 1, 3, b'n', b'e', b'w', 0xc0, 12, 7];
const LATER: Duration = Duration::from_secs(600);

/// What is done to the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Retry,
    Archive,
    Complete,
    Requeue,
    Recover,
    Forward,
    ForwardToGroup,
    Reclaim,
    UpdatePayload,
    Reschedule,
    ChangeRetries,
    Move,
    RunByHand,
    ArchiveByHand,
}

pub(super) const PATHS: [Path; 14] = [
    Path::Retry,
    Path::Archive,
    Path::Complete,
    Path::Requeue,
    Path::Recover,
    Path::Forward,
    Path::ForwardToGroup,
    Path::Reclaim,
    Path::UpdatePayload,
    Path::Reschedule,
    Path::ChangeRetries,
    Path::Move,
    Path::RunByHand,
    Path::ArchiveByHand,
];

impl Golden {
    pub(super) async fn written_by_a_newer_peer(&mut self, message: &TaskMessage, path: Path) -> Checked {
        let mut message = message.clone();
        message.retention = LATER;
        if matches!(path, Path::ForwardToGroup | Path::Reclaim) {
            message.group = Some(GroupName::from_stored("letters"));
        }
        let bytes = self.ask("encode_message", "message", message::to_json(&message))?;
        let mut bytes = hex::from_json(&bytes);
        bytes.extend(UNKNOWN);
        match path {
            Path::Retry => self.settled(&message, &bytes, retry()).await?,
            Path::Archive => {
                let error = "boom".to_owned();
                self.settled(&message, &bytes, Settlement::Archive { error })
                    .await?;
            }
            Path::Complete => {
                self.settled(&message, &bytes, Settlement::Done { result: None })
                    .await?;
            }
            Path::Requeue => {
                self.settled(&message, &bytes, Settlement::Requeue { lost: false })
                    .await?;
            }
            Path::Recover => self.recovered(&message, &bytes).await?,
            Path::Forward | Path::ForwardToGroup => {
                self.store(&message, &bytes, "scheduled")?;
                self.broker.forward(&message.queue).await.map_err(failed)?;
            }
            Path::Reclaim => self.reclaimed(&message, &bytes).await?,
            _ => {
                self.store(&message, &bytes, "scheduled")?;
                self.inspected(&message, path).await?;
            }
        }
        if path == Path::Move {
            message.queue = other_queue();
        }
        self.has_kept_what_it_does_not_know(&message)
    }

    fn has_kept_what_it_does_not_know(&mut self, message: &TaskMessage) -> Checked {
        let key = task_key(message);
        let mut rewritten = self.get(&["HGET", &key, "msg"])?;
        let known = rewritten.len().saturating_sub(UNKNOWN.len());
        same("fields of a newer message", &&UNKNOWN[..], &&rewritten[known..])?;
        let field = self.get(&["HGET", &key, FUTURE_FIELD])?;
        same("a field of a newer hash", &&b"kept"[..], &&field[..])?;
        rewritten.truncate(known);
        let decoded = self.ask("decode_message", "data", hex::encode(&rewritten).into())?;
        same(
            "the id that Go reads",
            &message.id.as_str(),
            &decoded["id"].as_str().unwrap_or_default(),
        )
    }

    async fn settled(&mut self, message: &TaskMessage, bytes: &[u8], settlement: Settlement) -> Checked {
        self.store(message, bytes, "pending")?;
        let task = self.take_out(message).await?;
        self.finish(task, Claim::Holder, settlement).await
    }

    /// After its worker died.
    async fn recovered(&mut self, message: &TaskMessage, bytes: &[u8]) -> Checked {
        self.store(message, bytes, "pending")?;
        let mut task = self.take_out(message).await?;
        self.clock.advance(LEASE + LATER);
        let found = self.broker.expired(&message.queue, 1).await.map_err(failed);
        let expired = found?.tasks.pop().ok_or("the lease has not expired")?;
        (task.key, task.message) = (expired.key, expired.message);
        let finished = self.finish(task, Claim::Expired, retry()).await;
        self.clock.set(NOW);
        finished
    }

    /// In a set that nobody merged in time.
    async fn reclaimed(&mut self, message: &TaskMessage, bytes: &[u8]) -> Checked {
        self.store(message, bytes, "aggregating")?;
        let group = GroupName::from_stored("letters");
        let at_once = GroupLimits {
            grace_period: Duration::ZERO,
            max_delay: None,
            max_size: None,
        };
        let sealed = self
            .broker
            .seal(&message.queue, &group, &at_once)
            .await
            .map_err(failed)?;
        same("sealed", &true, &sealed.is_some())?;
        self.clock.advance(LATER);
        let reclaimed = self.broker.reclaim(&message.queue).await.map_err(failed);
        self.clock.set(NOW);
        same("reclaimed", &1, &reclaimed?)
    }

    async fn inspected(&mut self, message: &TaskMessage, path: Path) -> Checked {
        let inspector = Inspector::new(self.broker.clone());
        let (queue, id) = (&message.queue, &message.id);
        let done = match path {
            Path::UpdatePayload => inspector.update_payload(queue, id, "another").await,
            Path::Reschedule => inspector.reschedule_task(queue, id, When::In(LATER)).await,
            Path::Move => inspector.move_task(queue, id, &other_queue()).await,
            Path::RunByHand => inspector.run_task(queue, id).await,
            Path::ArchiveByHand => inspector.archive_task(queue, id).await,
            _ => {
                let change = Change {
                    max_retry: Some(2),
                    ..Change::default()
                };
                inspector.change_task(queue, id, &change).await
            }
        };
        done.map_err(failed)
    }
}

fn other_queue() -> QueueName {
    QueueName::from_stored("another")
}
