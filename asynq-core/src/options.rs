//! What may be asked for a task when it is enqueued.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::clock::Timestamp;
use crate::names::{GroupName, NameError, QueueName, TaskId};

/// How often a task is retried when nothing else is said, as in Go asynq.
pub const DEFAULT_MAX_RETRY: u32 = 25;
/// How long a handler may run when neither a timeout nor a deadline is given, as in Go asynq.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Key and value pairs that travel with a task.
pub type Headers = BTreeMap<String, String>;

/// What may be asked for a task. Options travel with a task type and can be set again for one task: what is set later
/// wins, headers are merged by key.
///
/// Set them with the methods of [`Configure`], which every task has too. They are checked when the task is enqueued.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TaskOptions {
    /// See [`Configure::queue`].
    pub queue: Option<String>,
    /// See [`Configure::max_retry`].
    pub max_retry: Option<u32>,
    /// See [`Configure::task_id`].
    pub task_id: Option<String>,
    /// See [`Configure::timeout`].
    pub timeout: Option<Duration>,
    /// See [`Configure::deadline`].
    pub deadline: Option<Timestamp>,
    /// See [`Configure::unique`].
    pub unique: Option<Duration>,
    /// See [`Configure::process_at`] and [`Configure::process_in`].
    pub process: Option<When>,
    /// See [`Configure::retention`].
    pub retention: Option<Duration>,
    /// See [`Configure::group`].
    pub group: Option<String>,
    /// See [`Configure::header`].
    pub headers: Headers,
}

/// When a task becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At this moment, on the broker's clock.
    At(Timestamp),
    /// This long after the broker accepts the task.
    In(Duration),
}

impl When {
    /// The moment, given the broker's time now.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            When::At(at) => at,
            When::In(delay) => now.saturating_add(delay),
        }
    }
}

/// An option that cannot be honoured. It names the option and says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOption {
    /// A queue, task id, task type or group that is blank, too long or not usable as a key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A duration that the stored form of a task cannot hold.
    #[error("{option} of {value:?} {expected}")]
    Duration {
        /// The option, such as `timeout`.
        option: &'static str,
        /// What was given.
        value: Duration,
        /// What is expected instead.
        expected: &'static str,
    },
    /// More retries than the stored form of a task can hold.
    #[error("max_retry of {0} is more than 2147483647")]
    MaxRetry(u32),
    /// A payload over the client's limit.
    #[error(
        "payload of {size} bytes is over the limit of {limit} bytes; store it elsewhere and enqueue a reference, or raise the client's max_payload"
    )]
    Payload {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Headers over the limit of the client.
    #[error("headers of {size} bytes are over the limit of {limit} bytes")]
    Headers {
        /// Bytes of all keys and values.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl TaskOptions {
    /// No option set.
    pub fn new() -> Self {
        Self::default()
    }

    /// These options with those of `later` on top.
    pub fn overridden_by(mut self, later: TaskOptions) -> Self {
        self.queue = later.queue.or(self.queue);
        self.max_retry = later.max_retry.or(self.max_retry);
        self.task_id = later.task_id.or(self.task_id);
        self.timeout = later.timeout.or(self.timeout);
        self.deadline = later.deadline.or(self.deadline);
        self.unique = later.unique.or(self.unique);
        self.process = later.process.or(self.process);
        self.retention = later.retention.or(self.retention);
        self.group = later.group.or(self.group);
        self.headers.extend(later.headers);
        self
    }

    pub(crate) fn checked(self) -> Result<CheckedOptions, InvalidOption> {
        let max_retry = self.max_retry.unwrap_or(DEFAULT_MAX_RETRY);
        if i32::try_from(max_retry).is_err() {
            return Err(InvalidOption::MaxRetry(max_retry));
        }
        if let Some(unique) = self.unique
            && unique < Duration::from_secs(1)
        {
            return Err(InvalidOption::Duration {
                option: "unique",
                value: unique,
                expected: "is shorter than the shortest lock, 1s",
            });
        }
        Ok(CheckedOptions {
            queue: self
                .queue
                .map_or_else(|| Ok(QueueName::default_queue()), QueueName::new)?,
            max_retry,
            task_id: self.task_id.map_or_else(|| Ok(TaskId::random()), TaskId::new)?,
            timeout: match (whole_seconds("timeout", self.timeout)?, self.deadline) {
                (None, None) => Some(DEFAULT_TIMEOUT),
                (timeout, _) => timeout,
            },
            deadline: self.deadline,
            unique: self.unique,
            process: self.process,
            retention: whole_seconds("retention", self.retention)?,
            group: self.group.map(GroupName::new).transpose()?,
            headers: self.headers,
        })
    }
}

/// Stored tasks hold whole seconds. Below one second nothing sensible can be stored (Go asynq turns it into thirty
/// minutes); above, a fraction is rounded up so that nothing ends earlier than asked for.
fn whole_seconds(
    option: &'static str,
    duration: Option<Duration>,
) -> Result<Option<Duration>, InvalidOption> {
    let Some(duration) = duration else { return Ok(None) };
    let expected = if duration.is_zero() {
        "is zero; leave the option out for its default"
    } else if duration < Duration::from_secs(1) {
        "is below 1s, and tasks are stored with whole seconds"
    } else if duration.as_secs() > i64::MAX as u64 / 1_000_000 {
        "is longer than a task can hold"
    } else {
        return Ok(Some(Duration::from_secs(
            duration.as_secs() + u64::from(duration.subsec_nanos() > 0),
        )));
    };
    Err(InvalidOption::Duration {
        option,
        value: duration,
        expected,
    })
}

pub(crate) struct CheckedOptions {
    pub(crate) queue: QueueName,
    pub(crate) max_retry: u32,
    pub(crate) task_id: TaskId,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) unique: Option<Duration>,
    pub(crate) process: Option<When>,
    pub(crate) retention: Option<Duration>,
    pub(crate) group: Option<GroupName>,
    pub(crate) headers: Headers,
}

