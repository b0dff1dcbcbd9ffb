//! Tells a server when there is something to do.
//!
//! The server's broadcast mode of client tracking tells which keys have changed, whoever changed them, also in a script
//! of Go asynq. One connection listens for all queues, and for the ids of tasks to be cancelled.

use std::collections::HashSet;
use std::time::Duration;

use asynq_core::{BrokerError, CancelRequest, Demand, QueueName, Signals};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::broker::RedisBroker;
use crate::connection::{backoff, connection_config};
use crate::error::connect_error;
use crate::keys::{self, QueueKeys};

const OPERATION: &str = "watch";
/// A connection that nobody closed although its other end is gone is found this soon.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// How many attempts to connect may fail before that is worth a warning.
const WARN_AT: u32 = 3;

/// Whole keys to compare with: a prefix matches longer keys too, such as that of a queue's task.
struct Watched {
    pending: HashSet<String>,
    due: HashSet<String>,
}

impl Watched {
    fn new(queues: &[QueueName]) -> Self {
        let keys: Vec<QueueKeys> = queues.iter().map(QueueKeys::new).collect();
        Watched {
            // A queue that is resumed has tasks to be taken out, too.
            pending: keys
                .iter()
                .flat_map(|keys| [keys.pending(), keys.paused()])
                .collect(),
            due: keys
                .iter()
                .flat_map(|keys| [keys.scheduled(), keys.retry()])
                .collect(),
        }
    }

    fn prefixes(&self, demand: Demand) -> Vec<&str> {
        let pending = self.pending.iter().filter(|_| demand == Demand::Idle);
        pending.chain(&self.due).map(String::as_str).collect()
    }
}

/// A connection that listens, and what it has heard.
struct Listener {
    connection: MultiplexedConnection,
    pushes: UnboundedReceiver<PushInfo>,
    is_armed: bool,
    demand: Demand,
    demands: watch::Receiver<Demand>,
}

/// Sets armed to false however the watch ends.
struct Disarm<'a>(&'a Signals);

impl Drop for Disarm<'_> {
    fn drop(&mut self) {
        self.0.set_armed(false);
    }
}

pub(crate) async fn watch(
    broker: &RedisBroker,
    queues: &[QueueName],
    signals: &Signals,
) -> Result<(), BrokerError> {
    let watched = Watched::new(queues);
    let _disarm = Disarm(signals);
    let mut has_warned = false;
    let mut failures = 0;
    loop {
        match listen(broker, &watched, signals, &mut has_warned).await {
            Ok(mut listener) => {
                failures = 0;
                listener.serve(&watched, signals).await;
                tracing::info!("the connection that tells of changes was lost");
            }
            // Once for each time it is away: it may be for hours.
            Err(error) if failures == WARN_AT => {
                tracing::warn!(%error, "no connection that tells of changes: they are found by polling");
            }
            Err(error) => tracing::debug!(%error, failures, "no connection that tells of changes"),
        }
        signals.set_armed(false);
        tokio::time::sleep(backoff(
            failures,
            Duration::from_millis(50),
            Duration::from_secs(2),
        ))
        .await;
        failures += 1;
    }
}

/// Connects, subscribes and switches tracking on.
async fn listen(
    broker: &RedisBroker,
    watched: &Watched,
    signals: &Signals,
    has_warned: &mut bool,
) -> Result<Listener, BrokerError> {
    let (sender, pushes) = unbounded_channel();
    let config = connection_config(&broker.inner.options).set_push_sender(sender);
    let client = &broker.inner.clients.pushes;
    let connect = client.get_multiplexed_async_connection_with_config(&config);
    let connection = connect.await.map_err(|error| connect_error(OPERATION, error))?;
    let mut demands = signals.demand();
    let demand = *demands.borrow_and_update();
    let mut listener = Listener {
        connection,
        pushes,
        is_armed: false,
        demand,
        demands,
    };
    listener.subscribe(has_warned).await?;
    listener.arm(watched, signals, has_warned).await?;
    Ok(listener)
}

impl Listener {
    /// Listens for tasks to be cancelled. Refused, they are cancelled when their leases are extended.
    async fn subscribe(&mut self, has_warned: &mut bool) -> Result<(), BrokerError> {
        let subscribed = self.connection.subscribe(keys::CANCEL_CHANNEL).await;
        go_on_if_refused(subscribed, "SUBSCRIBE", has_warned).map(|_| ())
    }

