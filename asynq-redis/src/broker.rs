use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use asynq_core::{Broker, BrokerError, Clock, Now, Operate, QueueName, Timestamp};
use redis::Value;

use crate::config::{Clients, Options};
use crate::connection::Link;
use crate::dequeue::InDoubt;
use crate::reply::{self, Items};
use crate::script::Batch;
use crate::time::ServerTime;

/// Keeps tasks in Redis, in the form that Go asynq uses.
///
/// Cheap to clone; clones share their connections. It connects again by itself when a connection breaks: calls fail with
/// [`BrokerError::Unavailable`] until then, except that enqueueing waits a little.
#[derive(Clone)]
pub struct RedisBroker {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clients: Clients,
    pub(crate) options: Options,
    pub(crate) link: Link,
    /// Leases are kept over a connection of their own, so that nothing large is in their way.
    pub(crate) lease_link: Link,
    pub(crate) time: ServerTime,
    /// When this process last added each queue to the set of queues, and over which connection: a new one may lead to a
    /// server that has lost its data.
    pub(crate) published: Mutex<HashMap<QueueName, (Instant, u64)>>,
    /// Dequeues that may have leased tasks without us knowing.
    pub(crate) in_doubt: Mutex<Vec<InDoubt>>,
}

impl RedisBroker {
    /// Connects to the server at a URL: `redis://[[user]:password@]host[:port][/database]` or
    /// `unix:///path[?db=number]`.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Config`] if the URL makes no sense, or the server may evict tasks (see
    /// [`RedisBrokerBuilder::allow_eviction`]); [`BrokerError::Denied`] if the password is wrong;
    /// [`BrokerError::Unavailable`] if the server cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::builder(url).connect().await
    }

    /// Connects to the server that a client was made for.
    ///
    /// # Errors
    ///
    /// As [`RedisBroker::connect`].
    pub async fn from_client(client: redis::Client) -> Result<Self, BrokerError> {
        let builder = RedisBrokerBuilder::new(Clients::from_client(&client));
        builder.connect().await
    }

    /// Connects with options.
    pub fn builder(url: &str) -> RedisBrokerBuilder {
        RedisBrokerBuilder::new(Clients::open(url))
    }

    /// How many times the server may be asked something in vain before it is said to be unavailable: once.
    pub(crate) async fn send(&self, batch: &Batch) -> Result<Vec<Value>, BrokerError> {
        batch.send(&self.inner.link).await.map_err(|failed| failed.error)
    }

    /// As [`RedisBroker::send`], for what may be carried out twice.
    pub(crate) async fn send_idempotent(&self, batch: &Batch) -> Result<Vec<Value>, BrokerError> {
        batch.send_idempotent(&self.inner.link).await
    }

    /// Asks for the time and whether tasks might be evicted.
    async fn greet(&self) -> Result<(), BrokerError> {
        const OPERATION: &str = "connect";
        let mut batch = Batch::new(OPERATION);
        batch.command("TIME", &[]).command("INFO", &["memory"]);
        let sent = self.inner.time.sending();
        let mut answers = self.send_idempotent(&batch).await?.into_iter();
        let mut time = Items::of(
            OPERATION,
            reply::ok(OPERATION, None, answers.next().unwrap_or_default())?,
        )?;
        let micros = time
            .integer()?
            .saturating_mul(1_000_000)
            .saturating_add(time.integer()?);
        self.inner.time.observe(sent, Timestamp::from_unix_micros(micros));
        match answers.next() {
            Some(Value::BulkString(info)) if !self.inner.options.allow_eviction => {
                refuse_eviction(&String::from_utf8_lossy(&info))
            }
            // Not permitted to ask: then it cannot be checked.
            _ => Ok(()),
        }
    }
}

/// Reads `INFO memory`: a server that may evict keys loses tasks and locks.
fn refuse_eviction(info: &str) -> Result<(), BrokerError> {
    let value = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let limit = value("maxmemory").map_or("0", str::trim);
    let policy = value("maxmemory_policy").map_or("noeviction", str::trim);
    if limit == "0" || policy == "noeviction" {
        return Ok(());
    }
    Err(BrokerError::Config(format!(
        "the Redis server is set to evict keys (maxmemory-policy {policy}), which loses tasks: set it to noeviction, \
         or allow eviction when you connect"
    )))
}

impl From<RedisBroker> for Arc<dyn Broker> {
    fn from(broker: RedisBroker) -> Self {
        Arc::new(broker)
    }
}

impl From<RedisBroker> for Arc<dyn Operate> {
    fn from(broker: RedisBroker) -> Self {
        Arc::new(broker)
    }
}

impl Now for RedisBroker {
    fn now(&self) -> Timestamp {
        self.inner.time.now()
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.inner.clients.commands.get_connection_info();
        f.debug_struct("RedisBroker")
            .field("address", &info.addr().to_string())
            .field("database", &info.redis_settings().db())
            .finish_non_exhaustive()
    }
}

/// Says how a [`RedisBroker`] connects. Made by [`RedisBroker::builder`].
#[derive(Clone)]
#[must_use]
pub struct RedisBrokerBuilder {
    clients: Result<Clients, BrokerError>,
    options: Options,
    clock: Option<Arc<dyn Clock>>,
}

impl RedisBrokerBuilder {
    fn new(clients: Result<Clients, BrokerError>) -> Self {
        RedisBrokerBuilder {
            clients,
            options: Options::default(),
            clock: None,
        }
    }

    /// Takes the time from this clock instead of the Redis server. For tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long to wait for a connection. Two seconds unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// How long to wait for an answer. Three seconds unless set.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.options.response_timeout = timeout;
        self
    }

    /// How long enqueueing tries again while the server is not available. Five seconds unless set; zero tries once.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.options.retry_for = time;
        self
    }

    /// Whether a server is accepted that may evict keys when its memory is full, and with them tasks. It is not unless
    /// set.
    pub fn allow_eviction(mut self, allow: bool) -> Self {
        self.options.allow_eviction = allow;
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As [`RedisBroker::connect`].
    pub async fn connect(self) -> Result<RedisBroker, BrokerError> {
        let broker = self.connect_lazily()?;
        broker.greet().await?;
        Ok(broker)
    }

    /// Connects when first needed: the server may be down now. Whether it may evict keys is not checked.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Config`] if the URL makes no sense.
    pub fn connect_lazily(self) -> Result<RedisBroker, BrokerError> {
        let clients = self.clients?;
        let link = || Link::new(clients.commands.clone(), self.options.clone());
        let inner = Inner {
            link: link(),
            lease_link: link(),
            clients: clients.clone(),
            options: self.options.clone(),
            time: ServerTime::new(self.clock),
            published: Mutex::default(),
            in_doubt: Mutex::default(),
        };
        Ok(RedisBroker {
            inner: Arc::new(inner),
        })
    }
}

impl fmt::Debug for RedisBrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBrokerBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A lock that is never held across anything that can panic.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A duration in microseconds, or the longest there is.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_with_a_limit_and_a_policy_other_than_noeviction_evicts() {
        assert!(refuse_eviction("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n").is_ok());
        assert!(refuse_eviction("maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n").is_ok());
        let error = refuse_eviction("maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n").unwrap_err();
        assert!(error.to_string().contains("allkeys-lru"), "{error}");
    }
}
