//! Changes tasks that wait.

use std::sync::Arc;

use crate::broker::{Change, Changed};
use crate::clock::Timestamp;
use crate::message::{TaskMessage, TaskState};
use crate::names::{QueueName, TaskId};

use super::State;
use super::enqueue::unique_key;
use super::queue::{Place, Queue};

impl State {
    pub(super) fn change(
        &mut self,
        queue: &QueueName,
        id: &TaskId,
        change: &Change,
        now: Timestamp,
    ) -> Changed {
        let Some(record) = self.queues.get(queue).and_then(|tasks| tasks.tasks.get(id)) else {
            return Changed::NotFound;
        };
        let state = record.place.state();
        if !change.is_for(state) {
            return Changed::WrongState(state);
        }
        if matches!(record.place, Place::Set(_)) {
            return Changed::BeingMerged;
        }
        let target = change.queue.as_ref().unwrap_or(queue);
        let is_taken = |tasks: &Queue| tasks.tasks.contains_key(id);
        if target != queue && self.queues.get(target).is_some_and(is_taken) {
            return Changed::IdTaken;
        }
        let mut message = record.message.as_ref().clone();
        if let Err(refused) = self.move_lock(queue, target, change, &mut message, now) {
            return refused;
        }
        self.carry_out(queue, target, change, message, now);
        Changed::Done
    }

    /// Fills the change into the message. A lock that the task holds is exchanged for that of what it becomes.
    fn move_lock(
        &mut self,
        queue: &QueueName,
        target: &QueueName,
        change: &Change,
        message: &mut TaskMessage,
        now: Timestamp,
    ) -> Result<(), Changed> {
        message.queue = target.clone();
        message.max_retry = change.max_retry.unwrap_or(message.max_retry);
        if let Some(payload) = &change.payload {
            message.payload = payload.clone();
        }
        let Some(old_key) = message.unique_key.clone() else {
            return Ok(());
        };
        let new_key = unique_key(message);
        message.unique_key = Some(new_key.clone());
        let held = self
            .queues
            .get(queue)
            .and_then(|tasks| tasks.lock_held_by(&old_key, &message.id, now));
        let Some(expires) = held.filter(|_| old_key != new_key || queue != target) else {
            return Ok(());
        };
        let tasks = self.queues.entry(target.clone()).or_default();
        if let Some(holder) = tasks.holder(&new_key, now) {
            return Err(Changed::Duplicate {
                holder: holder.clone(),
            });
        }
        tasks.lock(new_key, message.id.clone(), expires);
        if let Some(tasks) = self.queues.get_mut(queue) {
            tasks.release(&message.id);
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        queue: &QueueName,
        target: &QueueName,
        change: &Change,
        message: TaskMessage,
        now: Timestamp,
    ) {
        let id = message.id.clone();
        let Some(mut record) = self.queues.get_mut(queue).and_then(|tasks| tasks.take_out(&id)) else {
            return;
        };
        record.message = Arc::new(message);
        let tasks = self.queues.entry(target.clone()).or_default();
        let due = change.process_at.map(|when| when.resolve(now).max(now));
        match (record.place.state(), due) {
            (TaskState::Scheduled | TaskState::Retry, Some(due)) => record.slot = tasks.slot(due),
            (_, Some(due)) if due > now => {
                record.place = Place::Scheduled;
                record.slot = tasks.slot(due);
                record.lost = 0;
            }
            _ if target == queue => {}
            (TaskState::Pending, _) => {
                record.place = Place::Pending { since: now };
                record.slot = tasks.slot_behind_all();
            }
            // Another queue counts its arrivals from another beginning.
            _ => record.slot = tasks.slot(record.slot.at),
        }
        tasks.put(id, record);
    }
}
