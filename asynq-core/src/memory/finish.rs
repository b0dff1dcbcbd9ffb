//! What becomes of a task that was taken out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Finish, Finished, Settlement, cut_error_text};
use crate::clock::Timestamp;
use crate::message::TaskMessage;
use crate::names::TaskId;

use super::queue::{Place, Queue, Record};
use super::watch::Change;
use super::{MemoryBroker, State, whole_second};

impl MemoryBroker {
    pub(super) fn finish_one(&self, state: &mut State, finish: &Finish, now: Timestamp) -> Finished {
        let Some(queue) = state.queues.get_mut(&finish.key.queue) else {
            return Finished::NotOwner;
        };
        if !queue.claim_holds(&finish.key, finish.claim, now) {
            return Finished::NotOwner;
        }
        queue.settle(&finish.key.id, &finish.settlement, now);
        match finish.settlement {
            Settlement::Requeue { .. } => self.watchers().tell(&finish.key.queue, Change::Pending),
            Settlement::Retry { .. } | Settlement::Snooze { .. } => {
                self.watchers().tell(&finish.key.queue, Change::Due);
            }
            Settlement::Done { .. } | Settlement::Drop | Settlement::Archive { .. } => {}
        }
        Finished::Settled
    }
}

impl Queue {
    fn settle(&mut self, id: &TaskId, settlement: &Settlement, now: Timestamp) {
        if let Some(record) = self.tasks.get_mut(id) {
            record.lost = match settlement {
                Settlement::Requeue { lost: true } => record.lost.saturating_add(1),
                _ => 0,
            };
        }
        match settlement {
            Settlement::Done { result } => self.done(id, result.clone(), now),
            Settlement::Drop => {
                self.counters.count(now, false);
                self.delete(id);
            }
            Settlement::Retry {
                delay,
                error,
                is_failure,
            } => self.retry(id, *delay, error, *is_failure, now),
            Settlement::Snooze { delay } => {
                self.leave_group(id);
                let slot = self.slot(now.saturating_add(*delay));
                self.place(id, Place::Scheduled, slot);
            }
            Settlement::Archive { error } => self.archive(id, error, now),
            Settlement::Requeue { .. } => {
                let slot = self.slot_before_all();
                self.place(id, Place::Pending { since: now }, slot);
            }
        }
    }

    fn done(&mut self, id: &TaskId, result: Option<Bytes>, now: Timestamp) {
        self.counters.count(now, false);
        let Some(record) = self.tasks.get_mut(id) else {
            return;
        };
        let retention = record.message.retention;
        if retention.is_zero() {
            return self.delete(id);
        }
        // A result that the handler wrote on its way stays when it returns none.
        record.result = result.or(record.result.take());
        let completed_at = whole_second(now);
        message_mut(record).completed_at = Some(completed_at);
        self.release(id);
        let slot = self.slot(completed_at.saturating_add(retention));
        self.place(id, Place::Completed, slot);
    }

    fn retry(&mut self, id: &TaskId, delay: Duration, error: &str, is_failure: bool, now: Timestamp) {
        self.note_error(id, error, now);
        if is_failure {
            self.counters.count(now, true);
            if let Some(record) = self.tasks.get_mut(id) {
                let message = message_mut(record);
                message.retried = message.retried.saturating_add(1);
            }
        }
        let slot = self.slot(now.saturating_add(delay));
        self.place(id, Place::Retry, slot);
    }

    fn archive(&mut self, id: &TaskId, error: &str, now: Timestamp) {
        self.note_error(id, error, now);
        self.counters.count(now, true);
        let slot = self.slot(whole_second(now));
        self.place(id, Place::Archived, slot);
    }

    /// A task that ran by itself waits by itself: once it is due it would join its group.
    fn leave_group(&mut self, id: &TaskId) {
        if let Some(record) = self.tasks.get_mut(id)
            && record.message.group.is_some()
        {
            message_mut(record).group = None;
        }
    }

    fn note_error(&mut self, id: &TaskId, error: &str, now: Timestamp) {
        if let Some(record) = self.tasks.get_mut(id) {
            let message = message_mut(record);
            message.last_error = cut_error_text(error);
            message.last_failed_at = Some(whole_second(now));
        }
    }
}

// Holders keep the message as they got it; the stored one goes its own way.
fn message_mut(record: &mut Record) -> &mut TaskMessage {
    Arc::make_mut(&mut record.message)
}
