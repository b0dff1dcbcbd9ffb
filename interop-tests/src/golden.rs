//! Records written by Go and read and written again by ours, and the other way round.
//!
//! They go through a broker and a database: ours has no other way to encode anything.

mod names;
mod newer;
mod presence;
mod random;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{
    Claim, Dequeue as _, Enqueue as _, Finish, Finished, Leased, NewTask, Placement, Settlement,
};
use asynq_core::{Clock, GroupName, ManualClock, TaskMessage, Timestamp};
use asynq_redis::RedisBroker;
use fastrand::Rng;
use redis::Connection;
use serde_json::Value;

use crate::go::{Go, GoProgram, Request};
use crate::protobuf::Record;
use crate::{hex, message};
use random::random_message;

type Checked = Result<(), String>;

const DATABASE: i64 = 100;
const NOW: Timestamp = Timestamp::from_unix_seconds(1_750_000_000);
const LEASE: Duration = Duration::from_secs(30);
const HEADERS: u64 = 15;

const FUTURE_FIELD: &str = "from_the_future";

struct Golden {
    go: Go,
    redis: Connection,
    broker: RedisBroker,
    clock: Arc<ManualClock>,
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
        for _ in 0..100 {
            let message = random_message(&mut rng);
            golden.flush()?;
            golden.written_by_ours(&message).await?;
            golden.flush()?;
            golden.written_by_go(&message).await?;
            records += 2;
            for path in newer::PATHS {
                golden.flush()?;
                let survives = golden.written_by_a_newer_peer(&message, path).await;
                survives.map_err(|what| format!("{path:?}: {what}"))?;
                records += 1;
            }
        }
        for _ in 0..100 {
            golden.flush()?;
            golden.servers(&mut rng).await?;
            golden.flush()?;
            golden.schedules(&mut rng).await?;
            golden.flush()?;
            golden.names(&mut rng).await?;
            records += 4 + 4 + 1;
        }
        for _ in 0..300 {
            golden.option_texts(&mut rng)?;
            records += 1;
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

fn request(operation: &str) -> Request {
    Request::new(operation, DATABASE, NOW)
}

impl Golden {
    fn start(program: &GoProgram) -> Result<Self, String> {
        let url = format!("redis://{}/{DATABASE}", program.redis);
        let client = redis::Client::open(url.as_str()).map_err(failed)?;
        let clock = Arc::new(ManualClock::at(NOW));
        Ok(Golden {
            go: Go::start(program)?,
            redis: client.get_connection().map_err(failed)?,
            broker: RedisBroker::builder(&url)
                .clock(clock.clone() as Arc<dyn Clock>)
                .connect_lazily()
                .map_err(failed)?,
            clock,
        })
    }

    fn flush(&mut self) -> Checked {
        redis::cmd("FLUSHDB").exec(&mut self.redis).map_err(failed)
    }

    fn ask(&mut self, operation: &str, name: &str, value: Value) -> Result<Value, String> {
        self.go.must(request(operation).with(name, value))
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
        self.store(message, &hex::from_json(&bytes), "pending")?;
        let task = self.take_out(message).await?;
        let read = TaskMessage {
            unknown_fields: bytes::Bytes::new(),
            ..(*task.message).clone()
        };
        same("a task of Go", message, &read)?;
        self.finish(task, Claim::Holder, retry()).await?;
        let rewritten = self.get(&["HGET", &task_key(message), "msg"])?;
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

    /// Stores a task as somebody else did, in a list of its queue, with a field that nobody knows.
    fn store(&mut self, message: &TaskMessage, bytes: &[u8], state: &str) -> Checked {
        let mut commands = redis::pipe();
        let list = match &message.group {
            Some(group) if state == "aggregating" => format!("g:{group}"),
            _ => state.to_owned(),
        };
        let list = format!("asynq:{{{}}}:{list}", message.queue);
        commands
            .cmd("HSET")
            .arg(task_key(message))
            .arg("msg")
            .arg(bytes)
            .arg(&["state", state, FUTURE_FIELD, "kept"]);
        if let Some(group) = &message.group {
            commands
                .cmd("HSET")
                .arg(task_key(message))
                .arg("group")
                .arg(group.as_str());
        }
        if state == "pending" {
            commands.cmd("LPUSH").arg(list).arg(message.id.as_str());
        } else {
            commands
                .cmd("ZADD")
                .arg(list)
                .arg(NOW.unix_seconds())
                .arg(message.id.as_str());
        }
        if state == "aggregating" {
            let group = message.group.as_ref().map_or("", GroupName::as_str);
            commands
                .cmd("SADD")
                .arg(format!("asynq:{{{}}}:groups", message.queue))
                .arg(group);
        }
        commands.exec(&mut self.redis).map_err(failed)
    }

    async fn take_out(&mut self, message: &TaskMessage) -> Result<Leased, String> {
        let queues = [message.queue.clone()];
        let mut dequeued = self.broker.dequeue(&queues, 1, LEASE).await.map_err(failed)?;
        let task = dequeued.tasks.pop();
        task.ok_or_else(|| format!("ours did not take out {message:?}"))
    }

    async fn finish(&mut self, task: Leased, claim: Claim, settlement: Settlement) -> Checked {
        let finish = Finish {
            key: task.key,
            message: task.message,
            claim,
            settlement,
        };
        let finished = self.broker.finish(&[finish]).await.map_err(failed)?;
        same("finished", &vec![Finished::Settled], &finished)
    }
}

fn retry() -> Settlement {
    Settlement::Retry {
        delay: Duration::from_secs(1),
        error: "boom".to_owned(),
        is_failure: true,
    }
}

fn task_key(message: &TaskMessage) -> String {
    format!("asynq:{{{}}}:t:{}", message.queue, message.id)
}
