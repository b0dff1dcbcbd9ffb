//! Changes of tasks that wait. Go can change no more than a payload: what is expected is written down here, and Go works on
//! with it.

use asynq_core::{Change, Inspector, QueueName, TaskState, Timestamp, When};

use super::expected::Answer;
use super::inspect::{Target, our_answer_of};
use super::op::NewPlace;
use super::world::{SECOND, Step, Stop, World, prefix, queue_name, same};
use crate::{hex, message};

/// A task on the first database.
struct Standing {
    queue: QueueName,
    state: TaskState,
    group: String,
}

impl Standing {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", prefix(&self.queue))
    }

    /// Its list or set.
    fn list(&self) -> String {
        match self.state {
            TaskState::Aggregating => self.key(&format!("g:{}", self.group)),
            state => self.key(state.as_str()),
        }
    }
}

impl World<'_> {
    pub(super) async fn change(&mut self, target: &Target, place: &NewPlace) -> Step {
        let at = place
            .at
            .map(|seconds| Timestamp::from_unix_micros(self.now().unix_micros() + seconds * SECOND));
        let change = Change {
            process_at: at.map(When::At),
            max_retry: place.max_retry.map(u32::from),
            queue: place.queue.map(queue_name),
            ..Change::default()
        };
        let expected = self.expected_of_change(target, &change, at)?;
        let inspector = Inspector::new(self.broker.clone());
        let ours = inspector.change_task(&target.queue, &target.id, &change).await;
        let ours = ours.map_or_else(|error| our_answer_of(&error), |()| Ok(Answer::Done));
        same("change", expected, ours?)
    }

    fn expected_of_change(
        &mut self,
        target: &Target,
        change: &Change,
        at: Option<Timestamp>,
    ) -> Result<Answer, Stop> {
        let Some((old, bytes)) = self.standing(target)? else {
            let is_listed = self.is_listed(target)?;
            return Ok(if is_listed {
                Answer::NoTask
            } else {
                Answer::NoQueue
            });
        };
        let is_later = at.is_some_and(|at| at > self.now());
        let new = Standing {
            queue: change.queue.clone().unwrap_or_else(|| old.queue.clone()),
            state: match old.state {
                TaskState::Pending | TaskState::Aggregating if is_later => TaskState::Scheduled,
                state => state,
            },
            group: old.group.clone(),
        };
        if let Some(refused) = self.refused(target, change, &old, &new)? {
            return Ok(refused);
        }
        let Some(message) = self.changed_message(target, change, &bytes)? else {
            return Ok(Answer::Duplicate);
        };
        self.relocate(target.id.as_str(), &old, &new, at)?;
        let key = new.key(&format!("t:{}", target.id));
        let fields = ["HSET", &key, "state", new.state.as_str(), "msg"];
        self.command_with(0, &fields, &message)?;
        Ok(Answer::Done)
    }

    /// Where the task is, and its message.
    fn standing(&mut self, target: &Target) -> Result<Option<(Standing, Vec<u8>)>, Stop> {
        type Fields = (Option<String>, Option<Vec<u8>>, Option<String>);
        let key = target.task_key(target.id.as_str());
        let stored: Fields = self.command(0, &["HMGET", &key, "state", "msg", "group"])?;
        let (Some(state), Some(bytes), group) = stored else {
            return Ok(None);
        };
        let state = state.parse();
        let standing = Standing {
            queue: target.queue.clone(),
            state: state.map_err(|error| Stop::Broken(format!("Go's state: {error}")))?,
            group: group.unwrap_or_default(),
        };
        Ok(Some((standing, bytes)))
    }

    fn refused(
        &mut self,
        target: &Target,
        change: &Change,
        old: &Standing,
        new: &Standing,
    ) -> Result<Option<Answer>, Stop> {
        if !change.is_for(old.state) {
            return Ok(Some(Answer::Refused));
        }
        if new.queue != old.queue {
            self.command::<i64>(0, &["SADD", "asynq:queues", new.queue.as_str()])?;
        }
        if !self.may_change(target, old.state.as_str())? {
            return Ok(Some(Answer::Refused));
        }
        let key = new.key(&format!("t:{}", target.id));
        let is_taken = new.queue != old.queue && self.command::<bool>(0, &["EXISTS", &key])?;
        Ok(is_taken.then_some(Answer::IdTaken))
    }

    /// The message as it is to be, with the lock exchanged for that in the new queue. Nothing if another task holds that.
    fn changed_message(
        &mut self,
        target: &Target,
        change: &Change,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Stop> {
        let mut json = self.must(0, "decode_message", |request| {
            request.with("data", hex::encode(bytes))
        })?;
        let old = message::from_json(&json);
        if let Some(lock) = &old.unique_key {
            let new_lock = match &change.queue {
                Some(queue) => self.lock_key(queue, &old.task_type, &old.payload)?,
                None => lock.clone(),
            };
            if !self.exchange_lock(target.id.as_str(), lock, &new_lock)? {
                return Ok(None);
            }
            let key = target.task_key(target.id.as_str());
            self.command::<i64>(0, &["HSET", &key, "unique_key", &new_lock])?;
            json["unique_key"] = new_lock.into();
        }
        if let Some(queue) = &change.queue {
            json["queue"] = queue.as_str().into();
        }
        if let Some(retries) = change.max_retry {
            json["retry"] = retries.into();
        }
        let encoded = self.must(0, "encode_message", |request| {
            request.with("message", json.clone())
        })?;
        Ok(Some(hex::from_json(&encoded)))
    }

    fn relocate(&mut self, id: &str, old: &Standing, new: &Standing, at: Option<Timestamp>) -> Step {
        let (old_list, new_list) = (old.list(), new.list());
        let mut score = None;
        if old.state != TaskState::Pending {
            score = self.command::<Option<String>>(0, &["ZSCORE", &old_list, id])?;
        }
        if old_list != new_list {
            match old.state {
                TaskState::Pending => self.command::<i64>(0, &["LREM", &old_list, "-1", id])?,
                _ => self.command::<i64>(0, &["ZREM", &old_list, id])?,
            };
        }
        if old.state == TaskState::Aggregating && !self.command::<bool>(0, &["EXISTS", &old_list])? {
            self.command::<i64>(0, &["SREM", &old.key("groups"), &old.group])?;
        }
        let new_key = new.key(&format!("t:{id}"));
        if old.queue != new.queue {
            self.command::<String>(0, &["RENAME", &old.key(&format!("t:{id}")), &new_key])?;
        }
        let now = self.now();
        let has_time = matches!(new.state, TaskState::Scheduled | TaskState::Retry);
        match (new.state, at) {
            (TaskState::Pending, _) if old_list == new_list => {}
            (TaskState::Pending, _) => {
                let nanos = format!("{}000", now.unix_micros());
                self.command::<i64>(0, &["LPUSH", &new_list, id])?;
                self.command::<i64>(0, &["HSET", &new_key, "pending_since", &nanos])?;
            }
            (_, Some(at)) if has_time => {
                let seconds = at.max(now).unix_seconds().to_string();
                self.command::<i64>(0, &["ZADD", &new_list, &seconds, id])?;
                self.command::<i64>(0, &["HDEL", &new_key, "pending_since"])?;
            }
            _ => {
                let score = score.unwrap_or_else(|| now.unix_seconds().to_string());
                self.command::<i64>(0, &["ZADD", &new_list, &score, id])?;
                if new.state == TaskState::Aggregating {
                    self.command::<i64>(0, &["SADD", &new.key("groups"), &new.group])?;
                }
            }
        }
        Ok(())
    }
}