/// Sets the options of a task: of a value whose type is a [`Task`](crate::Task), of a [`RawTask`](crate::RawTask), of
/// a [`TaskBuilder`](crate::TaskBuilder), or of [`TaskOptions`] by themselves.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::{Configure, RawTask};
///
/// let task = RawTask::new("image:resize", "cat.png")
///     .queue("low")
///     .max_retry(3)
///     .timeout(Duration::from_secs(30))
///     .process_in(Duration::from_secs(60));
/// ```
pub trait Configure: Sized {
    /// What carries the options afterwards.
    type Configured;

    /// Changes the options.
    fn configure(self, change: impl FnOnce(&mut TaskOptions)) -> Self::Configured;

    /// The queue, `default` when not set.
    fn queue(self, name: impl Into<String>) -> Self::Configured {
        self.configure(|options| options.queue = Some(name.into()))
    }

    /// How often the task is tried again after a failure; 25 when not set. It runs at most once more than this.
    fn max_retry(self, retries: u32) -> Self::Configured {
        self.configure(|options| options.max_retry = Some(retries))
    }

    /// The id, a random UUID when not set. While a task of the same id is in the queue, in whatever state, enqueueing
    /// is refused with [`EnqueueError::TaskIdConflict`](crate::EnqueueError::TaskIdConflict).
    fn task_id(self, id: impl Into<String>) -> Self::Configured {
        self.configure(|options| options.task_id = Some(id.into()))
    }

    /// How long a handler may run, at least one second; fractions of a second are rounded up. Thirty minutes when
    /// neither this nor a deadline is set.
    fn timeout(self, timeout: Duration) -> Self::Configured {
        self.configure(|options| options.timeout = Some(timeout))
    }

    /// The moment at which a running handler is stopped, whole seconds (rounded up). With a timeout too, the earlier
    /// of the two counts.
    fn deadline(self, deadline: SystemTime) -> Self::Configured {
        self.configure(|options| {
            let seconds = Timestamp::from(deadline).unix_seconds_ceil();
            options.deadline = Some(Timestamp::from_unix_seconds(seconds));
        })
    }

