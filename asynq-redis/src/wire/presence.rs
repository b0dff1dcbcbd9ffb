//! What is shown of servers and their workers.

use std::collections::BTreeMap;

use asynq_core::broker::{ServerId, ServerInfo, WorkerInfo};
use asynq_core::{QueueName, TaskId};
use bytes::Bytes;
use prost::Message;

use super::value::{WireTimestamp, from_wire_time, to_i32, to_u32, to_wire_time};

#[derive(Clone, PartialEq, Message)]
struct WireServer {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(string, tag = "3")]
    server_id: String,
    #[prost(int32, tag = "4")]
    concurrency: i32,
    #[prost(btree_map = "string, int32", tag = "5")]
    queues: BTreeMap<String, i32>,
    #[prost(bool, tag = "6")]
    strict_priority: bool,
    #[prost(string, tag = "7")]
    status: String,
    // Timestamps are always written: old versions of Go asynq refuse a record without.
    #[prost(message, optional, tag = "8")]
    start_time: Option<WireTimestamp>,
    #[prost(int32, tag = "9")]
    active_worker_count: i32,
}

#[derive(Clone, PartialEq, Message)]
struct WireWorker {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(string, tag = "3")]
    server_id: String,
    #[prost(string, tag = "4")]
    task_id: String,
    #[prost(string, tag = "5")]
    task_type: String,
    #[prost(bytes = "bytes", tag = "6")]
    task_payload: Bytes,
    #[prost(string, tag = "7")]
    queue: String,
    #[prost(message, optional, tag = "8")]
    start_time: Option<WireTimestamp>,
    #[prost(message, optional, tag = "9")]
    deadline: Option<WireTimestamp>,
}

/// The stored form of what is shown of a server.
pub(crate) fn encode_server(server: &ServerInfo) -> Vec<u8> {
    let queues = server.queues.iter();
    WireServer {
        host: server.id.host.clone(),
        pid: to_i32(server.id.pid),
        server_id: server.id.id.clone(),
        concurrency: to_i32(server.concurrency),
        queues: queues
            .map(|(queue, priority)| (queue.to_string(), to_i32(*priority)))
            .collect(),
        strict_priority: server.strict_priority,
        status: server.status.clone(),
        start_time: Some(to_wire_time(server.started_at)),
        active_worker_count: to_i32(server.active_workers),
    }
    .encode_to_vec()
}

/// What is shown of a server, from its stored form.
pub(crate) fn decode_server(bytes: &[u8]) -> Result<ServerInfo, prost::DecodeError> {
    let wire = WireServer::decode(bytes)?;
    let queues = wire.queues.into_iter();
    Ok(ServerInfo {
        id: ServerId {
            host: wire.host,
            pid: to_u32(wire.pid),
            id: wire.server_id,
        },
        concurrency: to_u32(wire.concurrency),
        queues: queues
            .map(|(queue, priority)| (QueueName::from_stored(queue), to_u32(priority)))
            .collect(),
        strict_priority: wire.strict_priority,
        status: wire.status,
        started_at: from_wire_time(wire.start_time),
        active_workers: to_u32(wire.active_worker_count),
    })
}

/// The stored form of what is shown of a worker.
pub(crate) fn encode_worker(worker: &WorkerInfo) -> Vec<u8> {
    WireWorker {
        host: worker.server.host.clone(),
        pid: to_i32(worker.server.pid),
        server_id: worker.server.id.clone(),
        task_id: worker.task_id.to_string(),
        task_type: worker.task_type.as_ref().to_owned(),
        task_payload: worker.payload.clone(),
        queue: worker.queue.to_string(),
        start_time: Some(to_wire_time(worker.started_at)),
        deadline: Some(to_wire_time(worker.deadline)),
    }
    .encode_to_vec()
}

/// What is shown of a worker, from its stored form.
pub(crate) fn decode_worker(bytes: Bytes) -> Result<WorkerInfo, prost::DecodeError> {
    let wire = WireWorker::decode(bytes)?;
    Ok(WorkerInfo {
        server: ServerId {
            host: wire.host,
            pid: to_u32(wire.pid),
            id: wire.server_id,
        },
        task_id: TaskId::from_stored(wire.task_id),
        task_type: wire.task_type.into(),
        payload: wire.task_payload,
        queue: QueueName::from_stored(wire.queue),
        started_at: from_wire_time(wire.start_time),
        deadline: from_wire_time(wire.deadline),
    })
}

#[cfg(test)]
mod tests {
    use asynq_core::Timestamp;

    use super::super::tests::hex;
    use super::*;

    #[test]
    fn server_and_worker_records_are_those_of_go() {
        let id = ServerId {
            host: "h".to_owned(),
            pid: 7,
            id: "s".to_owned(),
        };
        let started_at = Timestamp::from_unix_seconds(1_700_000_000);
        let server = ServerInfo {
            id: id.clone(),
            concurrency: 10,
            queues: BTreeMap::from([(QueueName::default(), 1)]),
            strict_priority: true,
            status: "active".to_owned(),
            started_at,
            active_workers: 2,
        };
        let worker = WorkerInfo {
            server: id,
            task_id: TaskId::new("i").unwrap(),
            task_type: "t".into(),
            payload: Bytes::from_static(b"p"),
            queue: QueueName::new("q").unwrap(),
            started_at,
            deadline: Timestamp::from_unix_seconds(1_700_001_800),
        };

        let server_bytes = encode_server(&server);
        let worker_bytes = encode_worker(&worker);

        assert_eq!(
            server_bytes,
            hex("0a016810071a0173200a2a0b0a0764656661756c74100130013a0661637469766542060880e2cfaa064802")
        );
        assert_eq!(
            worker_bytes,
            hex("0a016810071a01732201692a01743201703a017142060880e2cfaa064a060888f0cfaa06")
        );
        assert_eq!(decode_server(&server_bytes).unwrap(), server);
        assert_eq!(decode_worker(worker_bytes.into()).unwrap(), worker);
    }
}
