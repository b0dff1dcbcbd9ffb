use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::message::{TaskInfo, TaskState};
use crate::names::TaskId;

/// Which tasks are meant: those that are all that is asked for. Without anything asked for, all.
///
/// ```
/// use asynq_core::Filter;
///
/// let filter = Filter::new().task_type("email:welcome").error("connection refused");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Filter {
    id_prefix: Option<String>,
    task_type: Option<String>,
    payload: Option<Bytes>,
    error: Option<String>,
    header: Option<(String, Option<String>)>,
    older_than: Option<Duration>,
    younger_than: Option<Duration>,
}

impl Filter {
    /// All tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this type.
    pub fn task_type(mut self, task_type: impl Into<String>) -> Self {
        self.task_type = Some(task_type.into());
        self
    }

    /// With an id that begins so.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = Some(prefix.into());
        self
    }

    /// With these bytes somewhere in their payload.
    pub fn payload(mut self, part: impl Into<Bytes>) -> Self {
        self.payload = Some(part.into());
        self
    }

    /// With this text somewhere in their last error.
    pub fn error(mut self, part: impl Into<String>) -> Self {
        self.error = Some(part.into());
        self
    }

    /// With a header of this key, whatever its value.
    pub fn has_header(mut self, key: impl Into<String>) -> Self {
        self.header = Some((key.into(), None));
        self
    }

    /// With this header.
    pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.header = Some((key.into(), Some(value.into())));
        self
    }

    /// In their state for at least this long: pending, archived or in their group since then, completed then, failed then
    /// if they wait for a retry. Of scheduled and active tasks it is not known: none of them passes.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// In their state for less than this long; see [`Filter::older_than`].
    pub fn younger_than(mut self, age: Duration) -> Self {
        self.younger_than = Some(age);
        self
    }

    /// Whether all tasks pass.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether more than the id of a task is needed to decide. For brokers.
    pub fn needs_task(&self) -> bool {
        let without_id = Filter {
            id_prefix: None,
            ..self.clone()
        };
        !without_id.is_empty()
    }

    /// What ids are to begin with; blank for whatever. For brokers.
    pub fn wanted_id_prefix(&self) -> &str {
        self.id_prefix.as_deref().unwrap_or_default()
    }

    /// Whether a task of this id may pass.
    pub fn passes_id(&self, id: &TaskId) -> bool {
        id.as_str().starts_with(self.wanted_id_prefix())
    }

    /// Whether a task passes. `since` says since when it has been in its list, if the broker knows.
    pub fn passes(&self, task: &TaskInfo, since: Option<Timestamp>, now: Timestamp) -> bool {
        let message = &task.message;
        self.passes_id(task.id())
            && is_none_or(&self.task_type, |wanted| **wanted == *message.task_type)
            && is_none_or(&self.payload, |part| contains(&message.payload, part))
            && is_none_or(&self.error, |part| message.last_error.contains(part.as_str()))
            && is_none_or(&self.header, |(key, value)| match message.headers.get(key) {
                Some(found) => is_none_or(value, |value| found == value),
                None => false,
            })
            && self.passes_age(task, since, now)
    }

    fn passes_age(&self, task: &TaskInfo, since: Option<Timestamp>, now: Timestamp) -> bool {
        if self.older_than.is_none() && self.younger_than.is_none() {
            return true;
        }
        let since = match task.state {
            TaskState::Completed => task.message.completed_at,
            TaskState::Retry => task.message.last_failed_at,
            TaskState::Scheduled | TaskState::Active => None,
            TaskState::Pending | TaskState::Archived | TaskState::Aggregating => since,
        };
        since.is_some_and(|since| {
            let age = now.saturating_since(since);
            self.older_than.is_none_or(|least| age >= least)
                && self.younger_than.is_none_or(|most| age < most)
        })
    }
}

fn is_none_or<T>(wish: &Option<T>, passes: impl FnOnce(&T) -> bool) -> bool {
    wish.as_ref().is_none_or(passes)
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
