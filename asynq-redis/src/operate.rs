//! Acts on tasks: goes through lists and does something to what it finds.

use async_trait::async_trait;
use asynq_core::broker::{
    Action, Applied, Change, Changed, DayCount, Filter, GroupSize, Operate, QueueDeletion, StepReport,
    TaskList, TaskPage,
};
use asynq_core::{BrokerError, Cursor, Now, QueueName, TaskId};

use crate::broker::RedisBroker;
use crate::cursor::Place;
use crate::inspect::list_of;
use crate::keys::{self, QueueKeys};
use crate::part::{Found, Part, read_part};
use crate::reply::Items;
use crate::script::{self, Batch, Call};

/// A script looks at no more than this in one go, so that others get their turn.
pub(crate) const TASKS_PER_CALL: usize = 500;

#[async_trait]
impl Operate for RedisBroker {
    async fn page(
        &self,
        queue: &QueueName,
        list: &TaskList,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TaskPage, BrokerError> {
        if limit == 0 {
            return Ok(TaskPage::default());
        }
        // Without a filter all that are looked at are given.
        let looked_at = if filter.is_empty() { limit } else { TASKS_PER_CALL };
        let mut part = self
            .read_part(queue, list, filter.wanted_id_prefix(), after, looked_at, true)
            .await?;
        let now = self.now();
        let is_passing = |found: &Found| {
            found
                .task
                .as_ref()
                .is_some_and(|task| filter.passes(task, found.since, now))
        };
        part.found.retain(is_passing);
        if part.found.len() > limit {
            part.found.truncate(limit);
            part.end_at_last_found();
        }
        Ok(TaskPage {
            examined: part.examined,
            total: part.total,
            next: part.next(),
            tasks: part.found.into_iter().filter_map(|found| found.task).collect(),
        })
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
        // All are read, whatever their ids: those that stay say where to go on.
        let mut part = self
            .read_part(queue, list, "", after, limit, filter.needs_task())
            .await?;
        let now = self.now();
        let is_meant = |found: &Found| match &found.task {
            Some(task) => filter.passes(task, found.since, now),
            None => found.id.starts_with(filter.wanted_id_prefix()),
        };
        let meant: Vec<TaskId> = part
            .found
            .iter()
            .filter(|found| is_meant(found))
            .map(|found| TaskId::from_stored(found.id.as_str()))
            .collect();
        let applied = self
            .apply_in(queue, action, Some(list), part.before, &meant)
            .await?;
        if action != Action::Cancel {
            part.forget(&meant, &applied);
        }
        let done = applied
            .iter()
            .filter(|applied| **applied == Applied::Done)
            .count();
        Ok(StepReport {
            examined: part.examined,
            done,
            refused: applied.len() - done,
            total: part.total,
            next: part.next(),
        })
    }

    async fn apply_to(
        &self,
        queue: &QueueName,
        action: Action,
        ids: &[TaskId],
    ) -> Result<Vec<Applied>, BrokerError> {
        self.apply_in(queue, action, None, 0, ids).await
    }

    async fn change(&self, queue: &QueueName, id: &TaskId, change: &Change) -> Result<Changed, BrokerError> {
        self.change_task(queue, id, change).await
    }

    async fn delete_queue(
        &self,
        queue: &QueueName,
        force: bool,
        after: Option<&Cursor>,
    ) -> Result<QueueDeletion, BrokerError> {
        self.delete_queue_part(queue, force, after).await
    }

    async fn memory_usage(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.read_memory_usage(queue).await
    }

    async fn history(&self, queue: &QueueName, days: usize) -> Result<Vec<DayCount>, BrokerError> {
        self.read_history(queue, days).await
    }

    async fn group_sizes(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError> {
        self.read_group_sizes(queue).await
    }
}

impl RedisBroker {
    async fn read_part(
        &self,
        queue: &QueueName,
        list: &TaskList,
        id_prefix: &str,
        after: Option<&Cursor>,
        limit: usize,
        wants_tasks: bool,
    ) -> Result<Part, BrokerError> {
        const OPERATION: &str = "page";
        let keys = QueueKeys::new(queue);
        let is_list = matches!(list, TaskList::Pending | TaskList::Active);
        let after = after.map(Place::of).transpose()?;
        // The list of a state is always there; that of a group is when it is named.
        let key = list_of(&keys, list.state(), list.group()).map(|list| list.key);
        let mut call = Call::new(&script::PAGE);
        call.key(key.unwrap_or_default())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.lease())
            .arg(self.inner.time.script_argument())
            .arg(if is_list { list.state().as_str() } else { "zset" })
            .number(limit.min(TASKS_PER_CALL))
            .arg(keys.task_prefix())
            .arg(id_prefix)
            .arg(if wants_tasks { "1" } else { "" });
        let mut earlier = Vec::new();
        match after {
            Some(Place::List { before, landmarks }) if is_list => {
                call.number(before);
                for id in &landmarks {
                    call.arg(id.as_str());
                }
                earlier = landmarks;
            }
            Some(Place::Set { score, id }) if !is_list => {
                call.arg(score).arg(id);
            }
            Some(_) => {
                return Err(BrokerError::Config(format!(
                    "the cursor is of another list than {list}"
                )));
            }
            None => {
                call.arg(if is_list { "0" } else { "" });
            }
        }
        let items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        let mut part = read_part(queue, is_list, wants_tasks, items)?;
        part.earlier = earlier;
        Ok(part)
    }

    /// Applies to tasks wherever they are, or to those that are in a list, after so many others.
    async fn apply_in(
        &self,
        queue: &QueueName,
        action: Action,
        list: Option<&TaskList>,
        before: usize,
        ids: &[TaskId],
    ) -> Result<Vec<Applied>, BrokerError> {
        let mut applied = Vec::with_capacity(ids.len());
        while applied.len() < ids.len() {
            let rest = &ids[applied.len()..];
            let rest = &rest[..rest.len().min(TASKS_PER_CALL)];
            let some = self.apply_to_some(queue, action, list, before, rest).await?;
            if some.is_empty() {
                break;
            }
            applied.extend(some);
        }
        Ok(applied)
    }

    /// One script call: it may stop early, so there may be fewer answers than ids.
    async fn apply_to_some(
        &self,
        queue: &QueueName,
        action: Action,
        list: Option<&TaskList>,
        before: usize,
        ids: &[TaskId],
    ) -> Result<Vec<Applied>, BrokerError> {
        const OPERATION: &str = "apply";
        let keys = QueueKeys::new(queue);
        let group = list.and_then(TaskList::group);
        let mut call = Call::new(&script::APPLY);
        call.key(keys.pending())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.archived())
            .key(keys.completed())
            .key(keys.groups())
            .arg(self.inner.time.script_argument())
            .arg(action.as_str())
            .arg(list.map_or("", |list| list.state().as_str()))
            .number(before)
            .arg(keys.task_prefix())
            .arg(keys.group_prefix())
            .arg(group.map_or("", |group| group.as_str()));
        for id in ids {
            call.key(keys.task(id)).arg(id.as_str());
        }
        // Repeated by itself it would find that its own tasks are gone.
        let mut items = Items::of(OPERATION, self.call_once(OPERATION, queue, call).await?)?;
        let mut applied = Vec::with_capacity(items.len());
        while !items.is_empty() {
            applied.push(read_applied(&items.text()?));
        }
        if action == Action::Cancel {
            self.publish_cancels(ids, &applied).await?;
        }
        Ok(applied)
    }

    async fn publish_cancels(&self, ids: &[TaskId], applied: &[Applied]) -> Result<(), BrokerError> {
        let mut batch = Batch::new("cancel");
        for (id, applied) in ids.iter().zip(applied) {
            if *applied == Applied::Done {
                batch.command("PUBLISH", &[keys::CANCEL_CHANNEL, id.as_str()]);
            }
        }
        self.send_all("cancel", &batch).await
    }
}

fn read_applied(code: &str) -> Applied {
    match code {
        "" => Applied::Done,
        "merging" => Applied::BeingMerged,
        // A state that nobody knows is of a task that nobody can act on.
        state => state.parse().map_or(Applied::NotFound, Applied::WrongState),
    }
}
