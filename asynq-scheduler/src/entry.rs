use std::fmt;
use std::sync::Arc;

use asynq_core::broker::EntryKey;
use asynq_core::{
    EncodeError, EnqueueError, IntoTask, Missed, Periodic, RawTask, Schedule, TaskOptions, new_task,
};
use asynq_cron::{Spec, SpecError, UnknownZone, Zone};
use uuid::Uuid;

use crate::option_text;
use crate::ticks::Ticks;

/// A task that is enqueued again and again, and when.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::{Configure, RawTask, TaskOptions};
/// use asynq_scheduler::{Entry, Missed};
///
/// let entry = Entry::new("TZ=Europe/Paris 0 3 * * *", RawTask::new("report:nightly", ""))
///     .name("nightly report")
///     .options(TaskOptions::new().queue("low").timeout(Duration::from_secs(600)))
///     .missed(Missed::RunOnce);
/// ```
#[derive(Debug)]
#[must_use = "an entry does nothing until it is registered"]
pub struct Entry {
    pub(crate) name: Option<String>,
    pub(crate) spec: String,
    zone: Result<Option<Zone>, UnknownZone>,
    task: Result<(RawTask, TaskOptions), EncodeError>,
    options: TaskOptions,
    missed: Option<Missed>,
    copy_per_scheduler: bool,
}

/// Names an entry: the same in all schedulers that have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Arc<str>);

impl EntryId {
    /// The id as text, as tools show it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why an entry was not registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The spec makes no sense.
    #[error("the spec {spec:?} is wrong")]
    Spec {
        /// What was given.
        spec: String,
        /// What is wrong with it, and where.
        source: SpecError,
    },
    /// There is no such time zone.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// The payload could not be turned into bytes.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A task type or an option that would be refused at each tick.
    #[error("the task of the entry cannot be enqueued")]
    Task(#[source] EnqueueError),
    /// A task id of its own.
    #[error(
        "the entry sets the task id {0:?}, with which an earlier run that is kept would block all later ones: leave it \
         out, each tick has an id; or let each scheduler enqueue a copy"
    )]
    TaskId(String),
    /// A name that is blank or over 200 bytes.
    #[error("the name {0:?} of the entry is blank or longer than 200 bytes")]
    Name(String),
    /// The scheduler has this entry already. Two that are the same are told apart by their names.
    #[error("the entry {0:?} is registered already; give one of the two a name of its own")]
    Exists(EntryId),
    /// The scheduler has been shut down.
    #[error("the scheduler has been shut down")]
    Closed,
}

impl Entry {
    /// This task at these times; see [`Spec`] for what may be said. It is checked when the entry is registered.
    pub fn new(spec: impl Into<String>, task: impl IntoTask) -> Self {
        Entry {
            name: None,
            spec: spec.into(),
            zone: Ok(None),
            task: task.into_task(),
            options: TaskOptions::new(),
            missed: None,
            copy_per_scheduler: false,
        }
    }

    /// What a payload type says of itself, with `#[task(cron = …)]` or by hand. Its name is the task type.
    pub fn of<T: Periodic>() -> Self {
        T::schedule().into()
    }

