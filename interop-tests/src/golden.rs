//! Records written by Go and read and written again by ours, and the other way round.
//!
//! They go through a broker and a database: ours has no other way to encode anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{
    Claim, Dequeue as _, Enqueue as _, Finish, Finished, NewTask, Placement, Presence as _, ServerId,
    ServerInfo, Settlement, WorkerInfo,
};
use asynq_core::{Clock, GroupName, ManualClock, QueueName, TaskId, TaskMessage, Timestamp};
use asynq_redis::RedisBroker;
use fastrand::Rng;
use redis::Connection;
use serde_json::{Value, json};

use crate::go::{Go, GoProgram, Request};
use crate::protobuf::Record;
use crate::{hex, message};

type Checked = Result<(), String>;

const DATABASE: i64 = 100;
const NOW: Timestamp = Timestamp::from_unix_seconds(1_750_000_000);
const LEASE: Duration = Duration::from_secs(30);
const HEADERS: u64 = 15;
const SERVER_QUEUES: u64 = 5;

struct Golden {
    go: Go,
    redis: Connection,
    broker: RedisBroker,
}

/// How many records were compared.
pub(crate) fn check(program: &GoProgram, seed: u64) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut golden = Golden::start(program)?;
        let mut rng = Rng::with_seed(seed);
        let mut records = 0;
        for _ in 0..300 {
            let message = random_message(&mut rng);
            golden.flush()?;
            golden.written_by_ours(&message).await?;
            golden.flush()?;
            golden.written_by_go(&message).await?;
            golden.flush()?;
            golden.written_by_a_newer_peer(&message).await?;
            records += 3;
        }
        for _ in 0..50 {
            golden.flush()?;
            golden.servers(&mut rng).await?;
            records += 4;
        }
        Ok(records)
    })
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Checked {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what}:\n  expected {expected:?}\n  found    {found:?}"))
}

fn same_record(what: &str, map: u64, expected: &[u8], found: &[u8]) -> Checked {
    same(what, &Record::parse(expected, map), &Record::parse(found, map))
}

impl Golden {
    fn start(program: &GoProgram) -> Result<Self, String> {
        let url = format!("redis://{}/{DATABASE}", program.redis);
        let client = redis::Client::open(url.as_str()).map_err(failed)?;
        Ok(Golden {
            go: Go::start(program)?,
            redis: client.get_connection().map_err(failed)?,
            broker: RedisBroker::builder(&url)
                .clock(Arc::new(ManualClock::at(NOW)) as Arc<dyn Clock>)
                .connect_lazily()
                .map_err(failed)?,
        })
    }

    fn flush(&mut self) -> Checked {
        redis::cmd("FLUSHDB").exec(&mut self.redis).map_err(failed)
    }

    fn ask(&mut self, operation: &str, name: &str, value: Value) -> Result<Value, String> {
        self.go
            .must(Request::new(operation, DATABASE, NOW).with(name, value))
    }

