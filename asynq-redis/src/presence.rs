//! Shows which servers there are.

use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{ServerId, ServerInfo, WorkerInfo};
use asynq_core::{BrokerError, Now, Presence};

use crate::broker::RedisBroker;
use crate::keys;
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

#[async_trait]
impl Presence for RedisBroker {
    async fn announce(
        &self,
        server: &ServerInfo,
        workers: &[WorkerInfo],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let id = server.id.to_string();
        let (server_key, workers_key) = (keys::server(&id), keys::workers(&id));
        let expires_at = self.now().saturating_add(ttl).unix_seconds().to_string();
        // Redis keeps keys for whole seconds, and at least one.
        let ttl = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0 || ttl.is_zero());
        let mut call = Call::new(&script::ANNOUNCE);
        call.key(server_key.as_str())
            .key(workers_key.as_str())
            .number(ttl)
            .arg(wire::encode_server(server));
        for worker in workers {
            call.arg(worker.task_id.as_str()).arg(wire::encode_worker(worker));
        }
        let mut batch = Batch::new("announce");
        batch
            .command("ZADD", &[keys::SERVERS, &expires_at, &server_key])
            .command("ZADD", &[keys::WORKERS, &expires_at, &workers_key])
            .call(call);
        self.send_all("announce", &batch).await
    }

    async fn withdraw(&self, server: &ServerId) -> Result<(), BrokerError> {
        let id = server.to_string();
        let (server_key, workers_key) = (keys::server(&id), keys::workers(&id));
        let mut batch = Batch::new("withdraw");
        batch
            .command("ZREM", &[keys::SERVERS, &server_key])
            .command("ZREM", &[keys::WORKERS, &workers_key])
            .command("DEL", &[&server_key, &workers_key]);
        self.send_all("withdraw", &batch).await
    }

    // Unlike in Go, nothing is deleted: who only looks needs no permission to write.
    async fn servers(&self) -> Result<Vec<(ServerInfo, Vec<WorkerInfo>)>, BrokerError> {
        const OPERATION: &str = "servers";
        let now = self.now().unix_seconds().to_string();
        let mut batch = Batch::new(OPERATION);
        batch.command("ZRANGEBYSCORE", &[keys::SERVERS, &now, "+inf"]);
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let mut server_keys = Items::of(OPERATION, reply::ok(OPERATION, None, answer)?)?;
        let mut batch = Batch::new(OPERATION);
        while !server_keys.is_empty() {
            let server_key = server_keys.text()?;
            let workers_key = keys::workers_of(&server_key);
            batch
                .command("GET", &[&server_key])
                .command("HVALS", &[&workers_key]);
        }
        let mut answers = self.send_idempotent(&batch).await?.into_iter();
        let mut servers = Vec::new();
        while let (Some(server), Some(workers)) = (answers.next(), answers.next()) {
            // What expired meanwhile or cannot be read is not shown, as in Go.
            let Some(Ok(server)) = reply::bytes(OPERATION, server)
                .ok()
                .flatten()
                .map(|bytes| wire::decode_server(&bytes))
            else {
                continue;
            };
            servers.push((server, read_workers(workers)));
        }
        Ok(servers)
    }
}

fn read_workers(answer: redis::Value) -> Vec<WorkerInfo> {
    let Ok(mut items) = Items::of("servers", answer) else {
        return Vec::new();
    };
    let mut workers = Vec::with_capacity(items.len());
    while !items.is_empty() {
        if let Ok(Some(bytes)) = items.bytes()
            && let Ok(worker) = wire::decode_worker(bytes)
        {
            workers.push(worker);
        }
    }
    workers
}

impl RedisBroker {
    /// Sends what has no answers of interest.
    pub(crate) async fn send_all(&self, operation: &'static str, batch: &Batch) -> Result<(), BrokerError> {
        for answer in self.send_idempotent(batch).await? {
            reply::ok(operation, None, answer)?;
        }
        Ok(())
    }
}
