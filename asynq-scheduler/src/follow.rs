//! Follows one entry: waits for its next tick and enqueues it, until it is unregistered or the scheduler stops.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use asynq_core::broker::{NewTask, ScheduleEvent, TickReceipt};
use asynq_core::{BrokerError, EnqueueError, TaskInfo, TaskOptions, Timestamp, answer_for, new_task};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::entry::Plan;
use crate::hooks::Tick;
use crate::scheduler::{Core, Times};

/// Time that passes while a machine sleeps is not always noticed by timers, and the broker's clock may be set.
const LONGEST_NAP: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) async fn run(core: Arc<Core>, plan: Arc<Plan>, times: Arc<Times>, stop: CancellationToken) {
    let mut follower = Follower {
        core,
        plan,
        times,
        stop,
        failures: 0,
        reported: BTreeSet::new(),
    };
    if follower.plan.copy_per_scheduler {
        follower.copy().await;
    } else {
        follower.once().await;
    }
}

struct Follower {
    core: Arc<Core>,
    plan: Arc<Plan>,
    times: Arc<Times>,
    stop: CancellationToken,
    /// How often in a row the broker failed.
    failures: u32,
    /// Ticks whose failure has been told.
    reported: BTreeSet<Timestamp>,
}

/// The scheduler stops or the entry is no longer there.
struct Stopped;

impl Follower {
    /// Enqueues each tick unless another scheduler has.
    async fn once(&mut self) {
        let Ok(mut last) = self.last_tick().await else {
            return;
        };
        while let Some(next) = self.next(last) {
            if self.sleep_until(next).await.is_err() {
                return;
            }
            let Ok(decided) = self.catch_up(last).await else {
                return;
            };
            last = decided;
        }
    }

    /// Up to where the entry was enqueued, by whatever scheduler.
    async fn last_tick(&mut self) -> Result<Timestamp, Stopped> {
        let since = self.core.broker.now();
        loop {
            match self.core.broker.last_tick(&self.plan.key, since).await {
                Ok(last) => {
                    self.failures = 0;
                    return Ok(last);
                }
                Err(error) => self.pause_after(&error).await?,
            }
        }
    }

    fn next(&self, last: Timestamp) -> Option<Timestamp> {
        let next = self.plan.ticks.next(last);
        self.times.set_next(next);
        if next.is_none() {
            info!(entry = %self.plan.id, spec = %self.plan.ticks.spec, "the entry never fires (again)");
        }
        next
    }

    /// Enqueues what is due, and says up to where everything has been decided.
    async fn catch_up(&mut self, mut last: Timestamp) -> Result<Timestamp, Stopped> {
        let now = self.core.broker.now();
        let due = self
            .plan
            .ticks
            .due(last, now, self.core.config.grace, self.plan.missed);
        if due.leaves_out {
            info!(entry = %self.plan.id, "missed ticks are left out");
        }
        for tick in due.ticks {
            if self.stop.is_cancelled() {
                return Err(Stopped);
            }
            if let Err(error) = self.enqueue(tick).await {
                self.pause_after(&error).await?;
                return Ok(last);
            }
            self.failures = 0;
            self.reported.clear();
            self.times.set_previous(tick);
            last = tick;
        }
        Ok(last.max(now))
    }

