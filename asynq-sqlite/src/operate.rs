use async_trait::async_trait;
use asynq_core::broker::{Applied, Changed, DayCount, GroupSize, QueueDeletion, StepReport, TaskPage};
use asynq_core::{Action, BrokerError, Change, Cursor, Filter, Operate, QueueName, TaskId, TaskList};

use crate::apply::Target;
use crate::broker::SqliteBroker;
use crate::change::ChangeTask;
use crate::delete_queue::DeleteQueue;
use crate::page::{Part, TASKS_PER_CALL};

#[async_trait]
impl Operate for SqliteBroker {
    async fn page(
        &self,
        queue: &QueueName,
        list: &TaskList,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TaskPage, BrokerError> {
        // Without a filter all that are looked at are given.
        let most = match filter.is_empty() || limit == 0 {
            true => limit.min(TASKS_PER_CALL),
            false => TASKS_PER_CALL,
        };
        let part = Part {
            queue,
            list,
            after,
            most,
        };
        self.read_page(part, filter, limit).await
    }

    // Chosen by who only looks: others can write meanwhile. Those that moved on by then are left alone.
    async fn apply(
        &self,
        queue: &QueueName,
        list: &TaskList,
        action: Action,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<StepReport, BrokerError> {
        let part = Part {
            queue,
            list,
            after,
            most: limit.min(TASKS_PER_CALL),
        };
        let (walk, found) = self.find(part, filter).await?;
        let targets = found.into_iter().map(Target::from).collect();
        let applied = self.apply_to_each(queue, action, targets).await?;
        let done = applied.iter().filter(|one| **one == Applied::Done).count();
        Ok(StepReport {
            examined: walk.examined,
            done,
            refused: applied.len() - done,
            total: walk.total,
            next: walk.next,
        })
    }

    async fn apply_to(
        &self,
        queue: &QueueName,
        action: Action,
        ids: &[TaskId],
    ) -> Result<Vec<Applied>, BrokerError> {
        let targets = ids.iter().map(Target::from).collect();
        self.apply_to_each(queue, action, targets).await
    }

    async fn change(&self, queue: &QueueName, id: &TaskId, change: &Change) -> Result<Changed, BrokerError> {
        let (queue, id, change) = (queue.clone(), id.clone(), change.clone());
        self.write(ChangeTask { queue, id, change }).await
    }

    async fn delete_queue(
        &self,
        queue: &QueueName,
        force: bool,
        _: Option<&Cursor>,
    ) -> Result<QueueDeletion, BrokerError> {
        let queue = queue.clone();
        self.write(DeleteQueue { queue, force }).await
    }

    async fn memory_usage(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.estimate_size(queue).await
    }

    async fn history(&self, queue: &QueueName, days: usize) -> Result<Vec<DayCount>, BrokerError> {
        self.read_history(queue, days).await
    }

    async fn group_sizes(&self, queue: &QueueName) -> Result<Vec<GroupSize>, BrokerError> {
        self.count_groups(queue).await
    }
}
