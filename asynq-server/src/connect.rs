//! Picks a broker by the scheme of its URL.

use std::sync::Arc;

use asynq_core::BrokerError;
use asynq_core::broker::Broker;

/// Connects to the broker that a URL names.
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
fn memory() -> Result<Arc<dyn Broker>, BrokerError> {
    Ok(Arc::new(asynq_core::MemoryBroker::new()))
}

#[cfg(not(feature = "memory"))]
fn memory() -> Result<Arc<dyn Broker>, BrokerError> {
    Err(not_built_in("memory"))
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    Ok(Arc::new(asynq_redis::RedisBroker::connect(url).await?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    Err(not_built_in("redis"))
}

#[cfg(feature = "sqlite")]
async fn sqlite(url: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    Ok(Arc::new(asynq_sqlite::SqliteBroker::open(url).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    Err(not_built_in("sqlite"))
}

#[cfg(not(all(feature = "memory", feature = "redis", feature = "sqlite")))]
fn not_built_in(feature: &str) -> BrokerError {
    BrokerError::Config(format!(
        "the {feature} broker is not built in: depend on asynq-server with features = [\"{feature}\"]"
    ))
}