    /// Enqueues a tick. Fails only if the broker does: what it refuses is refused for good.
    async fn enqueue(&mut self, tick: Timestamp) -> Result<(), BrokerError> {
        // The id tells a handler, and people, which tick it is. That there is one task for each tick does not depend on
        // it: the broker keeps the last tick, so a tick is not enqueued again when its task is done and gone.
        let id = format!("sched:{}:{}", self.plan.id, tick.unix_seconds());
        let options = self.plan.options.clone();
        let options = options.overridden_by(with_id(id));
        self.core.config.hooks.before(&self.tick(tick, &options));
        let task = match self.new_task(options.clone()) {
            Ok(task) => task,
            Err(error) => {
                self.refused(tick, &options, error);
                return Ok(());
            }
        };
        match self.core.broker.enqueue_tick(&self.plan.key, tick, &task).await {
            Ok(TickReceipt::Passed { last }) => {
                debug!(entry = %self.plan.id, %tick, %last, "enqueued by another scheduler");
            }
            Ok(TickReceipt::Taken(receipt)) => match answer_for(task, Ok(receipt)) {
                Ok(info) => self.enqueued(tick, &options, &info).await,
                // The broker has lost the last tick but not the task.
                Err(EnqueueError::TaskIdConflict { .. }) => {
                    debug!(entry = %self.plan.id, %tick, "the task of the tick is there");
                }
                Err(error) => self.refused(tick, &options, error),
            },
            Err(error) => {
                self.failed(tick, &options, task, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn enqueued(&self, tick: Timestamp, options: &TaskOptions, info: &TaskInfo) {
        debug!(entry = %self.plan.id, %tick, task = %info.id(), "enqueued");
        self.core.config.hooks.after(&self.tick(tick, options), Ok(info));
        let event = ScheduleEvent {
            task_id: info.id().clone(),
            enqueued_at: self.core.broker.now(),
        };
        if let Err(error) = self.core.broker.record_event(self.plan.id.as_str(), &event).await {
            warn!(
                entry = %self.plan.id,
                error = &error as &dyn std::error::Error,
                "what was enqueued is not in the history"
            );
        }
    }

    fn refused(&self, tick: Timestamp, options: &TaskOptions, error: EnqueueError) {
        info!(entry = %self.plan.id, %tick, error = &error as &dyn std::error::Error, "the tick was not enqueued");
        self.core
            .config
            .hooks
            .after(&self.tick(tick, options), Err(&error));
    }

    /// Tells once for each tick; it is tried more often.
    fn failed(&mut self, tick: Timestamp, options: &TaskOptions, task: NewTask, error: &BrokerError) {
        if !self.reported.insert(tick) {
            return;
        }
        // What cannot be enqueued for long must not gather here.
        while self.reported.len() > 100 {
            self.reported.pop_first();
        }
        if let Err(error) = answer_for(task, Err(error.clone())) {
            self.core
                .config
                .hooks
                .after(&self.tick(tick, options), Err(&error));
        }
    }

    /// As Go: enqueues a copy of its own, collapses what was missed, and gives up what fails.
    async fn copy(&mut self) {
        let mut woken = self.core.broker.now();
        loop {
            let next = self.plan.ticks.counted_next(woken);
            self.times.set_next(next);
            let Some(next) = next else { return };
            if self.sleep_until(next).await.is_err() {
                return;
            }
            woken = self.core.broker.now();
            self.times.set_previous(next);
            self.enqueue_copy(next).await;
        }
    }

    async fn enqueue_copy(&self, tick: Timestamp) {
        let options = self.plan.options.clone();
        self.core.config.hooks.before(&self.tick(tick, &options));
        let answer = match self.new_task(options.clone()) {
            Ok(task) => {
                let sent = self.core.broker.enqueue(std::slice::from_ref(&task)).await;
                let receipt = sent.and_then(|mut receipts| receipts.pop().ok_or_else(no_answer));
                answer_for(task, receipt)
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(info) => self.enqueued(tick, &options, &info).await,
            Err(error) => self.refused(tick, &options, error),
        }
    }

    fn new_task(&self, options: TaskOptions) -> Result<NewTask, EnqueueError> {
        new_task(self.plan.task.clone(), options, self.plan.max_payload)
    }

    fn tick<'a>(&'a self, at: Timestamp, options: &'a TaskOptions) -> Tick<'a> {
        Tick {
            entry: &self.plan.id,
            spec: self.plan.ticks.spec.as_str(),
            at: SystemTime::from(at),
            task: &self.plan.task,
            options,
        }
    }

    async fn sleep_until(&self, moment: Timestamp) -> Result<(), Stopped> {
        loop {
            let left = moment.saturating_since(self.core.broker.now());
            if left.is_zero() {
                return Ok(());
            }
            self.sleep(left.min(LONGEST_NAP)).await?;
        }
    }

    async fn pause_after(&mut self, error: &BrokerError) -> Result<(), Stopped> {
        if self.failures == 0 {
            warn!(
                entry = %self.plan.id,
                error = error as &dyn std::error::Error,
                "the entry cannot be enqueued; trying again"
            );
        }
        let pause = SHORTEST_PAUSE * 2_u32.pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.sleep(pause.min(LONGEST_PAUSE)).await
    }

    async fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }
}

fn with_id(id: String) -> TaskOptions {
    let mut options = TaskOptions::new();
    options.task_id = Some(id);
    options
}

fn no_answer() -> BrokerError {
    BrokerError::Other {
        operation: "enqueue",
        source: Arc::from(asynq_core::BoxError::from(
            "the broker gave no answer for the task",
        )),
    }
}
