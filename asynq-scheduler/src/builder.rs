use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::ScheduleBroker;
use asynq_core::{DEFAULT_MAX_PAYLOAD, EnqueueError, Missed, TaskInfo};
use asynq_cron::Zone;

use crate::entry::Defaults;
use crate::hooks::{Hooks, Tick};
use crate::scheduler::Scheduler;

/// Says how a [`Scheduler`] works. Made by [`Scheduler::builder`] of any broker. Go: `SchedulerOpts`.
#[must_use]
pub struct SchedulerBuilder {
    broker: Arc<dyn ScheduleBroker>,
    config: Config,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) defaults: Defaults,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) grace: Duration,
    pub(crate) hooks: Hooks,
}

impl SchedulerBuilder {
    /// Of something that can do no more than a scheduler needs.
    pub fn new(broker: Arc<dyn ScheduleBroker>) -> Self {
        let config = Config {
            defaults: Defaults {
                zone: Zone::UTC,
                missed: Missed::default(),
                max_payload: DEFAULT_MAX_PAYLOAD,
            },
            heartbeat_interval: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            hooks: Hooks::default(),
        };
        SchedulerBuilder { broker, config }
    }

    /// The zone in which specs are read that name none. UTC unless set. Go: `Location`.
    pub fn location(mut self, zone: Zone) -> Self {
        self.config.defaults.zone = zone;
        self
    }

    /// What becomes of missed ticks of entries that do not say. [`Missed::RunOnce`] unless set.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.config.defaults.missed = missed;
        self
    }

    /// Up to how late a tick is still on time, and enqueued whatever the policy on missed ones. Ten seconds unless set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// How often the entries are shown anew, at least each second; they are shown for twice as long. Ten seconds unless
    /// set. Go: `HeartbeatInterval`.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.heartbeat_interval = interval.max(Duration::from_secs(1));
        self
    }

    /// The largest payload that is accepted, in bytes. 1 MiB unless set.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.config.defaults.max_payload = bytes;
        self
    }

    /// Called before a tick is enqueued, or found to have been enqueued by another scheduler. Go: `PreEnqueueFunc`.
    pub fn pre_enqueue(mut self, hook: impl Fn(&Tick<'_>) + Send + Sync + 'static) -> Self {
        self.config.hooks.pre_enqueue = Some(Arc::new(hook));
        self
    }

    /// Called after this scheduler has enqueued a tick or failed to. Go: `PostEnqueueFunc`.
    pub fn post_enqueue(
        mut self,
        hook: impl Fn(&Tick<'_>, Result<&TaskInfo, &EnqueueError>) + Send + Sync + 'static,
    ) -> Self {
        self.config.hooks.post_enqueue = Some(Arc::new(hook));
        self
    }

    /// Called when a tick could not be enqueued, once for a tick. It is tried again unless it was refused as a duplicate.
    /// Go: `EnqueueErrorHandler`.
    pub fn error_handler(
        mut self,
        handler: impl Fn(&Tick<'_>, &EnqueueError) + Send + Sync + 'static,
    ) -> Self {
        self.config.hooks.error_handler = Some(Arc::new(handler));
        self
    }

    /// The scheduler, which does nothing until it is started.
    pub fn build(self) -> Scheduler {
        Scheduler::with_config(self.broker, self.config)
    }
}

impl fmt::Debug for SchedulerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