    /// Identifies the entry, so that it stays the same when its spec or task changes, and is another than one of the same
    /// spec and task. Without a name it is identified by all it says.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The zone in which the spec is read if it names none; that of the scheduler unless set.
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = Ok(Some(zone));
        self
    }

    /// Options on top of those of the task. Tools show these.
    pub fn options(mut self, options: TaskOptions) -> Self {
        self.options = options;
        self
    }

    /// What becomes of ticks at which no scheduler ran; as set for the scheduler unless set.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = Some(missed);
        self
    }

    /// Lets each scheduler enqueue a copy of its own, as Go asynq does: with `@every` counted from its start, nothing
    /// made up for, and a failed enqueue given up.
    pub fn one_copy_per_scheduler(mut self) -> Self {
        self.copy_per_scheduler = true;
        self
    }

    pub(crate) fn task_type(&self) -> Option<&str> {
        self.task.as_ref().ok().map(|(task, _)| &*task.task_type)
    }

    /// Checks all that can be checked before a tick.
    pub(crate) fn check(self, defaults: &Defaults) -> Result<Plan, RegisterError> {
        let spec: Spec = self.spec.parse().map_err(|source| RegisterError::Spec {
            spec: self.spec.clone(),
            source,
        })?;
        let zone = self.zone?.unwrap_or(defaults.zone);
        let shown_options = option_text::all(&self.options);
        let (task, task_options) = self.task?;
        let options = task_options.overridden_by(self.options);
        if let Some(id) = options.task_id.as_ref().filter(|_| !self.copy_per_scheduler) {
            return Err(RegisterError::TaskId(id.clone()));
        }
        let checked =
            new_task(task.clone(), options.clone(), defaults.max_payload).map_err(RegisterError::Task)?;
        let missed = self.missed.unwrap_or(defaults.missed);
        let fingerprint = fingerprint(&spec, zone, &task, &options, self.copy_per_scheduler);
        let id = match self.name {
            None => fingerprint.to_string(),
            Some(name) if name.trim().is_empty() || name.len() > 200 => {
                return Err(RegisterError::Name(name.chars().take(200).collect()));
            }
            Some(name) => name,
        };
        Ok(Plan {
            key: EntryKey {
                queue: checked.message.queue,
                id: id.clone(),
            },
            id: EntryId(id.into()),
            ticks: Ticks { spec, zone },
            task,
            options,
            shown_options,
            missed,
            copy_per_scheduler: self.copy_per_scheduler,
            fingerprint,
            max_payload: defaults.max_payload,
        })
    }
}

impl From<Schedule> for Entry {
    fn from(schedule: Schedule) -> Self {
        let zone = schedule.zone_name().map(str::parse).transpose();
        // Tools show the options of an entry, so those of the type count as its own.
        let (task, options) = match schedule.task() {
            Ok((task, options)) => (Ok((task, TaskOptions::new())), options),
            Err(error) => (Err(error), TaskOptions::new()),
        };
        Entry {
            name: Some(schedule.task_type().to_owned()),
            spec: schedule.cron().to_owned(),
            zone,
            task,
            options,
            missed: schedule.missed_policy(),
            copy_per_scheduler: false,
        }
    }
}

impl From<&Schedule> for Entry {
    fn from(schedule: &Schedule) -> Self {
        schedule.clone().into()
    }
}

/// What entries have that say nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) zone: Zone,
    pub(crate) missed: Missed,
    pub(crate) max_payload: usize,
}

/// An entry that has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) id: EntryId,
    pub(crate) key: EntryKey,
    pub(crate) ticks: Ticks,
    pub(crate) task: RawTask,
    pub(crate) options: TaskOptions,
    pub(crate) shown_options: Vec<String>,
    pub(crate) missed: Missed,
    pub(crate) copy_per_scheduler: bool,
    fingerprint: Uuid,
    pub(crate) max_payload: usize,
}

impl Plan {
    /// Whether nothing of the entry has changed.
    pub(crate) fn is_same(&self, other: &Plan) -> bool {
        self.id == other.id && self.fingerprint == other.fingerprint && self.missed == other.missed
    }
}

/// Tells entries apart by all that decides what is enqueued and when. Go leaves out headers and options of the task, and
/// where one part ends and the next begins.
fn fingerprint(spec: &Spec, zone: Zone, task: &RawTask, options: &TaskOptions, copies: bool) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6173_796e_715f_7363_6865_6475_6c65_725f);
    let mut all = Vec::new();
    let mut add = |part: &[u8]| {
        all.extend((part.len() as u64).to_le_bytes());
        all.extend(part);
    };
    add(spec.as_str().as_bytes());
    add(zone.to_string().as_bytes());
    add(task.task_type.as_bytes());
    add(&task.payload);
    add(&[copies.into()]);
    for (key, value) in &task.headers {
        add(key.as_bytes());
        add(value.as_bytes());
    }
    add(b"options");
    for option in option_text::all(options) {
        add(option.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &all)
}
