//! The inspector on the first database: Go's, with what ours does better made up for.

use asynq_core::TaskState;
use asynq_core::broker::Action as Act;

use super::action::{Action, Scope, operation_on_one};
use super::inspect::{PAYLOAD, Target};
use super::world::{Step, Stop, World, same};
use crate::differences::Difference;
use crate::go::GoError;
use crate::{hex, message};

/// What an inspector says, in words that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// To so many tasks.
    DoneTo(u64),
    NoQueue,
    NoTask,
    NotEmpty,
    /// The task is in a state for which this is not.
    Refused,
    /// Another task holds the lock.
    Duplicate,
    /// Another task has the id.
    IdTaken,
}

impl World<'_> {
    /// Does it on the first database, with what ours does better made up for.
    pub(super) fn expected(&mut self, action: Action, target: &Target) -> Result<Answer, Stop> {
        match action.scope() {
            Scope::One(act) => self.expected_of_one(act, target, target.id.as_str()),
            Scope::Payload => self.expected_of_payload(target),
            Scope::All(Act::Cancel, _) => self.expected_of_cancel_all(target),
            Scope::All(act, state) => self.expected_of_all(action, act, state, target),
            Scope::Some(act) => self.expected_of_some(act, target),
            Scope::Queue { force } => self.expected_of_queue(action, force, target),
        }
    }

    pub(super) fn is_listed(&mut self, target: &Target) -> Result<bool, Stop> {
        self.command(0, &["SISMEMBER", "asynq:queues", target.queue.as_str()])
    }

    fn expected_of_one(&mut self, act: Act, target: &Target, id: &str) -> Result<Answer, Stop> {
        let key = target.task_key(id);
        let state: Option<String> = self.command(0, &["HGET", &key, "state"])?;
        let is_listed = self.is_listed(target)?;
        if !is_listed && state.is_some() {
            // Go's inspector forgot the queue but not all of its tasks.
            self.met(Difference::UnlistedQueue);
            self.command::<i64>(0, &["SADD", "asynq:queues", target.queue.as_str()])?;
        }
        let answer = self.ask(0, operation_on_one(act), |request| {
            request.with("queue", target.queue.as_str()).with("id", id)
        })?;
        if !is_listed {
            self.command::<i64>(0, &["SREM", "asynq:queues", target.queue.as_str()])?;
        }
        if act == Act::Cancel {
            return Ok(self.checked_cancel(is_listed, state.as_deref()));
        }
        match answer {
            Ok(_) if act == Act::Run => {
                self.make_up_for_run(target, &[id.to_owned()])?;
                Ok(Answer::Done)
            }
            Ok(_) => Ok(Answer::Done),
            Err(error) => answer_of(&error),
        }
    }

    /// Go publishes whatever it is given.
    fn checked_cancel(&mut self, is_listed: bool, state: Option<&str>) -> Answer {
        if state == Some("active") {
            return Answer::Done;
        }
        self.met(Difference::CancelChecked);
        match state {
            Some(_) => Answer::Refused,
            None if is_listed => Answer::NoTask,
            None => Answer::NoQueue,
        }
    }

    fn make_up_for_run(&mut self, target: &Target, ids: &[String]) -> Step {
        let nanos = format!("{}000", self.now().unix_micros());
        for id in ids {
            let key = target.task_key(id);
            self.command::<i64>(0, &["HSET", &key, "pending_since", &nanos])?;
            self.met(Difference::RunPendingSince);
        }
        Ok(())
    }

    fn ids(&mut self, target: &Target, state: TaskState) -> Result<Vec<String>, Stop> {
        match state {
            TaskState::Pending | TaskState::Active => {
                self.command(0, &["LRANGE", &target.key(state.as_str()), "0", "-1"])
            }
            TaskState::Aggregating => {
                let key = target.key(&format!("g:{}", target.group));
                self.command(0, &["ZRANGE", &key, "0", "-1"])
            }
            _ => self.command(0, &["ZRANGE", &target.key(state.as_str()), "0", "-1"]),
        }
    }

    fn expected_of_all(
        &mut self,
        action: Action,
        act: Act,
        state: TaskState,
        target: &Target,
    ) -> Result<Answer, Stop> {
        let ids = self.ids(target, state)?;
        let forgets_locks = matches!(state, TaskState::Pending | TaskState::Aggregating);
        if act == Act::Delete && forgets_locks && self.is_listed(target)? {
            for id in &ids {
                if self.free_lock(0, &target.queue, id)? {
                    self.met(Difference::DeleteFreesLocks);
                }
            }
        }
        match self.ask_inspector(0, action, target)? {
            Ok(count) => {
                if act == Act::Run {
                    self.make_up_for_run(target, &ids)?;
                }
                Ok(Answer::DoneTo(count.as_u64().unwrap_or_default()))
            }
            Err(error) => answer_of(&error),
        }
    }

    /// As asynqmon does: one after the other.
    fn expected_of_cancel_all(&mut self, target: &Target) -> Result<Answer, Stop> {
        if !self.is_listed(target)? {
            return Ok(Answer::NoQueue);
        }
        let ids = self.ids(target, TaskState::Active)?;
        for id in &ids {
            self.must(0, "publish_cancelation", |request| {
                request.with("id", id.as_str())
            })?;
        }
        Ok(Answer::DoneTo(ids.len() as u64))
    }

    /// Go has no filters: it does it to those that pass, one after the other.
    fn expected_of_some(&mut self, act: Act, target: &Target) -> Result<Answer, Stop> {
        if !self.is_listed(target)? {
            return Ok(Answer::NoQueue);
        }
        let state = target.drawn_state(act);
        let tasks = self.must(0, &format!("list_{state}"), |request| {
            request
                .with("queue", target.queue.as_str())
                .with("group", target.group.as_str())
                .with("size", 1000)
        })?;
        let tasks = tasks.as_array().cloned().unwrap_or_default();
        let mut done = 0;
        for task in tasks
            .iter()
            .map(|task| message::from_json(&task["message"]))
            .filter(|task| target.sieve().passes(task))
        {
            if self.expected_of_one(act, target, task.id.as_str())? == Answer::Done {
                done += 1;
            }
        }
        Ok(Answer::DoneTo(done))
    }

    /// Ours changes the payload of all that wait, and moves the lock along.
    fn expected_of_payload(&mut self, target: &Target) -> Result<Answer, Stop> {
        let key = target.task_key(target.id.as_str());
        let is_listed = self.is_listed(target)?;
        let stored: (Option<String>, Option<Vec<u8>>) = self.command(0, &["HMGET", &key, "state", "msg"])?;
        let (Some(state), Some(stored)) = stored else {
            let go = self.ask_inspector(0, Action::UpdateTaskPayload, target)?;
            return go.map_or_else(|error| answer_of(&error), |_| Ok(Answer::Done));
        };
        let decoded = self.must(0, "decode_message", |request| {
            request.with("data", hex::encode(&stored))
        })?;
        let old = message::from_json(&decoded);
        if !self.may_change(target, &state)? {
            if !is_listed {
                self.met(Difference::UnlistedQueue);
                return Ok(Answer::Refused);
            }
            let go = self.ask_inspector(0, Action::UpdateTaskPayload, target)?;
            return go.map_or_else(|error| answer_of(&error), |_| Ok(Answer::Done));
        }
        let mut new = decoded.clone();
        new["payload"] = hex::encode(PAYLOAD).into();
        if let Some(lock) = &old.unique_key {
            let new_lock = self.lock_key(&target.queue, &old.task_type, PAYLOAD)?;
            if !self.exchange_lock(target.id.as_str(), lock, &new_lock)? {
                return Ok(Answer::Duplicate);
            }
            new["unique_key"] = new_lock.clone().into();
            self.command::<i64>(0, &["HSET", &key, "unique_key", &new_lock])?;
        }
        if state == "scheduled" && is_listed {
            // Go can do this by itself, all but for the lock.
            let go = self.ask_inspector(0, Action::UpdateTaskPayload, target)?;
            same("payload", true, go.is_ok())?;
        } else {
            self.met(Difference::UpdateWaiting);
        }
        let encoded = self.must(0, "encode_message", |request| {
            request.with("message", new.clone())
        })?;
        let encoded = hex::from_json(&encoded);
        self.command_with(0, &["HSET", &key, "msg"], &encoded)?;
        Ok(Answer::Done)
    }

    pub(super) fn may_change(&mut self, target: &Target, state: &str) -> Result<bool, Stop> {
        if state != "aggregating" {
            return Ok(!matches!(state, "active" | "completed"));
        }
        // One in a sealed set is about to be merged.
        let group: String = self.command(0, &["HGET", &target.task_key(target.id.as_str()), "group"])?;
        let key = target.key(&format!("g:{group}"));
        let score: Option<f64> = self.command(0, &["ZSCORE", &key, target.id.as_str()])?;
        Ok(score.is_some())
    }

    /// The lock goes along if the task holds it. False if another task holds the one it would become.
    pub(super) fn exchange_lock(&mut self, id: &str, old: &str, new: &str) -> Result<bool, Stop> {
        let holder: Option<String> = self.command(0, &["GET", old])?;
        if old == new || holder.as_deref() != Some(id) {
            return Ok(true);
        }
        self.met(Difference::UpdateMovesLock);
        let other: Option<String> = self.command(0, &["GET", new])?;
        if other.is_some_and(|other| other != id) {
            return Ok(false);
        }
        self.command::<String>(0, &["RENAME", old, new])?;
        Ok(true)
    }

    fn expected_of_queue(&mut self, action: Action, force: bool, target: &Target) -> Result<Answer, Stop> {
        if !force && self.is_listed(target)? {
            let tasks: Vec<String> = self.command(0, &["KEYS", &target.task_key("*")])?;
            let mut is_seen_by_go = false;
            for state in TaskState::ALL {
                let is_unseen = matches!(state, TaskState::Completed | TaskState::Aggregating);
                is_seen_by_go |= !is_unseen && !self.ids(target, state)?.is_empty();
            }
            if !tasks.is_empty() && !is_seen_by_go {
                self.met(Difference::QueueIsEmpty);
                return Ok(Answer::NotEmpty);
            }
        }
        match self.ask_inspector(0, action, target)? {
            Ok(_) => {
                let left: Vec<String> = self.command(0, &["KEYS", &target.key("*")])?;
                for key in &left {
                    self.command::<i64>(0, &["DEL", key])?;
                }
                if !left.is_empty() {
                    self.met(Difference::QueueDeletedWhole);
                }
                Ok(Answer::Done)
            }
            // By force it is only refused for tasks that run.
            Err(error) if force && error.code == "FAILED_PRECONDITION" => Ok(Answer::NotEmpty),
            Err(error) => answer_of(&error),
        }
    }
}

fn answer_of(error: &GoError) -> Result<Answer, Stop> {
    match error.kind.as_str() {
        "queue_not_found" => Ok(Answer::NoQueue),
        "task_not_found" => Ok(Answer::NoTask),
        "queue_not_empty" => Ok(Answer::NotEmpty),
        "already_archived" => Ok(Answer::Refused),
        // A task in a sealed set is in none of the lists where Go looks for it.
        _ if error.code == "FAILED_PRECONDITION" || error.text.contains("not found in") => {
            Ok(Answer::Refused)
        }
        _ => Err(Stop::Broken(format!("Go's inspector failed: {}", error.text))),
    }
}
