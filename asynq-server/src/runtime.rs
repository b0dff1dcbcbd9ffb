//! What the parts of a running server share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq_core::broker::{Broker, ServerId};
use asynq_core::{
    BrokerError, CancelRequest, Dequeue, Handler, LeaseKey, QueueName, ResultStore, Signals, Timestamp,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::outbox::Outbox;
use crate::queues::QueueOrder;
use crate::running::Running;

/// What the parts of a running server share. Each part is a loop of its own, in a file of its own.
pub(crate) struct Runtime {
    pub(crate) id: ServerId,
    pub(crate) broker: Arc<dyn Broker>,
    /// Where handlers store results while they run: the broker.
    pub(crate) results: Arc<dyn ResultStore>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) config: Config,
    pub(crate) order: QueueOrder,
    pub(crate) started_at: Timestamp,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) running: Running,
    pub(crate) outbox: Outbox,
    pub(crate) signals: Signals,
    pub(crate) unknown_types: Seldom,
    /// No new tasks are taken out.
    pub(crate) stopping: CancellationToken,
    /// Handlers are told that the server shuts down.
    pub(crate) draining: CancellationToken,
    /// Background loops end.
    pub(crate) closing: CancellationToken,
}

impl Runtime {
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        handler: Arc<dyn Handler>,
        config: Config,
    ) -> (Self, mpsc::UnboundedReceiver<CancelRequest>) {
        let (signals, cancels) = Signals::new();
        let runtime = Runtime {
            id: ServerId {
                host: gethostname::gethostname().to_string_lossy().into_owned(),
                pid: std::process::id(),
                id: uuid::Uuid::new_v4().to_string(),
            },
            started_at: broker.now(),
            order: QueueOrder::new(&config.queues, config.strict_priority),
            slots: Arc::new(Semaphore::new(config.concurrency)),
            running: Running::default(),
            outbox: Outbox::new(1000.max(4 * config.concurrency)),
            signals,
            unknown_types: Seldom::every(Duration::from_secs(60)),
            stopping: CancellationToken::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            results: Arc::new(Results(broker.clone())),
            broker,
            handler,
            config,
        };
        (runtime, cancels)
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.config.queues.keys()
    }

    /// `new`, `active`, `stopped` or `closed`, as Go asynq shows them.
    pub(crate) fn status(&self) -> &'static str {
        if self.draining.is_cancelled() {
            "closed"
        } else if self.stopping.is_cancelled() {
            "stopped"
        } else {
            "active"
        }
    }

    /// How often to poll for what the broker tells of at other times. While it does, polling is only a net for messages
    /// lost, and so much rarer.
    pub(crate) fn poll_interval(&self, interval: Duration) -> Duration {
        const RARER_WHEN_TOLD: u32 = 5;
        if self.signals.is_armed() {
            interval * RARER_WHEN_TOLD
        } else {
            interval
        }
    }

    /// Waits, or returns false at once when the background loops are to end.
    pub(crate) async fn pause(&self, duration: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }
}

struct Results(Arc<dyn Broker>);

#[async_trait::async_trait]
impl ResultStore for Results {
    async fn write_result(&self, key: &LeaseKey, result: bytes::Bytes) -> Result<bool, BrokerError> {
        Dequeue::write_result(&*self.0, key, result).await
    }
}

/// Says of each text now and then that it is news, so that a log is not filled with it.
pub(crate) struct Seldom {
    every: Duration,
    seen: Mutex<HashMap<Box<str>, Instant>>,
}

impl Seldom {
    const REMEMBERED: usize = 1000;

    pub(crate) fn every(every: Duration) -> Self {
        Seldom {
            every,
            seen: Mutex::default(),
        }
    }

    pub(crate) fn is_news(&self, text: &str) -> bool {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match seen.get_mut(text) {
            Some(last) if now.duration_since(*last) < self.every => false,
            Some(last) => {
                *last = now;
                true
            }
            None => {
                // Texts come from outside: what is remembered is bounded.
                if seen.len() >= Self::REMEMBERED {
                    seen.clear();
                }
                seen.insert(text.into(), now);
                true
            }
        }
    }
}