    fn get(&mut self, words: &[&str]) -> Result<Vec<u8>, String> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut self.redis).map_err(failed)
    }

    async fn written_by_ours(&mut self, message: &TaskMessage) -> Checked {
        let task = NewTask {
            message: message.clone(),
            placement: Placement::Now,
            unique_ttl: message.unique_key.as_ref().map(|_| Duration::from_secs(60)),
        };
        self.broker.enqueue(&[task]).await.map_err(failed)?;
        let stored = self.get(&["HGET", &task_key(message), "msg"])?;
        let by_go = self.ask("encode_message", "message", message::to_json(message))?;
        same_record(
            "a task that ours wrote",
            HEADERS,
            &hex::from_json(&by_go),
            &stored,
        )?;
        let decoded = self.ask("decode_message", "data", hex::encode(&stored).into())?;
        same("a task that Go read", &message::to_json(message), &decoded)
    }

    /// Ours takes it out and rewrites it after a failure.
    async fn written_by_go(&mut self, message: &TaskMessage) -> Checked {
        let bytes = self.ask("encode_message", "message", message::to_json(message))?;
        let rewritten = self.retried(message, &hex::from_json(&bytes)).await?;
        let mut expected = message.clone();
        expected.retried += 1;
        expected.last_error = "boom".to_owned();
        expected.last_failed_at = Some(NOW);
        let by_go = self.ask("encode_message", "message", message::to_json(&expected))?;
        same_record(
            "a task that ours rewrote",
            HEADERS,
            &hex::from_json(&by_go),
            &rewritten,
        )
    }

    /// Fields of the message and of the hash that nobody knows yet survive.
    async fn written_by_a_newer_peer(&mut self, message: &TaskMessage) -> Checked {
        let bytes = self.ask("encode_message", "message", message::to_json(message))?;
        let mut bytes = hex::from_json(&bytes);
        // Field 16 is a text, field 200 a number.
        let unknown = [0x82, 1, 3, b'n', b'e', b'w', 0xc0, 12, 7];
        bytes.extend(unknown);
        let key = task_key(message);
        let mut rewritten = self
            .retried_with(message, &bytes, &["from_the_future", "kept"])
            .await?;
        same(
            "a field of a newer message",
            &&unknown[..],
            &&rewritten[rewritten.len() - unknown.len()..],
        )?;
        rewritten.truncate(rewritten.len() - unknown.len());
        let field = self.get(&["HGET", &key, "from_the_future"])?;
        same("a field of a newer hash", &&b"kept"[..], &&field[..])?;
        let decoded = self.ask("decode_message", "data", hex::encode(&rewritten).into())?;
        same("retried", &json!(message.retried + 1), &decoded["retried"])
    }

    async fn retried(&mut self, message: &TaskMessage, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.retried_with(message, bytes, &[]).await
    }

    /// The message after ours has taken out a task that somebody else stored so, and it has failed.
    async fn retried_with(
        &mut self,
        message: &TaskMessage,
        bytes: &[u8],
        fields: &[&str],
    ) -> Result<Vec<u8>, String> {
        let key = task_key(message);
        redis::pipe()
            .cmd("HSET")
            .arg(&key)
            .arg("msg")
            .arg(bytes)
            .arg(&["state", "pending"])
            .arg(fields)
            .cmd("LPUSH")
            .arg(format!("asynq:{{{}}}:pending", message.queue))
            .arg(message.id.as_str())
            .exec(&mut self.redis)
            .map_err(failed)?;
        let queues = [message.queue.clone()];
        let mut dequeued = self.broker.dequeue(&queues, 1, LEASE).await.map_err(failed)?;
        let Some(task) = dequeued.tasks.pop() else {
            return Err(format!("ours did not take out {message:?}"));
        };
        same(
            "a task of Go",
            message,
            &TaskMessage {
                unknown_fields: bytes::Bytes::new(),
                ..(*task.message).clone()
            },
        )?;
        let finish = Finish {
            key: task.key,
            message: task.message,
            claim: Claim::Holder,
            settlement: Settlement::Retry {
                delay: Duration::from_secs(1),
                error: "boom".to_owned(),
                is_failure: true,
            },
        };
        let finished = self.broker.finish(&[finish]).await.map_err(failed)?;
        same("finished", &vec![Finished::Settled], &finished)?;
        self.get(&["HGET", &key, "msg"])
    }

    async fn servers(&mut self, rng: &mut Rng) -> Checked {
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
        same_record("a server that ours wrote", SERVER_QUEUES, &server_by_go, &stored)?;
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

fn task_key(message: &TaskMessage) -> String {
    format!("asynq:{{{}}}:t:{}", message.queue, message.id)
}

const TEXTS: [&str; 6] = ["x", "größer ≠", "a:b}c{d", "\u{1f980}\0\n", "%s %d", "  spaced  "];

fn text(rng: &mut Rng) -> &'static str {
    TEXTS[rng.usize(0..TEXTS.len())]
}

fn number(rng: &mut Rng) -> u64 {
    [0, 1, 127, 128, 1 << 31, 4_000_000_000][rng.usize(0..6)]
}

fn random_message(rng: &mut Rng) -> TaskMessage {
    let mut time = || (number(rng) > 0).then(|| Timestamp::from_unix_seconds(number(rng).max(1) as i64));
    let (last_failed_at, deadline, completed_at) = (time(), time(), time());
    let queue = QueueName::from_stored(["q", "größer", "a:b", "{x"][rng.usize(0..4)]);
    let task_type = text(rng);
    let payload: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
    let headers = (0..rng.usize(0..4)).map(|_| (text(rng).to_owned(), text(rng).to_owned()));
    let headers = headers.collect();
    TaskMessage {
        id: TaskId::from_stored(text(rng)),
        headers,
        max_retry: (number(rng) as u32).min(i32::MAX as u32),
        retried: rng.u32(0..1000),
        last_error: if rng.bool() {
            text(rng).to_owned()
        } else {
            String::new()
        },
        last_failed_at,
        timeout: Some(number(rng))
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        deadline,
        retention: Duration::from_secs(number(rng)),
        completed_at,
        group: None::<GroupName>,
        unique_key: None,
        unknown_fields: bytes::Bytes::new(),
        queue,
        task_type: task_type.into(),
        payload: payload.into(),
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
        started_at: Timestamp::from_unix_micros(rng.i64(0..2_000_000_000_000_000)),
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
        started_at: Timestamp::from_unix_micros(rng.i64(0..2_000_000_000_000_000)),
        deadline: Timestamp::from_unix_seconds(rng.i64(0..4_000_000_000)),
    }
}
