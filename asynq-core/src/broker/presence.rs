use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::names::{QueueName, TaskId};

/// Shows which servers there are and what they run. Asked by the heartbeat; implemented by brokers.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Shows a server and its workers for `ttl`. Go: `WriteServerState`.
    async fn announce(
        &self,
        server: &ServerInfo,
        workers: &[WorkerInfo],
        ttl: Duration,
    ) -> Result<(), BrokerError>;

    /// Stops showing a server. Go: `ClearServerState`.
    async fn withdraw(&self, server: &ServerId) -> Result<(), BrokerError>;

    /// The servers shown now. Go: `ListServers`.
    async fn servers(&self) -> Result<Vec<(ServerInfo, Vec<WorkerInfo>)>, BrokerError>;
}

/// Names a server process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    /// Name of the machine.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// A random UUID.
    pub id: String,
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.pid, self.id)
    }
}

/// What is shown of a server. Go: `ServerInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Which one.
    pub id: ServerId,
    /// How many tasks it runs at once.
    pub concurrency: u32,
    /// Its queues and their priorities.
    pub queues: BTreeMap<QueueName, u32>,
    /// Whether a queue is only served when those of higher priority are empty.
    pub strict_priority: bool,
    /// `new`, `active`, `stopped` or `closed`.
    pub status: String,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// How many tasks it runs now.
    pub active_workers: u32,
}

/// What is shown of a running task. Go: `WorkerInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// The server that runs it.
    pub server: ServerId,
    /// The id of the task.
    pub task_id: TaskId,
    /// The type of the task.
    pub task_type: std::sync::Arc<str>,
    /// The beginning of the payload, at most 1 KiB: a heartbeat stays small whatever is queued.
    pub payload: Bytes,
    /// The queue of the task.
    pub queue: QueueName,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// When its handler is stopped.
    pub deadline: Timestamp,
}
