use std::fmt;
use std::sync::Arc;

use crate::broker::{Cursor, Operate, QueueDeletion};
use crate::names::QueueName;

use super::{InspectError, Progress};

/// Deletes a queue, step by step. Made by [`Inspector::delete_queue`](super::Inspector::delete_queue) and
/// [`Inspector::force_delete_queue`](super::Inspector::force_delete_queue); nothing happens before the first step.
///
/// Stop it by dropping it. The queue is listed until all of it is deleted, so doing it again does the rest.
#[must_use = "nothing is done before `next` or `finish`"]
pub struct DeleteQueue {
    broker: Arc<dyn Operate>,
    queue: QueueName,
    force: bool,
    cursor: Option<Cursor>,
    progress: Progress,
    is_over: bool,
}

impl DeleteQueue {
    pub(super) fn new(broker: Arc<dyn Operate>, queue: QueueName, force: bool) -> Self {
        DeleteQueue {
            broker,
            queue,
            force,
            cursor: None,
            progress: Progress::default(),
            is_over: false,
        }
    }

    /// Takes a step and says how many tasks were deleted so far; nothing once the queue is gone.
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
    /// Stops at the first. What was deleted until then is gone.
    pub async fn finish(mut self) -> Result<Progress, InspectError> {
        while let Some(progress) = self.next().await {
            progress?;
        }
        Ok(self.progress)
    }

    async fn take_step(&mut self) -> Result<Progress, InspectError> {
        if self.progress == Progress::default()
            && let Some(info) = self.broker.queue_info(&self.queue).await?
        {
            self.progress.total = info.size();
        }
        let queue = self.queue.clone();
        let cursor = self.cursor.as_ref();
        match self.broker.delete_queue(&queue, self.force, cursor).await? {
            QueueDeletion::Going { deleted, next } => {
                self.progress.examined += deleted as u64;
                self.progress.done += deleted as u64;
                self.cursor = Some(next);
            }
            QueueDeletion::Done => self.is_over = true,
            QueueDeletion::NotFound => return Err(InspectError::QueueNotFound { queue }),
            QueueDeletion::NotEmpty => {
                return Err(InspectError::QueueNotEmpty {
                    queue,
                    forced: self.force,
                });
            }
        }
        Ok(self.progress)
    }
}

impl fmt::Debug for DeleteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteQueue")
            .field("queue", &self.queue)
            .field("force", &self.force)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
