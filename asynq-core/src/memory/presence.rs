use std::time::Duration;

use async_trait::async_trait;

use crate::broker::{Now, Presence, ServerId, ServerInfo, WorkerInfo};
use crate::clock::Timestamp;
use crate::error::BrokerError;

use super::MemoryBroker;

/// A server and its workers, shown until they expire.
pub(super) struct Shown {
    server: ServerInfo,
    workers: Vec<WorkerInfo>,
    expires: Timestamp,
}

#[async_trait]
impl Presence for MemoryBroker {
    async fn announce(
        &self,
        server: &ServerInfo,
        workers: &[WorkerInfo],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let now = self.now();
        let mut state = self.state();
        state.servers.retain(|_, shown| now < shown.expires);
        state.servers.insert(
            server.id.clone(),
            Shown {
                server: server.clone(),
                workers: workers.to_vec(),
                expires: now.saturating_add(ttl),
            },
        );
        Ok(())
    }

    async fn withdraw(&self, server: &ServerId) -> Result<(), BrokerError> {
        self.state().servers.remove(server);
        Ok(())
    }

    async fn servers(&self) -> Result<Vec<(ServerInfo, Vec<WorkerInfo>)>, BrokerError> {
        let now = self.now();
        let state = self.state();
        Ok(state
            .servers
            .values()
            .filter(|shown| now < shown.expires)
            .map(|shown| (shown.server.clone(), shown.workers.clone()))
            .collect())
    }
}
