//! Takes tasks out of the queues, as many as there are idle slots, and starts a worker for each. Go: `processor`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::Dequeued;
use asynq_core::{BrokerError, Demand, QueueName};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::runtime::Runtime;
use crate::worker;

/// After so long without an idle moment the broker need not tell of new pending tasks.
const BUSY_AFTER: Duration = Duration::from_secs(2);

/// The only loop that takes tasks out: one round trip for all idle slots.
pub(crate) async fn run(runtime: Arc<Runtime>) {
    let mut dispatcher = Dispatcher {
        failing: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
        bad_queues: HashMap::new(),
        busy_since: None,
        slots: Vec::new(),
        runtime,
    };
    loop {
        let runtime = dispatcher.runtime.clone();
        let ready = async {
            runtime.outbox.has_room().await;
            dispatcher.gather_slots().await;
        };
        tokio::select! {
            biased;
            () = runtime.stopping.cancelled() => return,
            () = ready => {}
        }
        // Not inside a select: a call that is dropped leaves tasks leased that nobody runs.
        let pause = dispatcher.take_out().await;
        // Handlers that end at once have ended then, so the next round trip is for more slots.
        tokio::task::yield_now().await;
        if let Some(pause) = pause {
            tokio::select! {
                biased;
                () = runtime.stopping.cancelled() => return,
                () = pause.over(&runtime) => {}
            }
        }
    }
}

struct Dispatcher {
    runtime: Arc<Runtime>,
    /// Idle slots, held while asking so that what is taken out can start at once.
    slots: Vec<OwnedSemaphorePermit>,
    failing: Backoff,
    bad_queues: HashMap<QueueName, BadQueue>,
    busy_since: Option<Instant>,
}

struct BadQueue {
    backoff: Backoff,
    again_at: Instant,
}

enum Pause {
    /// Nothing to do: until somebody tells of a task, or for this long at most.
    Idle(Duration),
    /// The broker failed: for this long.
    Failed(Duration),
}

impl Pause {
    async fn over(self, runtime: &Runtime) {
        match self {
            Pause::Failed(pause) => tokio::time::sleep(pause).await,
            Pause::Idle(longest) => {
                tokio::select! {
                    () = runtime.signals.pending() => {}
                    () = tokio::time::sleep(longest) => {}
                }
            }
        }
    }
}

impl Dispatcher {
    /// Waits for one idle slot and takes all others that are idle too.
    async fn gather_slots(&mut self) {
        let slots = &self.runtime.slots;
        if self.slots.is_empty()
            && let Ok(slot) = slots.clone().acquire_owned().await
        {
            self.slots.push(slot);
        }
        while let Ok(slot) = slots.clone().try_acquire_owned() {
            self.slots.push(slot);
        }
    }

    /// Takes tasks out and starts them. Says how to pause before the next time, if at all.
    async fn take_out(&mut self) -> Option<Pause> {
        let asked = self.slots.len();
        let queues = self.queues_to_ask();
        if queues.is_empty() {
            return Some(self.idle_pause());
        }
        match self
            .runtime
            .broker
            .dequeue(&queues, asked, self.runtime.config.lease)
            .await
        {
            Ok(Dequeued { tasks, errors }) => {
                self.recovered();
                self.note_queues(&queues, errors);
                let got_all = tasks.len() >= asked;
                for leased in tasks {
                    let Some(slot) = self.slots.pop() else {
                        // The broker gave more than was asked for. It comes back when its lease ends.
                        error!(queue = %leased.key.queue, task_id = %leased.key.id, "task without a slot is not run now");
                        continue;
                    };
                    tokio::spawn(worker::run(self.runtime.clone(), leased, slot));
                }
                if got_all {
                    self.busy()
                } else {
                    Some(self.idle_pause())
                }
            }
            Err(error) => Some(self.failed(&error)),
        }
    }

    fn queues_to_ask(&self) -> Vec<QueueName> {
        let mut queues = self.runtime.order.draw();
        if !self.bad_queues.is_empty() {
            let now = Instant::now();
            queues.retain(|queue| self.bad_queues.get(queue).is_none_or(|bad| bad.again_at <= now));
        }
        queues
    }

    /// There may be more: go on at once.
    fn busy(&mut self) -> Option<Pause> {
        let since = *self.busy_since.get_or_insert_with(Instant::now);
        if since.elapsed() > BUSY_AFTER {
            self.runtime.signals.set_demand(Demand::Busy);
        }
        None
    }

    fn idle_pause(&mut self) -> Pause {
        self.busy_since = None;
        self.runtime.signals.set_demand(Demand::Idle);
        let base = self
            .runtime
            .poll_interval(self.runtime.config.task_check_interval);
        // Half to one and a half, so that servers do not poll together.
        let longest = base.mul_f64(0.5 + fastrand::f64());
        let now = Instant::now();
        let bad_again = self
            .bad_queues
            .values()
            .map(|bad| bad.again_at.duration_since(now))
            .min();
        Pause::Idle(bad_again.map_or(longest, |again| again.min(longest)))
    }

    fn failed(&mut self, broker_error: &BrokerError) -> Pause {
        if !self.failing.is_failing() {
            warn!(
                error = broker_error as &dyn std::error::Error,
                "cannot take tasks out of the queues; trying again until it works"
            );
        }
        Pause::Failed(self.failing.next())
    }

    fn recovered(&mut self) {
        if self.failing.is_failing() {
            self.failing.reset();
            info!("tasks can be taken out of the queues again");
        }
    }

    /// A queue that fails is left out for a while; the others go on.
    fn note_queues(&mut self, asked: &[QueueName], errors: Vec<(QueueName, BrokerError)>) {
        if errors.is_empty() && self.bad_queues.is_empty() {
            return;
        }
        for queue in asked {
            if !errors.iter().any(|(bad, _)| bad == queue) && self.bad_queues.remove(queue).is_some() {
                info!(%queue, "the queue can be served again");
            }
        }
        for (queue, broker_error) in errors {
            let bad = self.bad_queues.entry(queue.clone()).or_insert_with(|| {
                error!(
                    %queue, error = &broker_error as &dyn std::error::Error,
                    "the queue cannot be served; the others are, and it is tried again"
                );
                BadQueue {
                    backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
                    again_at: Instant::now(),
                }
            });
            bad.again_at = Instant::now() + bad.backoff.next();
        }
    }
}
