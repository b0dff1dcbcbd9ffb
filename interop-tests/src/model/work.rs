//! Taking tasks out and settling them.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{
    Claim, Dequeue as _, Extension, Finish, Finished, LeaseKey, Maintain as _, Settlement,
};
use asynq_core::{QueueName, TaskId, Timestamp};
use serde_json::Value;

use super::op::{How, Who};
use super::world::{Holder, LEASE, Step, Stop, World, prefix, queue_name, same};
use crate::differences::Difference;
use crate::{hex, message};

impl World<'_> {
    pub(super) async fn dequeue(&mut self, queues: &[u8], max: u8, who: Who) -> Step {
        let mut queues: Vec<QueueName> = queues.iter().map(|number| queue_name(*number)).collect();
        queues.dedup();
        let go = self.dequeue_by_go(0, &queues, max)?;
        let ours = match who {
            Who::Go => self.dequeue_by_go(1, &queues, max)?,
            Who::Ours => self.dequeue_by_ours(&queues, max).await?,
        };
        let of = |taken: &[Taken]| -> Vec<(Value, i64)> {
            taken
                .iter()
                .map(|task| (task.message.clone(), task.expires_at))
                .collect()
        };
        same("tasks taken out", of(&go), of(&ours))?;
        for (go, ours) in go.into_iter().zip(ours) {
            self.take_note(go.message, ours.nonce);
        }
        Ok(())
    }

    fn take_note(&mut self, go: Value, nonce: u32) {
        let message = message::from_json(&go);
        let key = LeaseKey {
            queue: message.queue.clone(),
            id: message.id.clone(),
            nonce,
        };
        // The task may have been somebody else's before.
        let (late, holders) = std::mem::take(&mut self.holders)
            .into_iter()
            .partition(|holder| holder.key.queue == key.queue && holder.key.id == key.id);
        self.late.extend::<Vec<Holder>>(late);
        self.holders = holders;
        self.holders.push(Holder {
            go,
            message: Arc::new(message),
            key,
        });
    }

    fn dequeue_by_go(&mut self, side: usize, queues: &[QueueName], max: u8) -> Result<Vec<Taken>, Stop> {
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let mut taken = Vec::new();
        for _ in 0..max {
            match self.ask(side, "dequeue", |request| request.with("queues", names.clone()))? {
                Ok(answer) => taken.push(Taken {
                    message: answer["message"].clone(),
                    expires_at: answer["expiry"]
                        .as_i64()
                        .unwrap_or_default()
                        .div_euclid(1_000_000),
                    nonce: 0,
                }),
                Err(error) if error.kind == "no_task" => break,
                Err(error) => return Err(Stop::Broken(format!("Go's dequeue failed: {}", error.text))),
            }
        }
        Ok(taken)
    }

    async fn dequeue_by_ours(&mut self, queues: &[QueueName], max: u8) -> Result<Vec<Taken>, Stop> {
        let dequeued = self.broker.dequeue(queues, max.into(), LEASE).await?;
        if let Some((queue, error)) = dequeued.errors.first() {
            return Err(Stop::Differs(format!("ours failed in queue {queue}: {error}")));
        }
        let taken = dequeued.tasks.into_iter().map(|task| Taken {
            message: message::to_json(&task.message),
            expires_at: task.expires_at.unix_seconds(),
            nonce: task.key.nonce,
        });
        Ok(taken.collect())
    }

    pub(super) async fn finish(&mut self, pick: u16, how: &How, who: Who) -> Step {
        if self.holders.is_empty() {
            return Ok(());
        }
        let holder = self.holders.swap_remove(usize::from(pick) % self.holders.len());
        self.settle(&holder, how, who, Claim::Holder).await?;
        self.late.push(holder);
        Ok(())
    }

    pub(super) async fn settle(&mut self, holder: &Holder, how: &How, who: Who, claim: Claim) -> Step {
        if matches!(how, How::Archive { .. }) && self.has_old_archive(&holder.key.queue)? {
            // Go trims while it archives; ours leaves that to the janitor, so it has its turn first.
            self.purge(&holder.key.queue, who).await?;
        }
        self.settle_by_go(0, holder, how)?
            .map_err(|error| Stop::Broken(format!("Go failed to settle: {error}")))?;
        let ours = match who {
            Who::Go => self.settle_by_go(1, holder, how)?.is_ok(),
            Who::Ours => self.settle_by_ours(holder, how, claim).await? == Finished::Settled,
        };
        same("settled", true, ours)
    }

    async fn settle_by_ours(&mut self, holder: &Holder, how: &How, claim: Claim) -> Result<Finished, Stop> {
        let finish = Finish {
            key: holder.key.clone(),
            message: holder.message.clone(),
            claim,
            settlement: settlement(how, claim),
        };
        let finished = self.broker.finish(&[finish]).await?.pop();
        finished.ok_or_else(|| Stop::Differs("no answer to finish".to_owned()))
    }

    /// As Go's processor does, with what ours does better made up for. The inner error is that of a task that is not held.
    fn settle_by_go(&mut self, side: usize, holder: &Holder, how: &How) -> Result<Result<(), String>, Stop> {
        let is_kept = !holder.message.retention.is_zero();
        let (operation, at, text, is_failure) = match how {
            How::Done { .. } if is_kept => ("mark_as_complete", 0, "", false),
            How::Done { .. } | How::Drop => ("done", 0, "", false),
            How::Retry {
                delay,
                error,
                is_failure,
            } => ("retry", *delay, error.as_str(), *is_failure),
            How::Archive { error } => ("archive", 0, error.as_str(), false),
            How::Requeue => ("requeue", 0, "", false),
        };
        if let How::Done { result: Some(result) } = how
            && is_kept
        {
            self.write_result_by_go(side, &holder.key, result)?;
        }
        let now = self.now().unix_micros();
        let answer = self.ask(side, operation, |request| {
            request
                .with("message", holder.go.clone())
                .with("at", now + at)
                .with("text", text)
                .with("failure", is_failure)
        })?;
        match answer {
            Ok(_) if matches!(how, How::Requeue) => {
                self.make_up_for_requeued(side, &holder.key)?;
                Ok(Ok(()))
            }
            Ok(_) if operation == "retry" => {
                self.make_up_for_retried(side, &holder.key)?;
                Ok(Ok(()))
            }
            Ok(_) => Ok(Ok(())),
            Err(error) if error.text.contains("NOT FOUND") => Ok(Err(error.text)),
            Err(error) => Err(Stop::Broken(format!("Go's {operation} failed: {}", error.text))),
        }
    }

    fn make_up_for_requeued(&mut self, side: usize, key: &LeaseKey) -> Step {
        let nanos = format!("{}000", self.now().unix_micros());
        let field = ["pending_since", nanos.as_str()];
        self.make_up_for_field(side, &hash(key), field, Difference::RequeuePendingSince)
    }

    /// A task of a group that was run by itself goes on by itself.
    fn make_up_for_retried(&mut self, side: usize, key: &LeaseKey) -> Step {
        let forgotten: i64 = self.command(side, &["HDEL", &hash(key), "group"])?;
        if forgotten == 1 {
            self.met(Difference::RetryByItself);
        }
        Ok(())
    }

    pub(super) async fn finish_late(&mut self, pick: u16, how: &How) -> Step {
        if self.late.is_empty() {
            return Ok(());
        }
        let holder = self.late[usize::from(pick) % self.late.len()].clone();
        let successor = self
            .holders
            .iter()
            .find(|one| one.key.queue == holder.key.queue && one.key.id == holder.key.id);
        match successor {
            // Neither a Go worker nor the successor's attempt can be told from the late one.
            Some(successor) if successor.key.nonce == holder.key.nonce => return Ok(()),
            Some(_) => self.met(Difference::Fence),
            None => {
                let result_is_refused = matches!(how, How::Done { result: Some(_) });
                if result_is_refused && !holder.message.retention.is_zero() {
                    self.met(Difference::ZombieResult);
                } else {
                    let answer = self.settle_by_go(0, &holder, how)?;
                    same("settled late", false, answer.is_ok())?;
                }
            }
        }
        let ours = self.settle_by_ours(&holder, how, Claim::Holder).await?;
        same("settled late", Finished::NotOwner, ours)
    }

    pub(super) async fn extend(&mut self, picks: &[u16], who: Who) -> Step {
        let mut picked: Vec<usize> = picks.iter().map(|pick| usize::from(*pick)).collect();
        let count = self.holders.len();
        picked.iter_mut().for_each(|pick| *pick %= count.max(1));
        picked.sort_unstable();
        picked.dedup();
        for pick in picked.into_iter().filter(|pick| *pick < count) {
            let key = self.holders[pick].key.clone();
            let expected = self.extend_by_go(0, &key)?;
            let ours = match who {
                // Go writes whole seconds, so the holder has no nonce any more: only for Go's own.
                Who::Go if key.nonce == 0 => self.extend_by_go(1, &key)?,
                _ => match self
                    .broker
                    .extend(std::slice::from_ref(&key), LEASE)
                    .await?
                    .as_slice()
                {
                    [Extension::Held { expires_at, .. }] => expires_at.unix_seconds(),
                    other => {
                        return Err(Stop::Differs(format!(
                            "extension of a lease that is held: {other:?}"
                        )));
                    }
                },
            };
            same("extension", expected, ours)?;
        }
        Ok(())
    }

    fn extend_by_go(&mut self, side: usize, key: &LeaseKey) -> Result<i64, Stop> {
        let expiry = self.must(side, "extend_lease", |request| {
            request
                .with("queue", key.queue.as_str())
                .with("ids", vec![key.id.as_str()])
        })?;
        Ok(expiry.as_i64().unwrap_or_default().div_euclid(1_000_000))
    }

    pub(super) async fn write_result(&mut self, pick: u16, result: &str) -> Step {
        if self.holders.is_empty() {
            return Ok(());
        }
        let key = self.holders[usize::from(pick) % self.holders.len()].key.clone();
        self.write_result_by_go(0, &key, result)?;
        let data = bytes::Bytes::copy_from_slice(result.as_bytes());
        let is_written = self.broker.write_result(&key, data).await?;
        same("result written", true, is_written)
    }

    fn write_result_by_go(&mut self, side: usize, key: &LeaseKey, result: &str) -> Step {
        self.must(side, "write_result", |request| {
            request
                .with("queue", key.queue.as_str())
                .with("id", key.id.as_str())
                .with("data", hex::encode(result.as_bytes()))
        })?;
        Ok(())
    }

    /// As Go's recoverer does, without its grace for leases of ours.
    pub(super) async fn recover(&mut self, queue: u8, how: &How) -> Step {
        let queue = queue_name(queue);
        let now = self.now().unix_micros();
        let listed = self.must(0, "list_lease_expired", |request| {
            request.with("queues", vec![queue.as_str()]).with("at", now)
        })?;
        let listed: Vec<TaskId> = listed
            .as_array()
            .into_iter()
            .flatten()
            .map(|message| message::from_json(message).id)
            .collect();
        let mut expected = Vec::new();
        for id in listed {
            if self.has_expired(&queue, &id)? {
                expected.push(id);
            }
        }
        let mut expired = self.broker.expired(&queue, 100).await?.tasks;
        expired.sort_by(|one, other| one.key.id.cmp(&other.key.id));
        expected.sort();
        let found: Vec<TaskId> = expired.iter().map(|task| task.key.id.clone()).collect();
        same("expired leases", expected, found)?;
        for task in expired {
            let place = self.holders.iter().position(|holder| holder.key == task.key);
            let Some(place) = place else {
                return Err(Stop::Differs(format!("nobody holds {:?}", task.key)));
            };
            let holder = self.holders.swap_remove(place);
            same("message of an expired lease", &*holder.message, &*task.message)?;
            self.settle(&holder, how, Who::Ours, Claim::Expired).await?;
            self.late.push(holder);
        }
        Ok(())
    }

    /// Whether ours must find the lease of a task expired that Go finds expired without grace.
    fn has_expired(&mut self, queue: &QueueName, id: &TaskId) -> Result<bool, Stop> {
        let key = format!("{}lease", prefix(queue));
        let score: f64 = self.command(1, &["ZSCORE", &key, id.as_str()])?;
        let now = self.now();
        let grace = if score == score.floor() { 30 } else { 0 };
        let has_expired = now.unix_micros() as f64 / 1e6 >= score + f64::from(grace);
        if has_expired && grace == 0 && now < Timestamp::from_unix_seconds(score as i64 + 30) {
            self.met(Difference::LeaseGrace);
        }
        Ok(has_expired)
    }
}

/// What one side took out.
struct Taken {
    message: Value,
    /// In seconds.
    expires_at: i64,
    nonce: u32,
}

fn hash(key: &LeaseKey) -> String {
    format!("{}t:{}", prefix(&key.queue), key.id)
}

fn settlement(how: &How, claim: Claim) -> Settlement {
    match how {
        How::Done { result } => Settlement::Done {
            result: result.clone().map(|text| text.into_bytes().into()),
        },
        How::Drop => Settlement::Drop,
        How::Retry {
            delay,
            error,
            is_failure,
        } => Settlement::Retry {
            delay: Duration::from_micros(delay.unsigned_abs()),
            error: error.clone(),
            is_failure: *is_failure,
        },
        How::Archive { error } => Settlement::Archive { error: error.clone() },
        How::Requeue => Settlement::Requeue {
            lost: claim == Claim::Expired,
        },
    }
}
