//! What the background loops of servers do.

use asynq_core::broker::{
    Aggregate as _, GroupLimits, Inspect as _, Maintain as _, Receipt, ReconcileCursor, SetKey,
};
use asynq_core::{GroupName, QueueName, Timestamp};
use std::time::Duration;

use super::enqueue::micros;
use super::op::{self, Limits, Who};
use super::world::{SECOND, Set, Step, Stop, World, group_name, prefix, queue_name, same};
use crate::differences::Difference;
use crate::message;

const NINETY_DAYS: i64 = 90 * 86_400;

impl World<'_> {
    pub(super) async fn forward(&mut self, queue: u8, who: Who) -> Step {
        let queue = queue_name(queue);
        if !self.known.is_mixed {
            // Go takes what is due in this second, ours what is due now: the same at the end of the second. In a mixed
            // sequence all times are whole seconds.
            let second = self.now().unix_seconds();
            self.clock
                .set(Timestamp::from_unix_micros(second * SECOND + SECOND - 1));
        }
        for side in World::sides(who) {
            self.forward_by_go(*side, &queue)?;
        }
        if who == Who::Ours {
            while self.broker.forward(&queue).await?.more {}
            self.adopt_order(&queue)?;
        }
        Ok(())
    }

    fn forward_by_go(&mut self, side: usize, queue: &QueueName) -> Step {
        self.must(side, "forward", |request| {
            request.with("queues", vec![queue.as_str()])
        })?;
        self.list_groups(side, queue)
    }

    /// Lists groups that tasks have come to without being added.
    fn list_groups(&mut self, side: usize, queue: &QueueName) -> Step {
        for number in [0, 1] {
            let group = group_name(number);
            let key = format!("{}g:{group}", prefix(queue));
            if self.command::<bool>(side, &["EXISTS", &key])? {
                let groups = format!("{}groups", prefix(queue));
                let added: i64 = self.command(side, &["SADD", &groups, group.as_str()])?;
                if added == 1 {
                    self.met(Difference::GroupListed);
                }
            }
        }
        Ok(())
    }

    /// Puts the pending tasks of Go's side in the order of ours, if only tasks that are new there and came in the same
    /// second differ in their order, and those of ours are in the order of their exact times.
    pub(super) fn adopt_order(&mut self, queue: &QueueName) -> Step {
        let key = format!("{}pending", prefix(queue));
        let go: Vec<String> = self.command(0, &["LRANGE", &key, "0", "-1"])?;
        let ours: Vec<String> = self.command(1, &["LRANGE", &key, "0", "-1"])?;
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        if go == ours || sorted(&go) != sorted(&ours) || !self.is_in_exact_order(queue, &go, &ours) {
            return Ok(());
        }
        self.command::<i64>(0, &["DEL", &key])?;
        let words: Vec<&str> = ["RPUSH", &key]
            .into_iter()
            .chain(ours.iter().map(String::as_str))
            .collect();
        self.command::<i64>(0, &words)?;
        self.met(Difference::OrderWithinSecond);
        Ok(())
    }

    fn is_in_exact_order(&self, queue: &QueueName, go: &[String], ours: &[String]) -> bool {
        // Newest first. Those of the same moment are in the order of their ids, as in Go.
        let moved: Vec<(Option<i64>, &String)> = go
            .iter()
            .zip(ours)
            .filter(|(one, other)| one != other)
            .map(|(_, id)| (self.dues.get(&(queue.to_string(), id.clone())).copied(), id))
            .collect();
        moved.is_sorted_by(|later, earlier| earlier.0.is_some() && earlier < later)
    }

    pub(super) fn has_old_archive(&mut self, queue: &QueueName) -> Result<bool, Stop> {
        let key = format!("{}archived", prefix(queue));
        let until = (self.now().unix_seconds() - NINETY_DAYS).to_string();
        Ok(self.command::<i64>(0, &["ZCOUNT", &key, "-inf", &until])? > 0)
    }

    pub(super) async fn purge(&mut self, queue: &QueueName, who: Who) -> Step {
        for side in World::sides(who) {
            self.must(*side, "delete_expired_completed_tasks", |request| {
                request.with("queue", queue.as_str()).with("size", 100)
            })?;
            self.trim_archive(*side, queue)?;
        }
        if who == Who::Ours {
            while self.broker.purge(queue, 100).await?.more {}
        }
        Ok(())
    }

    fn trim_archive(&mut self, side: usize, queue: &QueueName) -> Step {
        let key = format!("{}archived", prefix(queue));
        let until = (self.now().unix_seconds() - NINETY_DAYS).to_string();
        let old: Vec<String> = self.command(side, &["ZRANGEBYSCORE", &key, "-inf", &until])?;
        for id in old {
            self.delete_task(side, queue, &id)?;
            self.command::<i64>(side, &["ZREM", &key, &id])?;
            self.met(Difference::ArchiveTrim);
        }
        Ok(())
    }

    /// Deletes a task with the lock that it holds.
    fn delete_task(&mut self, side: usize, queue: &QueueName, id: &str) -> Step {
        self.free_lock(side, queue, id)?;
        self.command::<i64>(side, &["DEL", &format!("{}t:{id}", prefix(queue))])?;
        Ok(())
    }

    /// Says whether there was one.
    pub(super) fn free_lock(&mut self, side: usize, queue: &QueueName, id: &str) -> Result<bool, Stop> {
        let key = format!("{}t:{id}", prefix(queue));
        let lock: Option<String> = self.command(side, &["HGET", &key, "unique_key"])?;
        let Some(lock) = lock else { return Ok(false) };
        let holder: Option<String> = self.command(side, &["GET", &lock])?;
        let is_held = holder.as_deref() == Some(id);
        if is_held {
            self.command::<i64>(side, &["DEL", &lock])?;
        }
        Ok(is_held)
    }

    pub(super) async fn seal(&mut self, queue: u8, group: u8, limits: &Limits, who: Who) -> Step {
        let (queue, group) = (queue_name(queue), group_name(group));
        let go = self.seal_by_go(0, &queue, &group, limits)?;
        let ours = match who {
            Who::Go => self.seal_by_go(1, &queue, &group, limits)?,
            Who::Ours => self.seal_by_ours(&queue, &group, limits).await?,
        };
        let of = |sealed: &Option<Sealed>| sealed.as_ref().map(|set| (set.ids.clone(), set.deadline));
        same("sealed", of(&go), of(&ours))?;
        if let (Some(go), Some(ours)) = (go, ours) {
            self.sets.push(Set {
                queue,
                group,
                ids: [go.id, ours.id],
            });
        }
        Ok(())
    }

    fn seal_by_go(
        &mut self,
        side: usize,
        queue: &QueueName,
        group: &GroupName,
        limits: &Limits,
    ) -> Result<Option<Sealed>, Stop> {
        let id = self.must(side, "aggregation_check", |request| {
            request
                .with("queue", queue.as_str())
                .with("group", group.as_str())
                .with("grace", micros(limits.grace))
                .with("delay", limits.max_delay.map_or(0, micros))
                .with("size", limits.max_size.unwrap_or(0))
        })?;
        let id = id.as_str().unwrap_or_default().to_owned();
        if id.is_empty() {
            return Ok(None);
        }
        let set = self.must(side, "read_aggregation_set", |request| {
            request
                .with("queue", queue.as_str())
                .with("group", group.as_str())
                .with("set", id.clone())
        })?;
        let messages = set["messages"].as_array().cloned().unwrap_or_default();
        Ok(Some(Sealed {
            id,
            ids: messages
                .iter()
                .map(|one| message::from_json(one).id.to_string())
                .collect(),
            deadline: set["deadline"].as_i64().unwrap_or_default(),
        }))
    }

    async fn seal_by_ours(
        &mut self,
        queue: &QueueName,
        group: &GroupName,
        limits: &Limits,
    ) -> Result<Option<Sealed>, Stop> {
        let limits = GroupLimits {
            grace_period: Duration::from_secs(limits.grace.into()),
            max_delay: limits.max_delay.map(|delay| Duration::from_secs(delay.into())),
            max_size: limits.max_size.map(usize::from),
        };
        let sealed = self.broker.seal(queue, group, &limits).await?;
        Ok(sealed.map(|set| Sealed {
            id: set.key.id,
            ids: set.tasks.iter().map(|task| task.id.to_string()).collect(),
            deadline: set.deadline.unix_micros(),
        }))
    }

    pub(super) async fn merge(&mut self, pick: u16, task: &op::NewTask) -> Step {
        if self.sets.is_empty() {
            return Ok(());
        }
        let set = self.sets[usize::from(pick) % self.sets.len()].clone();
        let mut task = self.task(task);
        task.message.queue = set.queue.clone();
        let go = self.merge_by_go(&set, &task)?;
        let key = SetKey {
            queue: set.queue,
            group: set.group,
            id: set.ids[1].clone(),
        };
        let ours = self.broker.finish_set(&key, &task).await?;
        match (go, ours) {
            (Some(go), Some(ours)) => self.same_receipt(&task, go, ours),
            (go, ours) => same("merged", go, ours),
        }
    }

    /// As Go's aggregator does: enqueue, then delete.
    fn merge_by_go(
        &mut self,
        set: &Set,
        task: &asynq_core::broker::NewTask,
    ) -> Result<Option<Receipt>, Stop> {
        let key = format!("{}g:{}:{}", prefix(&set.queue), set.group, set.ids[0]);
        let members: Vec<String> = self.command(0, &["ZRANGE", &key, "0", "-1"])?;
        if members.is_empty() {
            self.met(Difference::LateMerge);
            return Ok(None);
        }
        let receipt = self.enqueue_by_go(0, task)?;
        if matches!(receipt, Receipt::Accepted { .. }) {
            for id in members {
                if self.free_lock(0, &set.queue, &id)? {
                    self.met(Difference::MergeFreesLocks);
                }
            }
            self.must(0, "delete_aggregation_set", |request| {
                request
                    .with("queue", set.queue.as_str())
                    .with("group", set.group.as_str())
                    .with("set", set.ids[0].as_str())
            })?;
        }
        Ok(Some(receipt))
    }

    pub(super) async fn reclaim(&mut self, queue: u8, who: Who) -> Step {
        let queue = queue_name(queue);
        for side in World::sides(who) {
            self.must(*side, "reclaim_stale_aggregation_sets", |request| {
                request.with("queue", queue.as_str())
            })?;
            self.list_groups(*side, &queue)?;
        }
        if who == Who::Ours {
            self.broker.reclaim(&queue).await?;
        }
        Ok(())
    }

    pub(super) async fn reconcile(&mut self, queue: u8) -> Step {
        let queue = queue_name(queue);
        let mut cursor = ReconcileCursor::default();
        loop {
            let reconciled = self.broker.reconcile(&queue, cursor).await?;
            same("mended", 0, reconciled.total())?;
            cursor = reconciled.next;
            if cursor == ReconcileCursor::default() {
                return Ok(());
            }
        }
    }

    pub(super) async fn pause(&mut self, queue: u8, who: Who, is_pause: bool) -> Step {
        let queue = queue_name(queue);
        let operation = if is_pause { "pause" } else { "unpause" };
        let mut by_go = |side| self.ask(side, operation, |request| request.with("queue", queue.as_str()));
        let go = by_go(0)?.is_ok();
        let ours = match (who, is_pause) {
            (Who::Go, _) => by_go(1)?.is_ok(),
            (Who::Ours, true) => self.broker.pause(&queue).await?,
            (Who::Ours, false) => self.broker.resume(&queue).await?,
        };
        same(operation, go, ours)
    }
}

struct Sealed {
    id: String,
    ids: Vec<String>,
    /// In microseconds.
    deadline: i64,
}
