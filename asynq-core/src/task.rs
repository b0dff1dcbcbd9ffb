//! What is enqueued: typed tasks, raw tasks, and how either becomes ready to send.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::Codec;
use crate::options::{Configure, Headers, TaskOptions};
use crate::periodic::Schedule;

/// A payload type with the name and the default options of its tasks.
///
/// Derived (feature `derive`):
///
#[cfg_attr(feature = "derive", doc = "```")]
#[cfg_attr(not(feature = "derive"), doc = "```ignore")]
/// use asynq_core::{Configure, Task};
///
/// #[derive(serde::Serialize, serde::Deserialize, Task)]
/// #[task(name = "email:welcome", queue = "critical", max_retry = 5)]
/// struct WelcomeEmail {
///     username: String,
/// }
///
/// // The options of the type, with one more for this task.
/// let task = WelcomeEmail { username: "ann".into() }.process_in(std::time::Duration::from_secs(60));
/// ```
///
/// The same by hand:
///
/// ```
/// use asynq_core::{Configure, JsonCodec, Task, TaskOptions};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct WelcomeEmail {
///     username: String,
/// }
///
/// impl Task for WelcomeEmail {
///     const TYPE: &'static str = "email:welcome";
///     type Codec = JsonCodec;
///
///     fn options() -> TaskOptions {
///         TaskOptions::new().queue("critical").max_retry(5)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task payload",
    label = "does not implement `Task`",
    note = "derive it: `#[derive(Serialize, Deserialize, Task)]` with `#[task(name = \"…\")]` below"
)]
pub trait Task: Sized + Send + 'static {
    /// The task type, such as `email:welcome`, by which its handler is found.
    const TYPE: &'static str;

    /// Other task types under which the same payload may come, such as names that the type had earlier. A handler of
    /// this type is registered for them too.
    const ALIASES: &'static [&'static str] = &[];

    /// How the value becomes payload bytes: [`JsonCodec`](crate::JsonCodec), which peers in other languages read, or one of your own.
    type Codec: Codec<Self>;

    /// Options of every task of this type, unless set otherwise for one task.
    fn options() -> TaskOptions {
        TaskOptions::new()
    }

    /// When the clock enqueues such tasks, if the type is [`Periodic`](crate::Periodic); lists of handlers ask for it.
    fn periodic() -> Option<Schedule> {
        None
    }

    /// The payload bytes.
    fn encode(&self) -> Result<Bytes, EncodeError> {
        Self::Codec::encode(self).map_err(|error| EncodeError::new(Self::TYPE, error))
    }

    /// The value from its payload bytes.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        Self::Codec::decode(payload).map_err(|error| DecodeError::new(Self::TYPE, error))
    }
}

/// A payload that could not be turned into bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the payload of task type {task_type:?}")]
pub struct EncodeError {
    task_type: &'static str,
    source: crate::BoxError,
}

impl EncodeError {
    /// For an implementation of [`Task::encode`].
    pub fn new(task_type: &'static str, source: impl Into<crate::BoxError>) -> Self {
        EncodeError {
            task_type,
            source: source.into(),
        }
    }
}

/// A payload that is not of the expected form.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode the payload of task type {task_type:?}: {source}")]
pub struct DecodeError {
    task_type: &'static str,
    source: crate::BoxError,
}

impl DecodeError {
    /// For an implementation of [`Task::decode`].
    pub fn new(task_type: &'static str, source: impl Into<crate::BoxError>) -> Self {
        DecodeError {
            task_type,
            source: source.into(),
        }
    }
}

/// A task as type, bytes and headers: what travels, and what a handler gets.
///
/// Works without serde and without a type of your own. Options are set with [`Configure`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawTask {
    /// The task type, by which its handler is found.
    pub task_type: Arc<str>,
    /// The payload. Nothing looks into it on the way. An empty one counts as none, as in Go asynq's `NewTask(t, nil)`.
    pub payload: Bytes,
    /// Headers that travel with the task.
    pub headers: Headers,
}

impl RawTask {
    /// A task with this type and payload. The type is checked when the task is enqueued.
    pub fn new(task_type: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        RawTask {
            task_type: task_type.into(),
            payload: payload.into(),
            headers: Headers::new(),
        }
    }

    /// The same task with these headers instead of its own.
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// The payload as a value of `T`, whatever the task's type is.
    pub fn decode<T: Task>(&self) -> Result<T, DecodeError> {
        T::decode(&self.payload)
    }
}

/// A task with options of its own. Made by the methods of [`Configure`].
#[derive(Debug, Clone)]
#[must_use = "a task does nothing until it is enqueued"]
pub struct TaskBuilder<T> {
    task: T,
    options: TaskOptions,
}

/// What can be enqueued: a typed value, a raw task, or either with options.
pub trait IntoTask {
    /// The task, and all its options: those of its type with its own on top.
    fn into_task(self) -> Result<(RawTask, TaskOptions), EncodeError>;
}

impl<T: Task> IntoTask for T {
    fn into_task(self) -> Result<(RawTask, TaskOptions), EncodeError> {
        Ok((RawTask::new(T::TYPE, self.encode()?), T::options()))
    }
}

impl IntoTask for RawTask {
    fn into_task(self) -> Result<(RawTask, TaskOptions), EncodeError> {
        Ok((self, TaskOptions::new()))
    }
}

impl<T: IntoTask> IntoTask for TaskBuilder<T> {
    fn into_task(self) -> Result<(RawTask, TaskOptions), EncodeError> {
        let (task, options) = self.task.into_task()?;
        Ok((task, options.overridden_by(self.options)))
    }
}

impl<T: Task> Configure for T {
    type Configured = TaskBuilder<T>;

    fn configure(self, change: impl FnOnce(&mut TaskOptions)) -> TaskBuilder<T> {
        TaskBuilder {
            task: self,
            options: TaskOptions::new(),
        }
        .configure(change)
    }
}

impl Configure for RawTask {
    type Configured = TaskBuilder<RawTask>;

    fn configure(self, change: impl FnOnce(&mut TaskOptions)) -> TaskBuilder<RawTask> {
        TaskBuilder {
            task: self,
            options: TaskOptions::new(),
        }
        .configure(change)
    }
}

impl<T> Configure for TaskBuilder<T> {
    type Configured = Self;

    fn configure(mut self, change: impl FnOnce(&mut TaskOptions)) -> Self {
        change(&mut self.options);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::JsonCodec;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Resize {
        width: u32,
    }

    impl Task for Resize {
        const TYPE: &'static str = "image:resize";
        type Codec = JsonCodec;

        fn options() -> TaskOptions {
            TaskOptions::new().queue("low").max_retry(3)
        }
    }

    #[test]
    fn options_of_the_type_can_be_overridden_for_one_task() {
        let (task, options) = Resize { width: 7 }.queue("high").into_task().unwrap();

        assert_eq!(&*task.task_type, "image:resize");
        assert_eq!(&task.payload[..], br#"{"width":7}"#);
        assert_eq!(options.queue.as_deref(), Some("high"));
        assert_eq!(options.max_retry, Some(3));
    }

    #[test]
    fn a_payload_of_another_form_names_the_type_and_the_place() {
        let error = RawTask::new("image:resize", &br#"{"width":"x"}"#[..])
            .decode::<Resize>()
            .err()
            .unwrap();

        let text = error.to_string();
        assert!(
            text.contains("image:resize") && text.contains("`width`") && text.contains("column"),
            "{text}"
        );
    }
}
