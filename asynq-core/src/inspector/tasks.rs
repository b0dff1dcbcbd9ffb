use bytes::Bytes;

use crate::broker::{Action, Change, Page, TaskList};
use crate::message::TaskInfo;
use crate::names::{QueueName, TaskId};
use crate::options::When;

use super::error::{not_found, of_applied, of_changed};
use super::{Bulk, InspectError, Inspector, Search};

/// Tasks.
impl Inspector {
    /// A task with its result. Go: `GetTaskInfo`.
    pub async fn task(&self, queue: &QueueName, id: &TaskId) -> Result<TaskInfo, InspectError> {
        match self.broker.task(queue, id).await? {
            Some(task) => Ok(task),
            None => Err(self.missing(queue, id).await?),
        }
    }

    /// A part of a list, by number; see [`Inspect::tasks`](crate::Inspect::tasks) for the order. To go through a long list
    /// use [`search`](Self::search), which loses nothing when tasks come and go meanwhile. Go: `List…Tasks`.
    pub async fn list(
        &self,
        queue: &QueueName,
        list: &TaskList,
        page: Page,
    ) -> Result<Vec<TaskInfo>, InspectError> {
        let tasks = self.broker.tasks(queue, list.state(), list.group(), page).await?;
        if tasks.is_empty() {
            self.must_exist(queue).await?;
        }
        Ok(tasks)
    }

    /// Goes through a list, page by page, however long it is.
    pub fn search(&self, queue: &QueueName, list: TaskList) -> Search {
        Search::new(self.broker.clone(), queue.clone(), list)
    }

    /// Makes a task pending, whatever it waits for. An archived one gets one more attempt. Go: `RunTask`.
    pub async fn run_task(&self, queue: &QueueName, id: &TaskId) -> Result<(), InspectError> {
        self.apply_to_one(queue, id, Action::Run).await
    }

    /// Archives a task. Go: `ArchiveTask`.
    pub async fn archive_task(&self, queue: &QueueName, id: &TaskId) -> Result<(), InspectError> {
        self.apply_to_one(queue, id, Action::Archive).await
    }

    /// Deletes a task and releases its uniqueness lock. Go: `DeleteTask`.
    pub async fn delete_task(&self, queue: &QueueName, id: &TaskId) -> Result<(), InspectError> {
        self.apply_to_one(queue, id, Action::Delete).await
    }

    /// Asks the worker that runs a task to cancel it. Whether it does is its handler's choice. Go: `CancelProcessing`,
    /// which does not say whether there is such a task.
    pub async fn cancel_task(&self, queue: &QueueName, id: &TaskId) -> Result<(), InspectError> {
        self.apply_to_one(queue, id, Action::Cancel).await
    }

    /// Does something to each of these tasks, with an answer for each, in the same order.
    ///
    /// # Errors
    ///
    /// When the broker fails some may have been done. Doing it again does no harm.
    pub async fn apply_to(
        &self,
        queue: &QueueName,
        action: Action,
        ids: &[TaskId],
    ) -> Result<Vec<Result<(), InspectError>>, InspectError> {
        let applied = self.broker.apply_to(queue, action, ids).await?;
        Ok(ids
            .iter()
            .zip(applied)
            .map(|(id, applied)| of_applied(queue, id, action, applied))
            .collect())
    }

    /// Makes all tasks of a list pending. Go: `RunAll…Tasks`.
    pub fn run_all(&self, queue: &QueueName, list: TaskList) -> Bulk {
        self.apply_to_all(queue, list, Action::Run)
    }

    /// Archives all tasks of a list; of those archived the latest 10,000 are kept. Go: `ArchiveAll…Tasks`.
    pub fn archive_all(&self, queue: &QueueName, list: TaskList) -> Bulk {
        self.apply_to_all(queue, list, Action::Archive)
    }

    /// Deletes all tasks of a list and releases their uniqueness locks. Go: `DeleteAll…Tasks`.
    pub fn delete_all(&self, queue: &QueueName, list: TaskList) -> Bulk {
        self.apply_to_all(queue, list, Action::Delete)
    }

    /// Asks the workers of all active tasks to cancel them.
    pub fn cancel_all(&self, queue: &QueueName) -> Bulk {
        self.apply_to_all(queue, TaskList::Active, Action::Cancel)
    }

    /// Does something to all tasks of a list.
    pub fn apply_to_all(&self, queue: &QueueName, list: TaskList, action: Action) -> Bulk {
        Bulk::new(self.broker.clone(), queue.clone(), list, action)
    }

    /// Gives a task another payload. Unlike in Go not only a scheduled one, and its uniqueness lock moves along. Go:
    /// `UpdateTaskPayload`.
    pub async fn update_payload(
        &self,
        queue: &QueueName,
        id: &TaskId,
        payload: impl Into<Bytes>,
    ) -> Result<(), InspectError> {
        let change = Change {
            payload: Some(payload.into()),
            ..Change::default()
        };
        self.change_task(queue, id, &change).await
    }

    /// Changes when a waiting task runs.
    pub async fn reschedule_task(
        &self,
        queue: &QueueName,
        id: &TaskId,
        process_at: When,
    ) -> Result<(), InspectError> {
        let change = Change {
            process_at: Some(process_at),
            ..Change::default()
        };
        self.change_task(queue, id, &change).await
    }

    /// Moves a task to another queue. At no moment it is in both or in none.
    pub async fn move_task(
        &self,
        queue: &QueueName,
        id: &TaskId,
        target: &QueueName,
    ) -> Result<(), InspectError> {
        let change = Change {
            queue: Some(target.clone()),
            ..Change::default()
        };
        self.change_task(queue, id, &change).await
    }

    /// Changes several things about a waiting task at once.
    pub async fn change_task(
        &self,
        queue: &QueueName,
        id: &TaskId,
        change: &Change,
    ) -> Result<(), InspectError> {
        let changed = self.broker.change(queue, id, change).await?;
        let target = change.queue.as_ref().unwrap_or(queue);
        match of_changed(queue, id, target, changed) {
            Err(InspectError::TaskNotFound { .. }) => Err(self.missing(queue, id).await?),
            result => result,
        }
    }

    async fn apply_to_one(&self, queue: &QueueName, id: &TaskId, action: Action) -> Result<(), InspectError> {
        let mut results = self.apply_to(queue, action, std::slice::from_ref(id)).await?;
        match results.pop() {
            Some(Err(InspectError::TaskNotFound { .. })) | None => Err(self.missing(queue, id).await?),
            Some(result) => result,
        }
    }

    /// Whether it is the queue or the task that does not exist.
    async fn missing(&self, queue: &QueueName, id: &TaskId) -> Result<InspectError, InspectError> {
        Ok(match self.must_exist(queue).await {
            Ok(()) => not_found(queue, id),
            Err(error) => error,
        })
    }
}