    /// For this long, at least one second, or until the task is done, no second task of the same type, payload and
    /// queue is accepted: it is refused with
    /// [`EnqueueError::DuplicateTask`](crate::EnqueueError::DuplicateTask). For a task with a delay the time counts
    /// from when it becomes due.
    fn unique(self, ttl: Duration) -> Self::Configured {
        self.configure(|options| options.unique = Some(ttl))
    }

    /// Not before this moment. Replaces an earlier `process_in`.
    fn process_at(self, time: SystemTime) -> Self::Configured {
        self.configure(|options| options.process = Some(When::At(time.into())))
    }

    /// Not before this long from now. Replaces an earlier `process_at`.
    fn process_in(self, delay: Duration) -> Self::Configured {
        self.configure(|options| options.process = Some(When::In(delay)))
    }

    /// How long the task and its result are kept after success, at least one second; fractions of a second are
    /// rounded up. When not set, the task is deleted at once.
    fn retention(self, retention: Duration) -> Self::Configured {
        self.configure(|options| options.retention = Some(retention))
    }

    /// Gathers the task with others of this group, which a server merges into one.
    fn group(self, name: impl Into<String>) -> Self::Configured {
        self.configure(|options| options.group = Some(name.into()))
    }

    /// Adds a header. The last value of a key wins.
    fn header(self, key: impl Into<String>, value: impl Into<String>) -> Self::Configured {
        self.configure(|options| {
            options.headers.insert(key.into(), value.into());
        })
    }
}

impl Configure for TaskOptions {
    type Configured = Self;

    fn configure(mut self, change: impl FnOnce(&mut TaskOptions)) -> Self {
        change(&mut self);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_go_asynq() {
        let checked = TaskOptions::new().checked().unwrap();

        assert_eq!(checked.queue, "default");
        assert_eq!(checked.max_retry, 25);
        assert_eq!(checked.timeout, Some(Duration::from_secs(1800)));
        assert_eq!(checked.retention, None);
    }

    #[test]
    fn a_deadline_alone_leaves_the_timeout_out() {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let checked = TaskOptions::new().deadline(deadline).checked().unwrap();

        assert_eq!(checked.timeout, None);
        assert_eq!(
            checked.deadline,
            Some(Timestamp::from_unix_seconds(1_700_000_001))
        );
    }

    #[test]
    fn a_timeout_below_a_second_is_refused_and_never_becomes_thirty_minutes() {
        for bad in [Duration::ZERO, Duration::from_millis(500)] {
            assert!(TaskOptions::new().timeout(bad).checked().is_err());
            assert!(TaskOptions::new().retention(bad).checked().is_err());
        }
        let checked = TaskOptions::new()
            .timeout(Duration::from_millis(1500))
            .checked()
            .unwrap();
        assert_eq!(checked.timeout, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_unique_ttl_below_a_second_is_refused() {
        assert!(
            TaskOptions::new()
                .unique(Duration::from_millis(999))
                .checked()
                .is_err()
        );
        assert!(
            TaskOptions::new()
                .unique(Duration::from_secs(1))
                .checked()
                .is_ok()
        );
    }

    #[test]
    fn retries_that_do_not_fit_the_stored_form_are_refused() {
        assert!(TaskOptions::new().max_retry(u32::MAX).checked().is_err());
        assert!(TaskOptions::new().max_retry(i32::MAX as u32).checked().is_ok());
    }

    #[test]
    fn later_options_win_and_headers_merge() {
        let first = TaskOptions::new()
            .queue("a")
            .max_retry(1)
            .header("x", "1")
            .header("y", "1");
        let later = TaskOptions::new().queue("b").header("y", "2");

        let merged = first.overridden_by(later);

        assert_eq!(merged.queue.as_deref(), Some("b"));
        assert_eq!(merged.max_retry, Some(1));
        assert_eq!(
            merged.headers,
            Headers::from([("x".into(), "1".into()), ("y".into(), "2".into())])
        );
    }
}
