use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq_core::BoxError;
use futures::FutureExt;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::entry::{Entry, EntryId, Plan};
use crate::hooks::panic_text;
use crate::provider::ConfigProvider;
use crate::scheduler::{Scheduler, StartError, locked};
use crate::signal;
use crate::told::Told;

/// Keeps the entries of a scheduler as a provider says, while it runs: adds, removes and changes them, and leaves those
/// alone that are as they were. Go: `PeriodicTaskManager`.
///
/// Entries that were registered with the scheduler otherwise stay. See [`ConfigProvider`] for an example.
pub struct PeriodicTasks {
    shared: Arc<Shared>,
    tracker: TaskTracker,
}

struct Shared {
    scheduler: Scheduler,
    provider: Box<dyn ConfigProvider>,
    sync_interval: Duration,
    /// What was registered here.
    known: Mutex<BTreeMap<EntryId, Arc<Known>>>,
    /// A list is often asked for, and what is wrong with it is wrong for long.
    told: Mutex<Told>,
}

/// An entry that is registered, to compare with.
struct Known {
    plan: Plan,
    task_type: String,
}

/// Why periodic tasks were not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodicError {
    /// The provider gave no list. Later it may fail without harm, but without a first one there is nothing to run.
    #[error("the provider of periodic tasks failed")]
    Provider(#[source] BoxError),
    /// The scheduler did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// An entry that could not be registered: which of those that there are it may stand for.
#[derive(Debug)]
struct Problem {
    name: Option<String>,
    task_type: Option<String>,
}

impl PeriodicTasks {
    /// Periodic tasks of this provider, enqueued by this scheduler, which must not have been started.
    pub fn new(scheduler: Scheduler, provider: impl ConfigProvider) -> Self {
        PeriodicTasks {
            shared: Arc::new(Shared {
                scheduler,
                provider: Box::new(provider),
                sync_interval: Duration::from_secs(3 * 60),
                known: Mutex::default(),
                told: Mutex::default(),
            }),
            tracker: TaskTracker::new(),
        }
    }

    /// How often the provider is asked, at least each second; three minutes unless set. One that says when something has
    /// changed is asked then, too. Go: `SyncInterval`.
    #[must_use]
    pub fn sync_interval(self, interval: Duration) -> Self {
        let shared = Shared {
            sync_interval: interval.max(Duration::from_secs(1)),
            ..Arc::into_inner(self.shared).expect("nobody shares it before it is started")
        };
        PeriodicTasks {
            shared: Arc::new(shared),
            tracker: self.tracker,
        }
    }

    /// Asks the provider, starts the scheduler and goes on asking. Go: `Start`.
    ///
    /// # Errors
    ///
    /// If the provider fails, or the scheduler has been started or shut down. Single entries that make no sense are
    /// logged and left out.
    pub async fn start(&self) -> Result<(), PeriodicError> {
        let entries = self.shared.ask().await.map_err(PeriodicError::Provider)?;
        self.shared.apply(entries);
        self.shared.scheduler.start()?;
        self.tracker.spawn(sync(self.shared.clone()));
        Ok(())
    }

    /// Runs until the process is told to end by SIGTERM, SIGINT or ctrl-c, then shuts down. Go: `Run`.
    pub async fn run(&self) -> Result<(), PeriodicError> {
        let mut signals = signal::Signals::listen().map_err(StartError::Signals)?;
        self.start().await?;
        signals.end().await;
        self.shutdown().await;
        Ok(())
    }

    /// Stops asking, and shuts the scheduler down. Go: `Shutdown`.
    pub async fn shutdown(&self) {
        self.shared.scheduler.shutdown().await;
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The scheduler that enqueues them.
    pub fn scheduler(&self) -> &Scheduler {
        &self.shared.scheduler
    }
}

async fn sync(shared: Arc<Shared>) {
    let stop = shared.scheduler.core.stop.clone();
    let round = async {
        loop {
            let changed = AssertUnwindSafe(async { shared.provider.changed().await }).catch_unwind();
            match tokio::time::timeout(shared.sync_interval, changed).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(panic)) => {
                    error!(
                        panic = panic_text(&*panic),
                        "the provider of periodic tasks panicked"
                    );
                    tokio::time::sleep(shared.sync_interval).await;
                }
            }
            match shared.ask().await {
                Ok(entries) => shared.apply(entries),
                Err(error) => shared.failed(&*error),
            }
        }
    };
    stop.run_until_cancelled(round).await;
}

