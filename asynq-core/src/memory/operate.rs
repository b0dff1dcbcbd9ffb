use std::ops::Bound;

use async_trait::async_trait;

use crate::broker::{
    Action, Applied, Change, Changed, Cursor, DayCount, Filter, GroupSize, Now, Operate, QueueDeletion,
    StepReport, TaskList, TaskPage,
};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};
use crate::signals::CancelRequest;

use super::inspect::task_info;
use super::queue::{List, Place, Queue, Record, Slot};
use super::watch::Change as Told;
use super::{MemoryBroker, whole_second};

/// How many tasks one call looks at: others get their turn at the lock.
const TASKS_PER_CALL: usize = 500;
const ARCHIVE_SIZE: usize = 10_000;
/// How many tasks of a list stand for all of it, as in Go asynq.
const SAMPLE: usize = 20;
/// Where deleting a queue goes on: at what is left.
const REST: &str = "rest";

#[async_trait]
impl Operate for MemoryBroker {
    async fn page(
        &self,
        queue: &QueueName,
        list: &TaskList,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TaskPage, BrokerError> {
        let after = after.map(slot_of).transpose()?;
        let now = self.now();
        let state = self.state();
        let Some(tasks) = state.queues.get(queue) else {
            return Ok(TaskPage::default());
        };
        let (total, entries) = tasks.part(list, after, TASKS_PER_CALL);
        let mut page = TaskPage {
            total,
            ..TaskPage::default()
        };
        let mut last = None;
        for (slot, id) in entries.iter().take_while(|_| limit > 0) {
            page.examined += 1;
            last = Some(*slot);
            page.tasks.extend(
                tasks
                    .tasks
                    .get(id)
                    .and_then(|record| passing(record, filter, now)),
            );
            if page.tasks.len() == limit {
                break;
            }
        }
        let has_more = page.examined < entries.len() || entries.len() == TASKS_PER_CALL;
        page.next = last.filter(|_| has_more).map(cursor_at);
        Ok(page)
    }

    async fn apply(
        &self,
        queue: &QueueName,
        list: &TaskList,
        action: Action,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<StepReport, BrokerError> {
        let after = after.map(slot_of).transpose()?;
        let now = self.now();
        let mut state = self.state();
        let Some(tasks) = state.queues.get_mut(queue) else {
            return Ok(StepReport::default());
        };
        let limit = limit.min(TASKS_PER_CALL);
        let (total, entries) = tasks.part(list, after, limit);
        let mut report = StepReport {
            total,
            examined: entries.len(),
            ..StepReport::default()
        };
        for (_, id) in &entries {
            let passes = |record| passing(record, filter, now).is_some();
            if !tasks.tasks.get(id).is_some_and(passes) {
                continue;
            }
            match self.apply_to_one(queue, tasks, action, id, now) {
                Applied::Done => report.done += 1,
                _ => report.refused += 1,
            }
        }
        let last = entries.last().map(|(slot, _)| *slot);
        report.next = last.filter(|_| entries.len() == limit).map(cursor_at);
        Ok(report)
    }

    async fn apply_to(
        &self,
        queue: &QueueName,
        action: Action,
        ids: &[TaskId],
    ) -> Result<Vec<Applied>, BrokerError> {
        let now = self.now();
        let mut applied = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TASKS_PER_CALL) {
            let mut state = self.state();
            match state.queues.get_mut(queue) {
                Some(tasks) => {
                    applied.extend(
                        ids.iter()
                            .map(|id| self.apply_to_one(queue, tasks, action, id, now)),
                    );
                }
                None => applied.extend(ids.iter().map(|_| Applied::NotFound)),
            }
        }
        Ok(applied)
    }

    async fn change(&self, queue: &QueueName, id: &TaskId, change: &Change) -> Result<Changed, BrokerError> {
        let now = self.now();
        let changed = self.state().change(queue, id, change, now);
        if changed == Changed::Done {
            let target = change.queue.as_ref().unwrap_or(queue);
            self.watchers().tell(target, Told::Pending);
            self.watchers().tell(target, Told::Due);
        }
        Ok(changed)
    }

    async fn delete_queue(
        &self,
        queue: &QueueName,
        force: bool,
        _: Option<&Cursor>,
    ) -> Result<QueueDeletion, BrokerError> {
        let mut state = self.state();
        let Some(tasks) = state.queues.get_mut(queue).filter(|tasks| tasks.exists) else {
            return Ok(QueueDeletion::NotFound);
        };
        let is_refused = if force {
            !tasks.active.is_empty()
        } else {
            !tasks.tasks.is_empty()
        };
        if is_refused {
            return Ok(QueueDeletion::NotEmpty);
        }
        let doomed: Vec<TaskId> = tasks.tasks.keys().take(TASKS_PER_CALL).cloned().collect();
        doomed.iter().for_each(|id| tasks.delete(id));
        if !tasks.tasks.is_empty() {
            return Ok(QueueDeletion::Going {
                deleted: doomed.len(),
                next: Cursor::new(REST),
            });
        }
        if doomed.is_empty() {
            state.queues.remove(queue);
            state.schedules.forget_queue(queue);
            return Ok(QueueDeletion::Done);
        }
        Ok(QueueDeletion::Going {
            deleted: doomed.len(),
            next: Cursor::new(REST),
        })
    }

    async fn memory_usage(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        let state = self.state();
        let Some(tasks) = state.queues.get(queue) else {
            return Ok(0);
        };
        Ok(tasks.lists().map(|list| tasks.size_of(list)).sum::<usize>() as u64)
    }

    async fn history(&self, queue: &QueueName, days: usize) -> Result<Vec<DayCount>, BrokerError> {
        let now = self.now();
        let state = self.state();
        let tasks = state.queues.get(queue);
        let midnight = Timestamp::from_unix_seconds(now.unix_seconds().div_euclid(86_400) * 86_400);
        let ago = |n| midnight.saturating_sub(super::queue::DAY * n);
        Ok((0..days.min(90) as u32)
            .map(ago)
            .map(|day| {
                let attempts = tasks.map(|tasks| tasks.counters.today(day)).unwrap_or_default();
                DayCount {
                    day,
                    processed: attempts.processed,
                    failed: attempts.failed,
                }
            })
            .collect())
    }

    async fn group_sizes(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError> {
        let state = self.state();
        let groups = state.queues.get(queue).map(|tasks| tasks.groups.iter());
        Ok(groups
            .into_iter()
            .flatten()
            .map(|(group, list)| GroupSize {
                group: group.clone(),
                size: list.len() as u64,
            })
            .collect())
    }
}

impl MemoryBroker {
    fn apply_to_one(
        &self,
        queue: &QueueName,
        tasks: &mut Queue,
        action: Action,
        id: &TaskId,
        now: Timestamp,
    ) -> Applied {
        let applied = tasks.apply(action, id, now);
        if applied == Applied::Done {
            match action {
                Action::Run => self.watchers().tell(queue, Told::Pending),
                Action::Cancel => self.watchers().cancel(&CancelRequest {
                    queue: Some(queue.clone()),
                    id: id.as_str().to_owned(),
                }),
                Action::Archive | Action::Delete => {}
            }
        }
        applied
    }
}

impl Queue {
    /// How long a list is, and the part of it that follows.
    fn part(&self, list: &TaskList, after: Option<Slot>, limit: usize) -> (u64, Vec<(Slot, TaskId)>) {
        let own = |slot: &Slot, id: &TaskId| (*slot, id.clone());
        let list = match list {
            // Their list is in the order of their leases' ends, which extensions change.
            TaskList::Active => {
                let by_arrival: List = self
                    .active
                    .iter()
                    .map(|(slot, id)| (slot.moved_to(Timestamp::EPOCH), id.clone()))
                    .collect();
                let after = after.map_or(Bound::Unbounded, Bound::Excluded);
                let part = by_arrival.range((after, Bound::Unbounded)).take(limit);
                return (
                    self.active.len() as u64,
                    part.map(|(slot, id)| own(slot, id)).collect(),
                );
            }
            TaskList::Pending => &self.pending,
            TaskList::Scheduled => &self.scheduled,
            TaskList::Retry => &self.retry,
            TaskList::Archived => &self.archived,
            TaskList::Completed => &self.completed,
            TaskList::Group(group) => match self.groups.get(group) {
                Some(list) => list,
                None => return (0, Vec::new()),
            },
        };
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let part = list.range((after, Bound::Unbounded)).take(limit);
        (list.len() as u64, part.map(|(slot, id)| own(slot, id)).collect())
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        let lists = [
            &self.pending,
            &self.active,
            &self.scheduled,
            &self.retry,
            &self.archived,
            &self.completed,
        ];
        lists.into_iter().chain(self.groups.values())
    }

    /// About how many bytes its tasks take, from a sample of them.
    fn size_of(&self, list: &List) -> usize {
        let sample = list.values().take(SAMPLE).filter_map(|id| self.tasks.get(id));
        let (count, bytes) = sample.fold((0, 0), |(count, bytes), record| {
            (count + 1, bytes + record.size())
        });
        bytes * list.len() / count.max(1)
    }

    fn apply(&mut self, action: Action, id: &TaskId, now: Timestamp) -> Applied {
        let Some(record) = self.tasks.get_mut(id) else {
            return Applied::NotFound;
        };
        let state = record.place.state();
        if !action.is_for(state) {
            return Applied::WrongState(state);
        }
        if matches!(record.place, Place::Set(_)) {
            return Applied::BeingMerged;
        }
        match action {
            Action::Run => self.place_pending(id, now),
            Action::Archive => self.put_in_archive(id, now),
            Action::Delete => self.delete(id),
            Action::Cancel => {
                if let Place::Active(lease) = &mut record.place {
                    lease.cancel = true;
                }
            }
        }
        Applied::Done
    }

    /// The oldest make room: an archive that grows without end would do so until the next purge.
    fn put_in_archive(&mut self, id: &TaskId, now: Timestamp) {
        while self.archived.len() >= ARCHIVE_SIZE
            && let Some(oldest) = self.archived.values().next().cloned()
        {
            self.delete(&oldest);
        }
        let slot = self.slot(whole_second(now));
        self.place(id, Place::Archived, slot);
        if let Some(record) = self.tasks.get_mut(id) {
            record.lost = 0;
        }
    }
}

fn passing(record: &Record, filter: &Filter, now: Timestamp) -> Option<crate::message::TaskInfo> {
    let since = match &record.place {
        Place::Pending { since } => Some(*since),
        _ => Some(record.slot.at),
    };
    let info = task_info(record, now);
    filter.passes(&info, since, now).then_some(info)
}

fn cursor_at(slot: Slot) -> Cursor {
    Cursor::new(format!("{}/{}", slot.at.unix_micros(), slot.order()))
}

fn slot_of(cursor: &Cursor) -> Result<Slot, BrokerError> {
    let parse = || {
        let (at, order) = cursor.as_str().split_once('/')?;
        Some(Slot::new(
            Timestamp::from_unix_micros(at.parse().ok()?),
            order.parse().ok()?,
        ))
    };
    parse().ok_or_else(|| {
        BrokerError::Config(format!(
            "{:?} is not a cursor of the memory broker",
            cursor.as_str()
        ))
    })
}
