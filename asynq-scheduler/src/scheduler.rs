use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use asynq_core::broker::{Broker, ScheduleBroker, ScheduleEntry};
use asynq_core::{BrokerError, IntoTask, Periodic, TaskOptions, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use uuid::Uuid;

use crate::builder::{Config, SchedulerBuilder};
use crate::entry::{Entry, EntryId, Plan, RegisterError};
use crate::{follow, heartbeat, signal};

/// Enqueues tasks again and again, at the times that their entries say. Go: `Scheduler`.
///
/// Any number of schedulers may have the same entries: each tick is enqueued once, and goes on being enqueued as long as
/// one of them lives. Cheap to clone; clones are the same scheduler.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::{Configure, MemoryBroker, RawTask, TaskOptions};
/// use asynq_scheduler::Scheduler;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(MemoryBroker::new()).location("Europe/Paris".parse()?).build();
/// scheduler.register("0 3 * * *", RawTask::new("report:nightly", ""), TaskOptions::new().queue("low"))?;
/// let id = scheduler.register("@every 30s", RawTask::new("cache:refresh", ""), TaskOptions::new())?;
///
/// scheduler.start()?; // or scheduler.run().await, until the process is told to end
/// scheduler.unregister(&id)?; // entries come and go while it runs
/// scheduler.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scheduler {
    pub(crate) core: Arc<Core>,
}

/// What the loops share.
pub(crate) struct Core {
    pub(crate) broker: Arc<dyn ScheduleBroker>,
    pub(crate) config: Config,
    /// `host:pid:uuid`, as in Go.
    pub(crate) id: String,
    pub(crate) stop: CancellationToken,
    /// What is shown should be shown anew.
    pub(crate) changed: Notify,
    entries: Mutex<Entries>,
    tracker: TaskTracker,
}

struct Entries {
    state: State,
    /// In the order they were registered.
    list: Vec<Registered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Active,
    Closed,
}

/// An entry and whatever follows it.
struct Registered {
    plan: Arc<Plan>,
    times: Arc<Times>,
    stop: CancellationToken,
}

/// When an entry fires next and fired last, for those who look.
#[derive(Debug, Default)]
pub(crate) struct Times(Mutex<(Option<Timestamp>, Option<Timestamp>)>);

impl Times {
    pub(crate) fn set_next(&self, next: Option<Timestamp>) {
        locked(&self.0).0 = next;
    }

    pub(crate) fn set_previous(&self, previous: Timestamp) {
        locked(&self.0).1 = Some(previous);
    }

    fn get(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        *locked(&self.0)
    }
}

/// The scheduler has no such entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no entry {0:?} is registered")]
pub struct UnknownEntry(pub EntryId);

/// Why a scheduler was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It runs already.
    #[error("the scheduler runs already")]
    Running,
    /// It was shut down. Make a new one.
    #[error("the scheduler has been shut down")]
    Closed,
    /// The operating system does not tell when the process is to end.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

impl Scheduler {
    /// A scheduler with defaults.
    pub fn new(broker: impl Into<Arc<dyn Broker>>) -> Self {
        Self::builder(broker).build()
    }

    /// A scheduler with settings.
    pub fn builder(broker: impl Into<Arc<dyn Broker>>) -> SchedulerBuilder {
        let broker: Arc<dyn Broker> = broker.into();
        SchedulerBuilder::new(broker)
    }

    pub(crate) fn with_config(broker: Arc<dyn ScheduleBroker>, config: Config) -> Self {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let core = Core {
            broker,
            config,
            id: format!("{host}:{}:{}", std::process::id(), Uuid::new_v4()),
            stop: CancellationToken::new(),
            changed: Notify::new(),
            entries: Mutex::new(Entries {
                state: State::New,
                list: Vec::new(),
            }),
            tracker: TaskTracker::new(),
        };
        Scheduler { core: Arc::new(core) }
    }

