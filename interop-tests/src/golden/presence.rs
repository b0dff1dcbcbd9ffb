//! Servers and workers.

use std::collections::BTreeMap;

use asynq_core::broker::{Presence as _, ServerId, ServerInfo, WorkerInfo};
use asynq_core::{QueueName, TaskId, Timestamp};
use fastrand::Rng;
use serde_json::json;

use super::random::{micros, text};
use super::{Checked, Golden, LEASE, failed, same, same_record};
use crate::{hex, message};

/// The field of a server that is a map.
const QUEUES: u64 = 5;

impl Golden {
    pub(super) async fn servers(&mut self, rng: &mut Rng) -> Checked {
        let server = random_server(rng);
        let worker = random_worker(rng, &server.id);
        let (server_json, worker_json) = (message::server_to_json(&server), message::worker_to_json(&worker));
        let server_by_go = self.ask("encode_server", "server", server_json.clone())?;
        let worker_by_go = self.ask("encode_worker", "workers", json!([worker_json]))?;
        let (server_by_go, worker_by_go) = (hex::from_json(&server_by_go), hex::from_json(&worker_by_go));
        let workers = std::slice::from_ref(&worker);
        self.broker
            .announce(&server, workers, LEASE)
            .await
            .map_err(failed)?;
        let server_key = format!("asynq:servers:{{{}}}", server.id);
        let workers_key = format!("asynq:workers:{{{}}}", server.id);
        let stored = self.get(&["GET", &server_key])?;
        same_record("a server that ours wrote", QUEUES, &server_by_go, &stored)?;
        let decoded = self.ask("decode_server", "data", hex::encode(&stored).into())?;
        same("a server that Go read", &server_json, &decoded)?;
        let stored = self.get(&["HGET", &workers_key, worker.task_id.as_str()])?;
        same("a worker that ours wrote", &worker_by_go, &stored)?;
        // What Go writes in their places is read by ours.
        redis::pipe()
            .cmd("SET")
            .arg(&server_key)
            .arg(server_by_go)
            .cmd("HSET")
            .arg(&workers_key)
            .arg(worker.task_id.as_str())
            .arg(worker_by_go)
            .exec(&mut self.redis)
            .map_err(failed)?;
        let shown = self.broker.servers().await.map_err(failed)?;
        same("servers that ours read", &vec![(server, vec![worker])], &shown)
    }
}

fn random_server(rng: &mut Rng) -> ServerInfo {
    let queues =
        (0..rng.u32(1..4)).map(|n| (QueueName::from_stored(format!("{}{n}", text(rng))), rng.u32(0..9)));
    ServerInfo {
        queues: queues.collect::<BTreeMap<_, _>>(),
        id: ServerId {
            host: text(rng).to_owned(),
            pid: rng.u32(0..99_999),
            id: text(rng).to_owned(),
        },
        concurrency: rng.u32(0..100),
        strict_priority: rng.bool(),
        status: "active".to_owned(),
        started_at: micros(rng),
        active_workers: rng.u32(0..3),
    }
}

fn random_worker(rng: &mut Rng, server: &ServerId) -> WorkerInfo {
    WorkerInfo {
        server: server.clone(),
        task_id: TaskId::from_stored(text(rng)),
        task_type: text(rng).into(),
        payload: text(rng).into(),
        queue: QueueName::from_stored(text(rng)),
        started_at: micros(rng),
        deadline: Timestamp::from_unix_seconds(rng.i64(0..4_000_000_000)),
    }
}
