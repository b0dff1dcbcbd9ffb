//! The life of a server: started, stopped, shut down.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use asynq_core::broker::Broker;
use asynq_core::{BrokerError, CancelReason, Schedule};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::builder::ServerBuilder;
use crate::config::{Config, ConfigError};
use crate::mux::ServeMux;
use crate::runtime::Runtime;
use crate::signal::{OsSignal, OsSignals};
use crate::{
    aggregator, dispatcher, forwarder, health, heartbeat, janitor, lease_keeper, panic, reconciler,
    recoverer, watcher,
};

/// Runs tasks. Cheap to clone: clones are the same server. Go: `Server`.
///
/// ```
/// use asynq_server::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// let server = Server::builder(broker.clone())
///     .concurrency(10)
///     .queues([("critical", 6), ("default", 3)])
///     .handle("email:", |cx: Context, task: RawTask| async move {
///         println!("{} {}", cx.task_id(), task.task_type);
///         Ok::<(), TaskError>(())
///     })
///     .build()?;
///
/// server.start().await?;
/// Client::new(broker).enqueue(RawTask::new("email:welcome", "ann")).await?;
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// A server that is dropped goes on; it ends with [`Server::shutdown`] or with its tokio runtime.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    broker: Arc<dyn Broker>,
    schedules: Vec<Schedule>,
    phase: Mutex<Phase>,
    /// Cancelled once the server has been shut down.
    closed: CancellationToken,
    /// Cancelled when a shutdown is not to wait for running tasks.
    hurry: CancellationToken,
}

enum Phase {
    New(Box<(ServeMux, Config)>),
    Active {
        runtime: Arc<Runtime>,
        parts: Option<Parts>,
    },
    Closed,
}

/// The loops of a running server.
struct Parts {
    dispatcher: JoinHandle<()>,
    loops: JoinSet<()>,
    outbox: JoinHandle<()>,
    close_outbox: CancellationToken,
}

/// Why a server was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It runs already.
    #[error("the server is running already")]
    Running,
    /// It has been shut down; build a new one. Go: `ErrServerClosed`.
    #[error("the server has been shut down; build a new one")]
    Closed,
}

/// Why [`Server::run`] ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The server could not be built.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The signals of the operating system cannot be listened to.
    #[error("cannot listen to the signals of the operating system")]
    Signals(#[from] std::io::Error),
}

impl Server {
    /// Sets up a server of this broker.
    pub fn builder(broker: impl Into<Arc<dyn Broker>>) -> ServerBuilder {
        ServerBuilder::new(broker.into())
    }

    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        mux: ServeMux,
        config: Config,
        schedules: Vec<Schedule>,
    ) -> Self {
        Server(Arc::new(Shared {
            broker,
            schedules,
            phase: Mutex::new(Phase::New(Box::new((mux, config)))),
            closed: CancellationToken::new(),
            hurry: CancellationToken::new(),
        }))
    }

    /// When the clock enqueues tasks of the handlers that were registered by type: those with `#[task(cron = …)]`, and
    /// those whose payload is [`Periodic`](crate::Periodic).
    ///
    /// The server runs such tasks as any other; a scheduler enqueues them, here or in another process:
    /// `scheduler.register_all(server.schedules())`.
    pub fn schedules(&self) -> &[Schedule] {
        &self.0.schedules
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0
            .phase
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Starts taking tasks, in the background. Go: `Server.Start`.
    ///
    /// The broker is not asked first: a server starts while it is away, and takes tasks when it comes.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(&self) -> Result<(), StartError> {
        let mut phase = self.phase();
        let (mux, config) = match std::mem::replace(&mut *phase, Phase::Closed) {
            Phase::New(set_up) => *set_up,
            other => {
                let error = if matches!(other, Phase::Closed) {
                    StartError::Closed
                } else {
                    StartError::Running
                };
                *phase = other;
                return Err(error);
            }
        };
        panic::note_places();
        info!(
            concurrency = config.concurrency,
            queues = ?config.queues,
            handlers = ?mux.patterns(),
            "server starting"
        );
        let (runtime, cancels) = Runtime::new(self.0.broker.clone(), Arc::new(mux), config);
        let runtime = Arc::new(runtime);
        let parts = Parts::spawn(&runtime, cancels);
        *phase = Phase::Active {
            runtime,
            parts: Some(parts),
        };
        Ok(())
    }

    /// Stops taking new tasks; running ones go on. Does nothing unless the server runs. Go: `Server.Stop`.
    pub fn stop(&self) {
        if let Phase::Active { runtime, .. } = &*self.phase()
            && !runtime.stopping.is_cancelled()
        {
            info!("server takes no more tasks");
            runtime.stopping.cancel();
        }
    }

    /// Stops taking tasks, waits for running ones up to the shutdown timeout, puts back those that are not done, stores
    /// all outcomes, and ends. Go: `Server.Shutdown`.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on when the future is dropped; call again to wait for its end.
    pub async fn shutdown(&self) {
        let begun = {
            let mut phase = self.phase();
            match &mut *phase {
                Phase::New(_) => {
                    *phase = Phase::Closed;
                    self.0.closed.cancel();
                    None
                }
                Phase::Active { runtime, parts } => parts.take().map(|parts| (runtime.clone(), parts)),
                Phase::Closed => None,
            }
        };
        if let Some((runtime, parts)) = begun {
            let server = self.clone();
            tokio::spawn(async move {
                parts.wind_down(&runtime, &server.0.hurry).await;
                *server.phase() = Phase::Closed;
                server.0.closed.cancel();
            });
        }
        self.0.closed.cancelled().await;
    }

    /// Runs until the process is told to end by SIGTERM or SIGINT (ctrl-c), then shuts down. A second such signal cuts
    /// the wait for running tasks short. SIGTSTP stops taking new tasks. Go: `Server.Run`.
    pub async fn run(&self) -> Result<(), RunError> {
        let mut signals = OsSignals::listen()?;
        self.start().await?;
        while signals.next().await == OsSignal::Stop {
            self.stop();
        }
        info!("told to end; running tasks may go on for the shutdown timeout");
        let shutdown = self.shutdown();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                signal = signals.next() => {
                    if signal == OsSignal::End {
                        self.0.hurry.cancel();
                    }
                }
            }
        }
    }

    /// Answers when the broker does; at once when the server has been shut down. Go: `Server.Ping`.
    pub async fn ping(&self) -> Result<(), BrokerError> {
        if self.0.closed.is_cancelled() {
            Ok(())
        } else {
            self.0.broker.ping().await
        }
    }
}

