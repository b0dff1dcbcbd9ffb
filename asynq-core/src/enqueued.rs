//! A task that was enqueued, and the wait for its result.

use std::any::{Any, TypeId};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::broker::Inspect;
use crate::error::{BoxError, BrokerError};
use crate::message::{TaskInfo, TaskState};
use crate::names::{QueueName, TaskId};

/// The answer to an enqueue: the [`TaskInfo`], and a way to the task's result.
///
/// ```no_run
/// use std::time::Duration;
/// use asynq_core::{Client, Configure, MemoryBroker, RawTask};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(MemoryBroker::new());
/// let task = RawTask::new("image:measure", "cat.png").retention(Duration::from_secs(60));
/// let size: u64 = client.enqueue(task).await?.result().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Enqueued {
    info: TaskInfo,
    results: Option<Arc<dyn Inspect>>,
}

impl Enqueued {
    pub(crate) fn new(info: TaskInfo, results: Option<Arc<dyn Inspect>>) -> Self {
        Enqueued { info, results }
    }

    /// The task as it was enqueued, by itself.
    pub fn into_info(self) -> TaskInfo {
        self.info
    }

    /// Waits until the task is done and gives the result that its handler stored: text as a `String`, bytes as a
    /// `Vec<u8>`, anything else from JSON. At most a minute, see [`ResultWait::timeout`].
    ///
    /// The task needs a [`retention`](crate::Configure::retention), or its result is gone as soon as it is there.
    /// The broker is asked now and then, at first after a few milliseconds and at last every second.
    pub fn result<T: DeserializeOwned + Send + 'static>(&self) -> ResultWait<T> {
        ResultWait {
            task: self.clone(),
            timeout: Duration::from_secs(60),
            result: PhantomData,
        }
    }
}

impl Deref for Enqueued {
    type Target = TaskInfo;

    fn deref(&self) -> &TaskInfo {
        &self.info
    }
}

impl From<Enqueued> for TaskInfo {
    fn from(enqueued: Enqueued) -> Self {
        enqueued.info
    }
}

impl fmt::Debug for Enqueued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

/// A wait for the result of a task: `.await` it. Made by [`Enqueued::result`].
#[derive(Debug, Clone)]
#[must_use = "nothing waits until it is awaited"]
pub struct ResultWait<T> {
    task: Enqueued,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The task has no retention: its result is deleted with it. Enqueue it with one.
    #[error(
        "task {id:?} in queue {queue:?} has no retention, so its result is not kept; enqueue it with one"
    )]
    NotRetained {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
    },
    /// The task failed for good.
    #[error("task {id:?} in queue {queue:?} failed: {error}")]
    Failed {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
        /// The text of its last error.
        error: String,
    },
    /// The task is not there any more: somebody deleted it, its handler revoked it, or its retention is over.
    #[error("task {id:?} is not in queue {queue:?} any more")]
    Gone {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
    },
    /// The task was not done in time. It goes on.
    #[error("task {id:?} in queue {queue:?} was not done within {timeout:?}")]
    TimedOut {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The result is not of the expected type.
    #[error("the result of task {id:?} in queue {queue:?} is no {expected}: {source}")]
    Decode {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
        /// The expected type.
        expected: &'static str,
        /// What is wrong.
        source: BoxError,
    },
    /// The client was made of something that can only enqueue, see [`Client::enqueue_only`](crate::Client::enqueue_only).
    #[error("this client can enqueue only; make it with Client::new or Client::from_shared to get results")]
    CannotLook,
    /// The broker failed.
    #[error("the result of task {id:?} in queue {queue:?} could not be asked for")]
    Broker {
        /// The queue of the task.
        queue: QueueName,
        /// The id of the task.
        id: TaskId,
        /// What the broker said.
        source: BrokerError,
    },
}

impl<T> ResultWait<T> {
    /// Waits for this long at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for ResultWait<T> {
    type Output = Result<T, WaitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let timeout = self.timeout;
            let Enqueued { info, .. } = &self.task;
            let (queue, id) = (info.queue().clone(), info.id().clone());
            let result = tokio::time::timeout(timeout, self.task.finished())
                .await
                .unwrap_or(Err(WaitError::TimedOut { queue, id, timeout }))?;
            decode(result.as_ref()).map_err(|source| WaitError::Decode {
                queue: info.queue().clone(),
                id: info.id().clone(),
                expected: std::any::type_name::<T>(),
                source,
            })
        })
    }
}

impl Enqueued {
    async fn finished(&self) -> Result<Option<Bytes>, WaitError> {
        let (queue, id) = (self.info.queue().clone(), self.info.id().clone());
        if self.info.message.retention.is_zero() {
            return Err(WaitError::NotRetained { queue, id });
        }
        let results = self.results.as_ref().ok_or(WaitError::CannotLook)?;
        let mut pauses = pauses();
        loop {
            match results.task(&queue, &id).await {
                Ok(None) => return Err(WaitError::Gone { queue, id }),
                Ok(Some(task)) if task.state == TaskState::Completed => return Ok(task.result),
                Ok(Some(task)) if task.state == TaskState::Archived => {
                    let error = task.message.last_error;
                    return Err(WaitError::Failed { queue, id, error });
                }
                Ok(Some(_)) => {}
                // It may be back before the time is over.
                Err(source) if source.is_transient() => {}
                Err(source) => return Err(WaitError::Broker { queue, id, source }),
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// 5 ms at first, half as much more each time.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(Duration::from_millis(5)), |pause| {
        Some((*pause * 3 / 2).min(LONGEST_PAUSE))
    })
}

/// The counterpart of [`IntoResult`](crate::IntoResult). No result at all is read as `null`.
fn decode<T: DeserializeOwned + 'static>(result: Option<&Bytes>) -> Result<T, BoxError> {
    let bytes = result.map_or(&b"null"[..], |bytes| bytes);
    let as_it_is: Option<Box<dyn Any>> = if TypeId::of::<T>() == TypeId::of::<String>() {
        Some(Box::new(String::from_utf8(bytes.to_vec())?))
    } else if TypeId::of::<T>() == TypeId::of::<Vec<u8>>() {
        Some(Box::new(bytes.to_vec()))
    } else {
        None
    };
    match as_it_is.map(|value| value.downcast::<T>()) {
        Some(Ok(value)) => Ok(*value),
        _ => Ok(serde_json::from_slice(bytes)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_taken_as_they_are_and_the_rest_is_json() {
        let bytes = Bytes::from_static(b"7");

        assert_eq!(decode::<String>(Some(&bytes)).unwrap(), "7");
        assert_eq!(decode::<Vec<u8>>(Some(&bytes)).unwrap(), b"7");
        assert_eq!(decode::<u64>(Some(&bytes)).unwrap(), 7);
        assert_eq!(decode::<Option<u64>>(None).unwrap(), None);
        decode::<()>(None).unwrap();
        assert!(decode::<bool>(Some(&bytes)).is_err());
    }

    #[test]
    fn pauses_grow_up_to_a_second() {
        let pauses: Vec<_> = pauses().take(20).collect();

        assert_eq!(pauses[0], Duration::from_millis(5));
        assert_eq!(pauses[19], LONGEST_PAUSE);
    }
}
