use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::broker::{ServerId, ServerInfo, WorkerInfo};
use asynq_core::{BrokerError, Now, Presence, QueueName, TaskId, Timestamp};
use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::writer::{Operation, Transaction};

#[async_trait]
impl Presence for SqliteBroker {
    async fn announce(
        &self,
        server: &ServerInfo,
        workers: &[WorkerInfo],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let (server, workers) = (server.clone(), workers.to_vec());
        self.write(Announce { server, workers, ttl }).await
    }

    async fn withdraw(&self, server: &ServerId) -> Result<(), BrokerError> {
        self.write(Withdraw(server.clone())).await
    }

    async fn servers(&self) -> Result<Vec<(ServerInfo, Vec<WorkerInfo>)>, BrokerError> {
        const OPERATION: &str = "list servers";
        let failed = self.failed(OPERATION, None);
        let mut reader = self.reader(OPERATION).await?;
        let now = self.now().unix_micros();
        let servers = sqlx::query(SERVERS)
            .bind(now)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        let mut shown = Vec::with_capacity(servers.len());
        for row in servers {
            let server = server_info(&row).map_err(failed)?;
            let workers = workers(&mut reader, &server.id).await.map_err(failed)?;
            shown.push((server, workers));
        }
        Ok(shown)
    }
}

struct Announce {
    server: ServerInfo,
    workers: Vec<WorkerInfo>,
    ttl: Duration,
}

const EXPIRE: &str = "DELETE FROM asynq_servers WHERE expires <= ?1";
const ANNOUNCE: &str = "INSERT INTO asynq_servers
    (host, pid, id, concurrency, queues, strict_priority, status, started_at, active_workers, expires)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const ADD_WORKER: &str = "INSERT INTO asynq_workers
    (host, pid, server, place, task_id, type, payload, queue, started_at, deadline)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

#[async_trait]
impl Operation for Announce {
    type Answer = ();

    fn name(&self) -> &'static str {
        "announce"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        let now = transaction.now;
        let connection = &mut transaction.connection;
        sqlx::query(EXPIRE)
            .bind(now.unix_micros())
            .execute(&mut *connection)
            .await?;
        withdraw(connection, &self.server.id).await?;
        self.add_server(connection, now.saturating_add(self.ttl)).await?;
        for (place, worker) in (0_i64..).zip(&self.workers) {
            self.add_worker(connection, place, worker).await?;
        }
        Ok(())
    }
}

impl Announce {
    async fn add_server(
        &self,
        connection: &mut SqliteConnection,
        expires: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let server = &self.server;
        let queues: BTreeMap<&str, u32> = server
            .queues
            .iter()
            .map(|(name, priority)| (name.as_str(), *priority))
            .collect();
        let queues = serde_json::to_string(&queues).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(ANNOUNCE)
            .bind(server.id.host.as_str())
            .bind(i64::from(server.id.pid))
            .bind(server.id.id.as_str())
            .bind(i64::from(server.concurrency))
            .bind(queues)
            .bind(server.strict_priority)
            .bind(server.status.as_str())
            .bind(server.started_at.unix_micros())
            .bind(i64::from(server.active_workers))
            .bind(expires.unix_micros())
            .execute(connection)
            .await
            .map(drop)
    }

    async fn add_worker(
        &self,
        connection: &mut SqliteConnection,
        place: i64,
        worker: &WorkerInfo,
    ) -> Result<(), sqlx::Error> {
        let server = &self.server.id;
        sqlx::query(ADD_WORKER)
            .bind(server.host.as_str())
            .bind(i64::from(server.pid))
            .bind(server.id.as_str())
            .bind(place)
            .bind(worker.task_id.as_str())
            .bind(&*worker.task_type)
            .bind(&worker.payload[..])
            .bind(worker.queue.as_str())
            .bind(worker.started_at.unix_micros())
            .bind(worker.deadline.unix_micros())
            .execute(connection)
            .await
            .map(drop)
    }
}

struct Withdraw(ServerId);

#[async_trait]
impl Operation for Withdraw {
    type Answer = ();

    fn name(&self) -> &'static str {
        "withdraw"
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        withdraw(&mut transaction.connection, &self.0).await
    }
}

// Its workers go with it.
const WITHDRAW: &str = "DELETE FROM asynq_servers WHERE host = ?1 AND pid = ?2 AND id = ?3";

async fn withdraw(connection: &mut SqliteConnection, server: &ServerId) -> Result<(), sqlx::Error> {
    sqlx::query(WITHDRAW)
        .bind(server.host.as_str())
        .bind(i64::from(server.pid))
        .bind(server.id.as_str())
        .execute(connection)
        .await
        .map(drop)
}

const SERVERS: &str =
    "SELECT host, pid, id, concurrency, queues, strict_priority, status, started_at, active_workers
    FROM asynq_servers WHERE expires > ?1 ORDER BY host, pid, id";

fn server_info(row: &SqliteRow) -> Result<ServerInfo, sqlx::Error> {
    let queues: BTreeMap<String, u32> =
        serde_json::from_str(row.try_get("queues")?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let name = |(name, priority): (String, u32)| (QueueName::from_stored(name), priority);
    Ok(ServerInfo {
        id: ServerId {
            host: row.try_get("host")?,
            pid: row.try_get("pid")?,
            id: row.try_get("id")?,
        },
        concurrency: row.try_get("concurrency")?,
        queues: queues.into_iter().map(name).collect(),
        strict_priority: row.try_get("strict_priority")?,
        status: row.try_get("status")?,
        started_at: Timestamp::from_unix_micros(row.try_get("started_at")?),
        active_workers: row.try_get("active_workers")?,
    })
}

const WORKERS: &str = "SELECT task_id, type, payload, queue, started_at, deadline
    FROM asynq_workers WHERE host = ?1 AND pid = ?2 AND server = ?3 ORDER BY place";

async fn workers(
    connection: &mut SqliteConnection,
    server: &ServerId,
) -> Result<Vec<WorkerInfo>, sqlx::Error> {
    let rows = sqlx::query(WORKERS)
        .bind(server.host.as_str())
        .bind(i64::from(server.pid))
        .bind(server.id.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| worker_info(server, row)).collect()
}

fn worker_info(server: &ServerId, row: &SqliteRow) -> Result<WorkerInfo, sqlx::Error> {
    Ok(WorkerInfo {
        server: server.clone(),
        task_id: TaskId::from_stored(row.try_get::<&str, _>("task_id")?),
        task_type: Arc::from(row.try_get::<&str, _>("type")?),
        payload: Bytes::copy_from_slice(row.try_get("payload")?),
        queue: QueueName::from_stored(row.try_get::<&str, _>("queue")?),
        started_at: Timestamp::from_unix_micros(row.try_get("started_at")?),
        deadline: Timestamp::from_unix_micros(row.try_get("deadline")?),
    })
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![EXPIRE, ANNOUNCE, ADD_WORKER, WITHDRAW, SERVERS, WORKERS]
}