    /// Enqueues a task at the times of a spec, with these options on top of its own. Before the scheduler starts or while
    /// it runs. Go: `Register`.
    ///
    /// The id is the same in all schedulers that register the same; see [`Entry::name`].
    ///
    /// # Errors
    ///
    /// See [`RegisterError`]; nothing is registered then.
    pub fn register(
        &self,
        spec: impl Into<String>,
        task: impl IntoTask,
        options: TaskOptions,
    ) -> Result<EntryId, RegisterError> {
        self.register_entry(Entry::new(spec, task).options(options))
    }

    /// As [`Scheduler::register`], for an entry with more to say.
    pub fn register_entry(&self, entry: Entry) -> Result<EntryId, RegisterError> {
        self.add(self.check(entry)?)
    }

    /// Enqueues the tasks of a type at the times that it says itself, with `#[task(cron = …)]` or by hand. The entry has the
    /// name and the options of the type; for others take [`Entry::of`].
    ///
    /// ```
    /// use asynq_core::{JsonCodec, MemoryBroker, Periodic, Schedule, Task};
    /// use asynq_scheduler::Scheduler;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct NightlyReport;
    ///
    /// # impl Task for NightlyReport {
    /// #     const TYPE: &'static str = "report:nightly";
    /// #     type Codec = JsonCodec;
    /// # }
    /// impl Periodic for NightlyReport {
    ///     fn schedule() -> Schedule {
    ///         Schedule::new("0 3 * * *", || NightlyReport).zone("Europe/Paris")
    ///     }
    /// }
    ///
    /// let scheduler = Scheduler::new(MemoryBroker::new());
    /// let id = scheduler.register_task::<NightlyReport>()?;
    /// assert_eq!(id.as_str(), "report:nightly");
    /// # Ok::<(), asynq_scheduler::RegisterError>(())
    /// ```
    pub fn register_task<T: Periodic>(&self) -> Result<EntryId, RegisterError> {
        self.register_entry(Entry::of::<T>())
    }

    /// Registers all of these or, after an error, none: entries, or the [schedules](asynq_core::Schedule) of all tasks that
    /// a server has handlers for, `scheduler.register_all(server.schedules())`.
    pub fn register_all<E: Into<Entry>>(
        &self,
        entries: impl IntoIterator<Item = E>,
    ) -> Result<Vec<EntryId>, RegisterError> {
        let plans = entries.into_iter().map(|entry| self.check(entry.into()));
        self.add_all(plans.collect::<Result<_, _>>()?)
    }

    /// Stops enqueueing an entry. Go: `Unregister`.
    ///
    /// Other schedulers go on with it. Its last tick is kept: registered again, it goes on from there.
    pub fn unregister(&self, id: &EntryId) -> Result<(), UnknownEntry> {
        let mut entries = self.entries();
        let place = entries.list.iter().position(|entry| entry.plan.id == *id);
        let place = place.ok_or_else(|| UnknownEntry(id.clone()))?;
        entries.list.remove(place).stop.cancel();
        self.core.changed.notify_one();
        Ok(())
    }

