//! Tasks that the clock enqueues.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::options::TaskOptions;
use crate::task::{EncodeError, IntoTask, RawTask, Task};

/// A payload type whose tasks are enqueued at the times of a cron spec, by a scheduler of `asynq-scheduler`.
///
/// Derived with `cron` among the options, which is checked while the program compiles:
///
/// ```ignore
/// #[derive(Serialize, Deserialize, Task)]
/// #[task(name = "report:nightly", queue = "low", cron = "0 3 * * *", tz = "Europe/Paris")]
/// struct NightlyReport;
/// ```
///
/// The same by hand:
///
/// ```
/// use asynq_core::{JsonCodec, Periodic, Schedule, Task};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct NightlyReport;
///
/// impl Periodic for NightlyReport {
///     fn schedule() -> Schedule {
///         Schedule::new("0 3 * * *", || NightlyReport).zone("Europe/Paris")
///     }
/// }
///
/// impl Task for NightlyReport {
///     const TYPE: &'static str = "report:nightly";
///     type Codec = JsonCodec;
///
///     fn periodic() -> Option<Schedule> {
///         Some(Self::schedule())
///     }
/// }
/// ```
///
/// Nothing happens until a scheduler is told: `scheduler.register_task::<NightlyReport>()`, or
/// `scheduler.register_all(server.schedules())` for all that have a handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say when it is to be enqueued",
    label = "does not implement `Periodic`",
    note = "write `#[task(name = \"…\", cron = \"0 3 * * *\")]`; or give the spec here: `scheduler.register(\"0 3 * * *\", task, options)`"
)]
pub trait Periodic: Task {
    /// When, and what.
    fn schedule() -> Schedule;
}

/// When a task is enqueued by the clock, and which. Made by [`Periodic`], and taken by the schedulers of
/// `asynq-scheduler`.
#[derive(Clone)]
#[must_use = "a schedule does nothing until a scheduler has it"]
pub struct Schedule {
    task_type: &'static str,
    cron: Cow<'static, str>,
    zone: Option<Cow<'static, str>>,
    missed: Option<Missed>,
    make: Arc<dyn Fn() -> Result<(RawTask, TaskOptions), EncodeError> + Send + Sync>,
}

impl Schedule {
    /// The task that `make` makes, at the times of a spec such as `0 3 * * *`. It is made once, when a scheduler is told
    /// of it, and has the options of its type. All schedulers know it by its type.
    pub fn new<T: Task>(
        cron: impl Into<Cow<'static, str>>,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        Schedule {
            task_type: T::TYPE,
            cron: cron.into(),
            zone: None,
            missed: None,
            make: Arc::new(move || make().into_task()),
        }
    }

    /// The time zone in which the spec is read, such as `Europe/Paris`; that of the scheduler unless set.
    pub fn zone(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// What becomes of ticks at which no scheduler ran; as set for the scheduler unless set.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = Some(missed);
        self
    }

    /// The type of the task.
    pub fn task_type(&self) -> &'static str {
        self.task_type
    }

    /// The spec.
    pub fn cron(&self) -> &str {
        &self.cron
    }

    /// The name of the time zone, if one is set.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// What becomes of missed ticks, if it is set.
    pub fn missed_policy(&self) -> Option<Missed> {
        self.missed
    }

    /// The task, with the options of its type.
    pub fn task(&self) -> Result<(RawTask, TaskOptions), EncodeError> {
        (self.make)()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("task_type", &self.task_type)
            .field("cron", &self.cron)
            .field("zone", &self.zone)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}

/// What becomes of ticks at which no scheduler ran, or the broker could not be reached. What has been missed is known
/// from the last tick, which the broker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// They are left out, as in Go asynq.
    Skip,
    /// The latest of them is run, however many there are; none if a tick is due now anyhow.
    #[default]
    RunOnce,
    /// All of them are run, oldest first, or the latest `limit` if there are more.
    RunAll {
        /// How many at most.
        limit: usize,
    },
}
