//! Enqueueing, as Go's client does it on top of its broker.

use std::time::Duration;

use asynq_core::broker::{Enqueue as _, NewTask, Placement, Receipt};
use asynq_core::{GroupName, QueueName, TaskId, TaskMessage, TaskState, Timestamp, When};

use super::op::{self, Who};
use super::world::{SECOND, Step, Stop, World, group_name, prefix, queue_name, same};
use crate::differences::Difference;
use crate::{hex, message};

const TYPES: [&str; 2] = ["email:send", "x"];

impl World<'_> {
    pub(super) fn task(&self, task: &op::NewTask) -> NewTask {
        let seconds = |value: u16| Duration::from_secs(value.into());
        let now = self.now();
        let headers: &[(&str, &str)] = match task.headers % 3 {
            0 => &[],
            1 => &[("trace", "1")],
            _ => &[("a", ""), ("ä", "ö"), ("z", "0")],
        };
        let after = |seconds: u16| Timestamp::from_unix_seconds(now.unix_seconds() + i64::from(seconds));
        let message = TaskMessage {
            id: TaskId::from_stored(format!("id:{}", task.id)),
            queue: queue_name(task.queue),
            task_type: TYPES[usize::from(task.kind) % 2].into(),
            payload: payload(task.payload).into(),
            headers: headers
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            max_retry: task.max_retry.into(),
            retried: 0,
            last_error: String::new(),
            last_failed_at: None,
            timeout: task.timeout.map(seconds),
            deadline: task.deadline.map(after),
            retention: task.retention.map_or(Duration::ZERO, seconds),
            completed_at: None,
            group: task.group.map(group_name),
            unique_key: None,
            unknown_fields: bytes::Bytes::new(),
        };
        let at = |at: i64| When::At(Timestamp::from_unix_micros(now.unix_micros() + at));
        NewTask {
            message,
            placement: task
                .at
                .map_or(Placement::Now, |after| Placement::Later(at(after))),
            unique_ttl: task.unique.map(seconds),
        }
    }

    pub(super) async fn enqueue(&mut self, task: &op::NewTask, who: Who) -> Step {
        let task = self.task(task);
        let expected = self.enqueue_by_go(0, &task)?;
        let receipt = match who {
            Who::Go => self.enqueue_by_go(1, &task)?,
            Who::Ours => {
                let receipt = self.broker.enqueue(std::slice::from_ref(&task)).await?.pop();
                receipt.ok_or_else(|| Stop::Differs("no receipt".to_owned()))?
            }
        };
        self.same_receipt(&task, expected, receipt)
    }

    pub(super) fn same_receipt(&mut self, task: &NewTask, go: Receipt, ours: Receipt) -> Step {
        if matches!(go, Receipt::Duplicate { .. }) && matches!(ours, Receipt::IdTaken { .. }) {
            let key = task_key(task);
            let is_there: bool = self.command(0, &["EXISTS", &key])?;
            if is_there {
                self.met(Difference::ConflictBeforeDuplicate);
                return Ok(());
            }
        }
        same("receipt", go, ours)
    }

    /// As Go's client does, with what ours does better made up for.
    pub(super) fn enqueue_by_go(&mut self, side: usize, task: &NewTask) -> Result<Receipt, Stop> {
        let now = self.now();
        let at = match task.placement {
            Placement::Later(when) => Some(when.resolve(now)).filter(|at| *at > now),
            Placement::Now => None,
        };
        let mut message = message::to_json(&task.message);
        let lock = self.lock_key(
            &task.message.queue,
            &task.message.task_type,
            &task.message.payload,
        )?;
        if task.unique_ttl.is_some() {
            message["unique_key"] = lock.clone().into();
        }
        let group = task.message.group.as_ref().map_or("", GroupName::as_str);
        let (base, state) = match (at, group) {
            (Some(_), _) => ("schedule", TaskState::Scheduled),
            (None, "") => ("enqueue", TaskState::Pending),
            _ => ("add_to_group", TaskState::Aggregating),
        };
        let unique = if task.unique_ttl.is_some() { "_unique" } else { "" };
        let until = at
            .unwrap_or(now)
            .saturating_add(task.unique_ttl.unwrap_or_default());
        let answer = self.ask(side, &format!("{base}{unique}"), |request| {
            request
                .with("message", message.clone())
                .with("group", group)
                .with("at", at.unwrap_or(now).unix_micros())
                .with("ttl", until.unix_micros() - now.unix_micros())
        })?;
        let Err(error) = answer else {
            self.make_up_for_enqueued(side, state, task, &lock)?;
            let next_process_at = match state {
                TaskState::Pending => Some(now),
                _ => at,
            };
            return Ok(Receipt::Accepted {
                state,
                next_process_at,
            });
        };
        match error.kind.as_str() {
            "duplicate" => Ok(Receipt::Duplicate {
                holder: TaskId::from_stored(self.command::<String>(side, &["GET", &lock])?),
            }),
            "id_conflict" => self.make_up_for_conflict(side, task, &lock),
            _ => Err(Stop::Broken(format!("Go's {base} failed: {}", error.text))),
        }
    }

    fn make_up_for_enqueued(&mut self, side: usize, state: TaskState, task: &NewTask, lock: &str) -> Step {
        let key = task_key(task);
        if let (TaskState::Scheduled, Some(group)) = (state, &task.message.group) {
            self.make_up_for_field(side, &key, ["group", group.as_str()], Difference::ScheduledGroup)?;
        }
        if state == TaskState::Aggregating && task.unique_ttl.is_some() {
            self.make_up_for_field(side, &key, ["unique_key", lock], Difference::GroupUniqueKey)?;
        }
        Ok(())
    }

    /// Go has just taken the lock, or it would have said that the task is a duplicate.
    fn make_up_for_conflict(&mut self, side: usize, task: &NewTask, lock: &str) -> Result<Receipt, Stop> {
        if task.unique_ttl.is_some() {
            let deleted: i64 = self.command(side, &["DEL", lock])?;
            if deleted == 1 {
                self.met(Difference::LockOnConflict);
            }
        }
        let state: String = self.command(side, &["HGET", &task_key(task), "state"])?;
        Ok(Receipt::IdTaken {
            state: state.parse().ok(),
        })
    }

    /// The name that Go gives to a lock.
    pub(super) fn lock_key(
        &mut self,
        queue: &QueueName,
        task_type: &str,
        payload: &[u8],
    ) -> Result<String, Stop> {
        let key = self.must(0, "unique_key", |request| {
            request
                .with("queue", queue.as_str())
                .with("text", task_type)
                .with("data", hex::to_json(payload))
        })?;
        Ok(key.as_str().unwrap_or_default().to_owned())
    }

    pub(super) fn end_locks(&mut self, queue: u8, kind: u8, payload_number: u8) -> Step {
        let kind = TYPES[usize::from(kind) % 2];
        let lock = self.lock_key(&queue_name(queue), kind, payload(payload_number))?;
        for side in [0, 1] {
            self.command::<i64>(side, &["DEL", &lock])?;
        }
        Ok(())
    }
}

fn task_key(task: &NewTask) -> String {
    format!("{}t:{}", prefix(&task.message.queue), task.message.id)
}

fn payload(number: u8) -> &'static [u8] {
    match number % 3 {
        0 => b"",
        1 => b"{\"n\":1}",
        _ => &[0xff, 0, b'\n'],
    }
}

/// Microseconds of whole seconds.
pub(super) fn micros(seconds: u16) -> i64 {
    i64::from(seconds) * SECOND
}
