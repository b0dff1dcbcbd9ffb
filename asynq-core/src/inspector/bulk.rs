use std::fmt;
use std::sync::Arc;

use crate::broker::{Action, Cursor, Filter, Operate, StepReport, TaskList};
use crate::names::QueueName;

use super::{InspectError, STEP};

/// Does something to all tasks of a list, or to those that pass a filter, step by step. Made by
/// [`Inspector::run_all`](super::Inspector::run_all) and the like; nothing happens before the first step.
///
/// Stop it by dropping it, keep its [`cursor`](Bulk::cursor), and [`resume`](Bulk::resume) another one there. It ends when it
/// has seen about as many tasks as the list had when it began, so it does not run after tasks that come meanwhile.
#[must_use = "nothing is done before `next` or `finish`"]
pub struct Bulk {
    broker: Arc<dyn Operate>,
    queue: QueueName,
    list: TaskList,
    action: Action,
    filter: Filter,
    step: usize,
    cursor: Option<Cursor>,
    progress: Progress,
    is_over: bool,
}

/// How far a [`Bulk`] or [`DeleteQueue`](super::DeleteQueue) has come, all steps together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many tasks it looked at.
    pub examined: u64,
    /// To how many it was done.
    pub done: u64,
    /// How many were meant but left as they are: gone, or in another state by then.
    pub refused: u64,
    /// How many the list had when it began; nothing when that is not known.
    pub total: u64,
}

impl Bulk {
    pub(super) fn new(broker: Arc<dyn Operate>, queue: QueueName, list: TaskList, action: Action) -> Self {
        Bulk {
            broker,
            queue,
            list,
            action,
            filter: Filter::new(),
            step: STEP,
            cursor: None,
            progress: Progress::default(),
            is_over: false,
        }
    }

    /// Only to tasks that pass this filter.
    pub fn matching(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Goes on where another one, with the same list and filter, has come to.
    pub fn resume(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// Looks at this many tasks in a step; 500 unless set, and brokers may look at fewer.
    pub fn step_size(mut self, tasks: usize) -> Self {
        self.step = tasks.max(1);
        self
    }

    /// Where to go on; nothing at the beginning.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// What was done so far.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes a step and says what was done so far; nothing once all is done. After an error the step can be tried again.
    pub async fn next(&mut self) -> Option<Result<Progress, InspectError>> {
        if self.is_over {
            return None;
        }
        Some(self.take_step().await)
    }

    /// Takes all steps that are left.
    ///
    /// # Errors
    ///
    /// Stops at the first. What was done until then stays done, and doing the same again does the rest.
    pub async fn finish(mut self) -> Result<Progress, InspectError> {
        while let Some(progress) = self.next().await {
            progress?;
        }
        Ok(self.progress)
    }

    async fn take_step(&mut self) -> Result<Progress, InspectError> {
        if !self.action.is_for(self.list.state()) {
            return Err(InspectError::WrongList {
                action: self.action,
                list: self.list.clone(),
            });
        }
        let is_first = self.progress == Progress::default();
        if is_first && self.broker.queue_info(&self.queue).await?.is_none() {
            return Err(InspectError::QueueNotFound {
                queue: self.queue.clone(),
            });
        }
        let cursor = self.cursor.as_ref();
        let step = self
            .broker
            .apply(
                &self.queue,
                &self.list,
                self.action,
                &self.filter,
                cursor,
                self.step,
            )
            .await?;
        if is_first {
            self.progress.total = step.total;
        }
        self.add(step);
        Ok(self.progress)
    }

    fn add(&mut self, step: StepReport) {
        self.progress.examined += step.examined as u64;
        self.progress.done += step.done as u64;
        self.progress.refused += step.refused as u64;
        // A step more, for tasks that were looked at twice.
        let most = self.progress.total + self.step as u64;
        self.is_over = step.next.is_none() || self.progress.examined >= most;
        self.cursor = step.next.or(self.cursor.take());
    }
}

impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk")
            .field("queue", &self.queue)
            .field("list", &self.list)
            .field("action", &self.action)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