    /// Begins to enqueue. Returns at once. Go: `Start`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(&self) -> Result<(), StartError> {
        let mut entries = self.entries();
        match entries.state {
            State::New => entries.state = State::Active,
            State::Active => return Err(StartError::Running),
            State::Closed => return Err(StartError::Closed),
        }
        info!(
            location = %self.core.config.defaults.zone,
            entries = entries.list.len(),
            "scheduler started"
        );
        for entry in &entries.list {
            self.core.follow(entry);
        }
        let core = self.core.clone();
        self.core.tracker.spawn(heartbeat::run(core));
        Ok(())
    }

    /// Runs until the process is told to end by SIGTERM, SIGINT or ctrl-c, then shuts down. Go: `Run`.
    pub async fn run(&self) -> Result<(), StartError> {
        let mut signals = signal::Signals::listen().map_err(StartError::Signals)?;
        self.start()?;
        signals.end().await;
        self.shutdown().await;
        Ok(())
    }

    /// Stops. What is being enqueued is enqueued; the entries are shown no longer. A scheduler that has been shut down
    /// cannot be started again. Go: `Shutdown`, which also deletes the history of the entries; here it is that of all
    /// schedulers and stays.
    pub async fn shutdown(&self) {
        {
            let mut entries = self.entries();
            entries.state = State::Closed;
            self.core.stop.cancel();
            self.core.tracker.close();
        }
        self.core.tracker.wait().await;
        info!("scheduler shut down");
    }

    /// The entries, in the order they were registered, and when they fire.
    pub fn entries_shown(&self) -> Vec<ScheduleEntry> {
        self.core.shown()
    }

    /// When an entry fires next: none if it never does, or the scheduler does not run yet.
    pub fn next_run(&self, id: &EntryId) -> Option<SystemTime> {
        let entries = self.entries();
        let entry = entries.list.iter().find(|entry| entry.plan.id == *id)?;
        entry.times.get().0.map(SystemTime::from)
    }

    /// Answers when the broker does. Go: `Ping`.
    pub async fn ping(&self) -> Result<(), BrokerError> {
        self.core.broker.ping().await
    }

    pub(crate) fn check(&self, entry: Entry) -> Result<Plan, RegisterError> {
        entry.check(&self.core.config.defaults)
    }

    pub(crate) fn add(&self, plan: Plan) -> Result<EntryId, RegisterError> {
        let id = plan.id.clone();
        self.add_all(vec![plan])?;
        Ok(id)
    }

    fn add_all(&self, plans: Vec<Plan>) -> Result<Vec<EntryId>, RegisterError> {
        let mut entries = self.entries();
        let mut known: BTreeSet<&EntryId> = entries.list.iter().map(|entry| &entry.plan.id).collect();
        if let Some(twice) = plans.iter().find(|plan| !known.insert(&plan.id)) {
            return Err(RegisterError::Exists(twice.id.clone()));
        }
        let mut ids = Vec::with_capacity(plans.len());
        for plan in plans {
            let place = entries.list.len();
            ids.push(self.core.insert(&mut entries, place, plan)?);
        }
        Ok(ids)
    }

    /// Puts an entry in the place of the one with its id. Its ticks go on where the other's ended.
    pub(crate) fn replace(&self, plan: Plan) -> Result<EntryId, RegisterError> {
        let mut entries = self.entries();
        let place = entries
            .list
            .iter()
            .position(|entry| entry.plan.id == plan.id)
            .unwrap_or(entries.list.len());
        if place < entries.list.len() {
            entries.list.remove(place).stop.cancel();
        }
        self.core.insert(&mut entries, place, plan)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        locked(&self.core.entries)
    }
}

impl Core {
    fn insert(
        self: &Arc<Self>,
        entries: &mut Entries,
        place: usize,
        plan: Plan,
    ) -> Result<EntryId, RegisterError> {
        if entries.state == State::Closed {
            return Err(RegisterError::Closed);
        }
        let id = plan.id.clone();
        let entry = Registered {
            plan: Arc::new(plan),
            times: Arc::default(),
            stop: self.stop.child_token(),
        };
        if entries.state == State::Active {
            self.follow(&entry);
        }
        entries.list.insert(place, entry);
        self.changed.notify_one();
        Ok(id)
    }

    /// Each entry has a loop of its own: one that cannot be enqueued holds up no other.
    fn follow(self: &Arc<Self>, entry: &Registered) {
        self.tracker.spawn(follow::run(
            self.clone(),
            entry.plan.clone(),
            entry.times.clone(),
            entry.stop.clone(),
        ));
    }

    pub(crate) fn shown(&self) -> Vec<ScheduleEntry> {
        let entries = locked(&self.entries);
        entries.list.iter().map(Registered::shown).collect()
    }
}

impl Registered {
    fn shown(&self) -> ScheduleEntry {
        let (next, previous) = self.times.get();
        let plan = &self.plan;
        ScheduleEntry {
            id: plan.id.to_string(),
            spec: plan.ticks.spec.to_string(),
            task_type: plan.task.task_type.to_string(),
            payload: plan.task.payload.clone(),
            options: plan.shown_options.clone(),
            next_enqueue_at: next,
            previous_enqueue_at: previous,
        }
    }
}

/// A lock that is never held across anything that can panic.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("id", &self.core.id)
            .field("config", &self.core.config)
            .finish_non_exhaustive()
    }
}