impl Parts {
    fn spawn(
        runtime: &Arc<Runtime>,
        cancels: tokio::sync::mpsc::UnboundedReceiver<asynq_core::CancelRequest>,
    ) -> Self {
        let mut loops = JoinSet::new();
        loops.spawn(heartbeat::run(runtime.clone()));
        loops.spawn(health::run(runtime.clone()));
        loops.spawn(watcher::run(runtime.clone()));
        loops.spawn(watcher::cancel_tasks(runtime.clone(), cancels));
        loops.spawn(lease_keeper::run(runtime.clone()));
        loops.spawn(recoverer::run(runtime.clone()));
        loops.spawn(reconciler::run(runtime.clone()));
        loops.spawn(forwarder::run(runtime.clone()));
        loops.spawn(janitor::run(runtime.clone()));
        loops.spawn(aggregator::run(runtime.clone()));
        let close_outbox = CancellationToken::new();
        let outbox = tokio::spawn({
            let (runtime, close) = (runtime.clone(), close_outbox.clone());
            async move {
                runtime
                    .outbox
                    .run(runtime.broker.clone(), &runtime.running, close)
                    .await
            }
        });
        Parts {
            dispatcher: tokio::spawn(dispatcher::run(runtime.clone())),
            loops,
            outbox,
            close_outbox,
        }
    }

    async fn wind_down(mut self, runtime: &Runtime, hurry: &CancellationToken) {
        let begun = Instant::now();
        runtime.stopping.cancel();
        runtime.draining.cancel();
        let timeout = runtime.config.shutdown_timeout;
        join("dispatcher", self.dispatcher, timeout).await;
        wait_for_workers(runtime, timeout.saturating_sub(begun.elapsed()), hurry).await;

        // Outcomes get what is left of the time, and a second in any case.
        let for_outcomes = timeout
            .saturating_sub(begun.elapsed())
            .max(Duration::from_secs(1));
        if tokio::time::timeout(for_outcomes, runtime.outbox.drained())
            .await
            .is_err()
        {
            error!("outcomes could not be stored: their tasks run again when their leases end");
        }
        runtime.closing.cancel();
        self.close_outbox.cancel();
        join("outbox", self.outbox, Duration::from_secs(1)).await;
        let all = async { while self.loops.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(1), all).await.is_err() {
            warn!("background work was cut off: the broker does not answer");
            self.loops.shutdown().await;
        }
        info!("server shut down");
    }
}

/// Waits until no task runs; then stops those that still do.
async fn wait_for_workers(runtime: &Runtime, timeout: Duration, hurry: &CancellationToken) {
    // Checked when the server was built.
    let all = u32::try_from(runtime.config.concurrency).unwrap_or(u32::MAX);
    let done = tokio::select! {
        biased;
        _ = runtime.slots.acquire_many(all) => true,
        () = tokio::time::sleep(timeout) => false,
        () = hurry.cancelled() => false,
    };
    if done {
        return;
    }
    let left = runtime.config.concurrency - runtime.slots.available_permits();
    warn!(tasks = left, "tasks still running are stopped and put back");
    runtime.running.cancel_all(CancelReason::Shutdown);
    let stopped = tokio::time::timeout(Duration::from_secs(1), runtime.slots.acquire_many(all)).await;
    if stopped.is_err() {
        let left = runtime.config.concurrency - runtime.slots.available_permits();
        error!(
            tasks = left,
            "tasks that cannot be stopped are left behind; they run again when their leases end"
        );
    }
}

async fn join(what: &str, task: JoinHandle<()>, longest: Duration) {
    let abort = task.abort_handle();
    match tokio::time::timeout(longest.max(Duration::from_secs(1)), task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => error!(%error, "the {what} ended badly"),
        Err(_) => {
            warn!("the {what} was cut off: the broker does not answer");
            abort.abort();
        }
    }
}