impl Shared {
    async fn ask(&self) -> Result<Vec<Entry>, BoxError> {
        // Also before it gives a future.
        let asked = async { self.provider.configs().await };
        match AssertUnwindSafe(asked).catch_unwind().await {
            Ok(answer) => answer,
            Err(panic) => Err(format!("panic: {}", panic_text(&*panic)).into()),
        }
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) {
        let mut told = locked(&self.told);
        told.next_round();
        if told.is_new(with_causes(error)) {
            error!(
                error,
                "the provider of periodic tasks failed: they stay as they are"
            );
        }
    }

    /// Makes the scheduler's entries those given.
    fn apply(&self, entries: Vec<Entry>) {
        let mut told = locked(&self.told);
        told.next_round();
        let (wanted, problems) = self.check(entries, &mut told);
        let mut known = locked(&self.known);
        let mut removed = std::mem::take(&mut *known);
        for (id, entry) in wanted {
            let entry = match removed.remove(&id) {
                Some(there) if there.plan.is_same(&entry.plan) => there,
                there => match self.put(entry, there.is_some(), &mut told) {
                    Some(entry) => entry,
                    None => continue,
                },
            };
            known.insert(id, entry);
        }
        for (id, entry) in removed {
            if problems.iter().any(|problem| problem.may_stand_for(&id, &entry)) {
                if told.is_new(format!("{id} stays")) {
                    warn!(entry = %id, "the periodic task stays until those that make no sense are mended");
                }
                known.insert(id, entry);
            } else if self.scheduler.unregister(&id).is_ok() {
                info!(entry = %id, task_type = %entry.task_type, "periodic task removed");
            }
        }
    }

    /// Those that make sense, once each, and what is known of the others.
    fn check(&self, entries: Vec<Entry>, told: &mut Told) -> (Vec<(EntryId, Known)>, Vec<Problem>) {
        let mut wanted: Vec<(EntryId, Known)> = Vec::new();
        let mut problems = Vec::new();
        for entry in entries {
            let spec = entry.spec.clone();
            let problem = Problem {
                name: entry.name.clone(),
                task_type: entry.task_type().map(str::to_owned),
            };
            match self.scheduler.check(entry) {
                Ok(plan) if wanted.iter().any(|(id, _)| *id == plan.id) => {
                    if told.is_new(format!("{} twice", plan.id)) {
                        warn!(
                            entry = %plan.id,
                            spec,
                            task_type = %plan.task.task_type,
                            "two periodic tasks are the same, and one is left out; give them names if both are to run"
                        );
                    }
                }
                Ok(plan) => wanted.push((plan.id.clone(), Known::new(plan))),
                Err(error) => {
                    if told.is_new(format!("{problem:?} {}", with_causes(&error))) {
                        error!(
                            name = problem.name,
                            spec,
                            task_type = problem.task_type,
                            error = &error as &dyn std::error::Error,
                            "a periodic task makes no sense and is left out"
                        );
                    }
                    problems.push(problem);
                }
            }
        }
        (wanted, problems)
    }

    fn put(&self, entry: Known, replaces: bool, told: &mut Told) -> Option<Arc<Known>> {
        let task_type = entry.task_type.clone();
        let put = if replaces {
            self.scheduler.replace(entry.plan.clone())
        } else {
            self.scheduler.add(entry.plan.clone())
        };
        match put {
            Ok(id) => {
                let what = if replaces { "changed" } else { "added" };
                info!(entry = %id, spec = %entry.plan.ticks.spec, task_type, "periodic task {what}");
                Some(Arc::new(entry))
            }
            Err(error) => {
                if told.is_new(format!("{} {}", entry.plan.id, with_causes(&error))) {
                    error!(
                        task_type,
                        error = &error as &dyn std::error::Error,
                        "periodic task not registered; it is tried again"
                    );
                }
                None
            }
        }
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Known {
    fn new(plan: Plan) -> Self {
        Known {
            task_type: plan.task.task_type.to_string(),
            plan,
        }
    }
}

impl Problem {
    /// A changed entry that makes no sense must not take away the one it was: that with its name, or without names any of
    /// its type.
    fn may_stand_for(&self, id: &EntryId, entry: &Known) -> bool {
        match (&self.name, &self.task_type) {
            (Some(name), _) => name == id.as_str(),
            (None, Some(task_type)) => *task_type == entry.task_type,
            (None, None) => true,
        }
    }
}

impl fmt::Debug for PeriodicTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeriodicTasks")
            .field("scheduler", &self.shared.scheduler)
            .field("sync_interval", &self.shared.sync_interval)
            .finish_non_exhaustive()
    }
}
