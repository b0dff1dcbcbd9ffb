//! Puts tasks in queues.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Broker, Enqueue, Inspect, NewTask, Placement, Receipt};
use crate::enqueued::Enqueued;
use crate::error::{BrokerError, EnqueueError};
use crate::message::{TaskInfo, TaskMessage, TaskState};
use crate::names::check_task_type;
use crate::options::{CheckedOptions, Headers, InvalidOption, TaskOptions};
use crate::task::{IntoTask, RawTask};

/// The largest payload, and the largest sum of headers, that a client accepts unless told otherwise: 1 MiB.
pub const DEFAULT_MAX_PAYLOAD: usize = 1024 * 1024;

/// Puts tasks in queues. Cheap to clone. Go: `Client`.
///
/// ```
/// use asynq_core::{Client, Configure, MemoryBroker, RawTask};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), asynq_core::EnqueueError> {
/// let client = Client::new(MemoryBroker::new());
/// let info = client.enqueue(RawTask::new("image:resize", "cat.png").queue("low")).await?;
/// println!("{} is {}", info.id(), info.state);
///
/// // One round trip for all, and an answer for each.
/// let tasks = (0..100).map(|n| RawTask::new("image:resize", format!("cat-{n}.png")));
/// for answer in client.enqueue_all(tasks).await {
///     answer?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    broker: Arc<dyn Enqueue>,
    results: Option<Arc<dyn Inspect>>,
    max_payload: usize,
}

impl Client {
    /// A client of this broker.
    pub fn new<B: Enqueue + Inspect>(broker: B) -> Self {
        let broker = Arc::new(broker);
        Client {
            results: Some(broker.clone()),
            ..Self::enqueue_only(broker)
        }
    }

    /// A client of a broker that others use too.
    pub fn from_shared(broker: Arc<dyn Broker>) -> Self {
        Client {
            results: Some(broker.clone()),
            ..Self::enqueue_only(broker)
        }
    }

