//! Picks a broker by the scheme of its URL.

use std::sync::Arc;

use asynq_core::broker::{Broker, Operate};
use asynq_core::{BrokerError, Inspector};

/// Connects to the broker that a URL names. Clients, servers and schedulers can share it.
///
/// | scheme | broker | feature |
/// |---|---|---|
/// | `memory://` | a new, empty [`MemoryBroker`](asynq_core::MemoryBroker) | `memory` (default) |
/// | `sqlite://path`, `sqlite://path?durability=full` | `SqliteBroker` | `sqlite` |
/// | `redis://`, `redis-socket://`, … | `RedisBroker` | `redis` |
///
/// # Errors
///
/// [`BrokerError::Config`] for a URL of unknown form or of a broker that was not built in, saying which feature it
/// needs; otherwise whatever keeps the broker from being reached.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), asynq_server::BrokerError> {
/// let broker = asynq_server::connect("memory://").await?;
/// assert!(asynq_server::connect("carrier-pigeon://loft").await.is_err());
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    Ok(open(url).await?)
}

/// An [`Inspector`] of what the broker that a URL names keeps. URLs and errors as for [`connect`].
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let inspector = asynq_server::inspect("redis://127.0.0.1:6379").await?;
/// for queue in inspector.queues().await? {
///     println!("{queue}");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn inspect(url: &str) -> Result<Inspector, BrokerError> {
    Ok(Inspector::from_shared(open(url).await?))
}

/// What every broker that is built in can do.
trait Complete: Broker + Operate {}

impl<B: Broker + Operate> Complete for B {}

async fn open(url: &str) -> Result<Arc<dyn Complete>, BrokerError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "memory" => memory(),
        "sqlite" => sqlite(url).await,
        "redis" | "rediss" | "redis+unix" | "unix" | "redis-socket" | "redis-sentinel" => redis(url).await,
        _ => Err(BrokerError::Config(format!(
            "the URL begins with {scheme:?}, which names no broker; expected memory://, sqlite://path or \
             redis://host:port/db"
        ))),
    }
}

#[cfg(feature = "memory")]
fn memory() -> Result<Arc<dyn Complete>, BrokerError> {
    Ok(Arc::new(asynq_core::MemoryBroker::new()))
}

#[cfg(not(feature = "memory"))]
fn memory() -> Result<Arc<dyn Complete>, BrokerError> {
    Err(not_built_in("memory"))
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Arc<dyn Complete>, BrokerError> {
    Ok(Arc::new(asynq_redis::RedisBroker::connect(url).await?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<Arc<dyn Complete>, BrokerError> {
    Err(not_built_in("redis"))
}

#[cfg(feature = "sqlite")]
async fn sqlite(url: &str) -> Result<Arc<dyn Complete>, BrokerError> {
    Ok(Arc::new(asynq_sqlite::SqliteBroker::open(url).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str) -> Result<Arc<dyn Complete>, BrokerError> {
    Err(not_built_in("sqlite"))
}

#[cfg(not(all(feature = "memory", feature = "redis", feature = "sqlite")))]
fn not_built_in(feature: &str) -> BrokerError {
    BrokerError::Config(format!(
        "the {feature} broker is not built in: depend on asynq-server with features = [\"{feature}\"]"
    ))
}