    /// Switches tracking on and tells that anything may have changed before. A server that refuses is polled.
    async fn arm(
        &mut self,
        watched: &Watched,
        signals: &Signals,
        has_warned: &mut bool,
    ) -> Result<(), BrokerError> {
        let tracked = self.track(watched).await;
        self.is_armed = go_on_if_refused(tracked, "CLIENT TRACKING", has_warned)?;
        signals.set_armed(self.is_armed);
        signals.wake_pending();
        signals.wake_due();
        Ok(())
    }

    async fn track(&mut self, watched: &Watched) -> RedisResult<()> {
        let prefixes = watched.prefixes(self.demand);
        if prefixes.is_empty() {
            // Without a prefix it would tell of all keys there are.
            return Ok(());
        }
        let mut command = redis::cmd("CLIENT");
        command.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in prefixes {
            command.arg("PREFIX").arg(prefix);
        }
        command.exec_async(&mut self.connection).await
    }

    /// Passes on what comes, until the connection is lost.
    async fn serve(&mut self, watched: &Watched, signals: &Signals) {
        let mut check = tokio::time::interval(CHECK_EVERY);
        check.reset();
        loop {
            tokio::select! {
                push = self.pushes.recv() => match push {
                    Some(push) if push.kind != PushKind::Disconnection => pass_on(push, watched, signals),
                    _ => return,
                },
                changed = self.demands.changed(), if self.is_armed => {
                    let wanted = *self.demands.borrow_and_update();
                    if changed.is_err() || self.change_demand(wanted, watched, signals).await.is_err() {
                        return;
                    }
                },
                _ = check.tick() => if self.ping().await.is_err() {
                    return;
                },
            }
        }
    }

    /// Tracks other keys. There is no way to take single prefixes away.
    async fn change_demand(
        &mut self,
        wanted: Demand,
        watched: &Watched,
        signals: &Signals,
    ) -> RedisResult<()> {
        if wanted == self.demand {
            return Ok(());
        }
        self.demand = wanted;
        let off = redis::cmd("CLIENT")
            .arg("TRACKING")
            .arg("OFF")
            .exec_async(&mut self.connection)
            .await;
        off?;
        self.track(watched).await?;
        if wanted == Demand::Idle {
            signals.wake_pending();
        }
        // Nobody listened for a moment.
        signals.wake_due();
        Ok(())
    }

    async fn ping(&mut self) -> RedisResult<()> {
        redis::cmd("PING").exec_async(&mut self.connection).await
    }
}

/// Whether the server did what it was asked. A server that refuses, an old one or one behind a proxy, is told about once.
fn go_on_if_refused(
    asked: RedisResult<()>,
    command: &str,
    has_warned: &mut bool,
) -> Result<bool, BrokerError> {
    match asked {
        Ok(()) => Ok(true),
        Err(error) if error.is_io_error() => Err(connect_error(OPERATION, error)),
        Err(error) => {
            if !std::mem::replace(has_warned, true) {
                tracing::warn!(%error, command, "the server does not tell of changes: they are found by polling");
            }
            Ok(false)
        }
    }
}

fn pass_on(push: PushInfo, watched: &Watched, signals: &Signals) {
    match push.kind {
        PushKind::Invalidate => match push.data.into_iter().next() {
            Some(Value::Array(changed)) => wake(&changed, watched, signals),
            // All keys at once: the database was flushed.
            _ => {
                signals.wake_pending();
                signals.wake_due();
            }
        },
        PushKind::Message => {
            if let Some(Value::BulkString(id)) = push.data.get(1) {
                signals.cancel(CancelRequest {
                    queue: None,
                    id: String::from_utf8_lossy(id).into_owned(),
                });
            }
        }
        _ => {}
    }
}

fn wake(changed: &[Value], watched: &Watched, signals: &Signals) {
    let has_any_of = |keys: &HashSet<String>| {
        changed.iter().any(|key| match key {
            Value::BulkString(key) => std::str::from_utf8(key).is_ok_and(|key| keys.contains(key)),
            _ => false,
        })
    };
    if has_any_of(&watched.pending) {
        signals.wake_pending();
    }
    if has_any_of(&watched.due) {
        signals.wake_due();
    }
}