    /// A client of something that can enqueue and nothing else. [Results](Enqueued::result) cannot be had from it.
    pub fn enqueue_only(broker: Arc<dyn Enqueue>) -> Self {
        Client {
            broker,
            results: None,
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }

    /// Accepts payloads of up to this many bytes, and as many bytes of headers. 1 MiB unless set.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Enqueues a task, with the options of its type and its own on top. Go: `Client.Enqueue`.
    ///
    /// # Errors
    ///
    /// See [`EnqueueError`]. When the broker could not be reached and
    /// [`maybe_applied`](BrokerError::maybe_applied), the task may have been stored all the same: enqueue it again with
    /// the same [`task_id`](crate::Configure::task_id), and it is stored once.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have stored the task.
    pub async fn enqueue(&self, task: impl IntoTask) -> Result<Enqueued, EnqueueError> {
        let task = self.prepare(task)?;
        let answer = self
            .broker
            .enqueue(std::slice::from_ref(&task))
            .await
            .map(|mut receipts| receipts.pop());
        let receipt = match answer {
            Ok(Some(receipt)) => Ok(receipt),
            Ok(None) => Err(BrokerError::Other {
                operation: "enqueue",
                source: Arc::from(crate::BoxError::from("the broker gave no answer for the task")),
            }),
            Err(error) => Err(error),
        };
        self.answer_for(task, receipt)
    }

    /// Enqueues many tasks in one round trip, with an answer for each, in the same order.
    ///
    /// A task that is refused does not stop the others. Cancel safety as for [`Client::enqueue`].
    pub async fn enqueue_all<T: IntoTask>(
        &self,
        tasks: impl IntoIterator<Item = T>,
    ) -> Vec<Result<Enqueued, EnqueueError>> {
        let mut answers = Vec::new();
        let mut sent = Vec::new();
        let mut places = Vec::new();
        for (place, task) in tasks.into_iter().enumerate() {
            match self.prepare(task) {
                Ok(task) => {
                    sent.push(task);
                    places.push(place);
                    answers.push(None);
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        let receipts: Vec<Result<Receipt, BrokerError>> = match self.broker.enqueue(&sent).await {
            Ok(receipts) => receipts.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); sent.len()],
        };
        for ((place, task), receipt) in places.into_iter().zip(sent).zip(receipts) {
            answers[place] = Some(self.answer_for(task, receipt));
        }
        // Brokers answer for each task: the contract of `Enqueue::enqueue`.
        answers.into_iter().flatten().collect()
    }

    /// Answers when the broker does. Go: `Client.Ping`.
    pub async fn ping(&self) -> Result<(), BrokerError> {
        self.broker.ping().await
    }

    /// Checks a task as [`Client::enqueue`] does and makes it ready to be stored.
    ///
    /// For brokers that can store it in another way too, such as within the caller's transaction; see [`answer_for`].
    pub fn prepare(&self, task: impl IntoTask) -> Result<NewTask, EnqueueError> {
        let (task, options) = task.into_task()?;
        new_task(task, options, self.max_payload)
    }

    fn answer_for(
        &self,
        task: NewTask,
        receipt: Result<Receipt, BrokerError>,
    ) -> Result<Enqueued, EnqueueError> {
        answer_for(task, receipt).map(|info| Enqueued::new(info, self.results.clone()))
    }
}

/// Checks a task and its options and makes it ready to be stored.
///
/// For whoever enqueues without a client, such as the aggregator of a server.
pub fn new_task(task: RawTask, options: TaskOptions, max_payload: usize) -> Result<NewTask, EnqueueError> {
    let RawTask {
        task_type,
        payload,
        mut headers,
    } = task;
    let invalid = |reason| EnqueueError::Invalid {
        task_type: task_type.to_string(),
        reason,
    };
    check_task_type(&task_type).map_err(|error| invalid(error.into()))?;
    if payload.len() > max_payload {
        return Err(invalid(InvalidOption::Payload {
            size: payload.len(),
            limit: max_payload,
        }));
    }
    let options: CheckedOptions = options.checked().map_err(invalid)?;
    headers.extend(options.headers);
    let size = size_of_headers(&headers);
    if size > max_payload {
        return Err(invalid(InvalidOption::Headers {
            size,
            limit: max_payload,
        }));
    }
    Ok(NewTask {
        message: TaskMessage {
            id: options.task_id,
            queue: options.queue,
            task_type,
            payload,
            headers,
            max_retry: options.max_retry,
            retried: 0,
            last_error: String::new(),
            last_failed_at: None,
            timeout: options.timeout,
            deadline: options.deadline,
            retention: options.retention.unwrap_or(Duration::ZERO),
            completed_at: None,
            group: options.group,
            unique_key: None,
            unknown_fields: bytes::Bytes::new(),
        },
        placement: options.process.map_or(Placement::Now, Placement::Later),
        unique_ttl: options.unique,
    })
}

fn size_of_headers(headers: &Headers) -> usize {
    headers.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// What [`Client::enqueue`] answers, given what became of the task.
pub fn answer_for(task: NewTask, receipt: Result<Receipt, BrokerError>) -> Result<TaskInfo, EnqueueError> {
    let message = task.message;
    match receipt {
        Ok(Receipt::Accepted {
            state,
            next_process_at,
        }) => {
            let mut info = TaskInfo::new(message, state);
            info.next_process_at = next_process_at;
            debug_assert!(matches!(
                state,
                TaskState::Pending | TaskState::Scheduled | TaskState::Aggregating
            ));
            Ok(info)
        }
        Ok(Receipt::IdTaken { state }) => Err(EnqueueError::TaskIdConflict {
            queue: message.queue,
            id: message.id,
            state,
        }),
        Ok(Receipt::Duplicate { holder }) => Err(EnqueueError::DuplicateTask {
            queue: message.queue,
            task_type: message.task_type.to_string(),
            existing: holder,
        }),
        Err(source) => Err(EnqueueError::Broker {
            queue: message.queue,
            id: message.id,
            source,
        }),
    }
}
