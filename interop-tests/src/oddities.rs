//! What crashes, evictions and hand edits leave behind: Go stumbles over it, ours must not. Shown on both, so that the
//! table in `docs/compatibility.md` stays true.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{
    Claim, Dequeue as _, Extension, Finish, Finished, LeaseKey, Maintain as _, Settlement,
};
use asynq_core::{Clock, ManualClock, QueueName, TaskId, Timestamp};
use asynq_redis::RedisBroker;
use redis::Connection;
use serde_json::{Value, json};

use crate::go::{Go, GoError, GoProgram, Request};
use crate::{hex, message};

const DATABASES: [i64; 2] = [130, 131];
const NOW: Timestamp = Timestamp::from_unix_seconds(1_750_000_000);
const LEASE: Duration = Duration::from_secs(30);

type Shown = Result<(), String>;

/// A database for each, with the same oddity.
struct Oddity {
    go: Go,
    redis: [Connection; 2],
    broker: RedisBroker,
}

/// How many oddities were shown.
pub(crate) fn check(program: &GoProgram) -> Result<usize, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let mut odd = Oddity::start(program)?;
        odd.id_without_task()
            .await
            .map_err(|what| format!("no-task: {what}"))?;
        odd.undecodable()
            .await
            .map_err(|what| format!("undecodable: {what}"))?;
        odd.lease_is_gone()
            .await
            .map_err(|what| format!("half-done: {what}"))?;
        odd.extend_nothing()
            .await
            .map_err(|what| format!("lost-lease: {what}"))?;
        odd.old_archive()
            .await
            .map_err(|what| format!("old-archive: {what}"))?;
        Ok(5)
    })
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Shown {
    if is_so { Ok(()) } else { Err(what()) }
}

fn task_json(id: &str) -> Value {
    json!({"type": "t", "id": id, "queue": "default", "retry": 3})
}

fn key(name: &str) -> String {
    format!("asynq:{{default}}:{name}")
}

impl Oddity {
    fn start(program: &GoProgram) -> Result<Self, String> {
        let url = |database| format!("redis://{}/{database}", program.redis);
        let open = |database| -> Result<Connection, String> {
            let client = redis::Client::open(url(database)).map_err(failed)?;
            client.get_connection().map_err(failed)
        };
        Ok(Oddity {
            go: Go::start(program)?,
            redis: [open(DATABASES[0])?, open(DATABASES[1])?],
            broker: RedisBroker::builder(&url(DATABASES[1]))
                .clock(Arc::new(ManualClock::at(NOW)) as Arc<dyn Clock>)
                .connect_lazily()
                .map_err(failed)?,
        })
    }

    /// Begins anew with a pipeline on both databases.
    fn set_up(&mut self, commands: &redis::Pipeline) -> Shown {
        for redis in &mut self.redis {
            redis::cmd("FLUSHDB").exec(redis).map_err(failed)?;
            commands.exec(redis).map_err(failed)?;
        }
        Ok(())
    }

    fn ask<T: redis::FromRedisValue>(&mut self, side: usize, words: &[&str]) -> Result<T, String> {
        let mut command = redis::cmd(words[0]);
        command
            .arg(&words[1..])
            .query(&mut self.redis[side])
            .map_err(failed)
    }

    fn go(
        &mut self,
        operation: &str,
        fill: impl Fn(Request) -> Request,
    ) -> Result<Result<Value, GoError>, String> {
        self.go.call(fill(Request::new(operation, DATABASES[0], NOW)))
    }

    fn encoded(&mut self, id: &str) -> Result<Vec<u8>, String> {
        let bytes = self.go("encode_message", |request| request.with("message", task_json(id)))?;
        Ok(hex::from_json(&bytes.map_err(|error| error.text)?))
    }

    fn queue(&self) -> QueueName {
        QueueName::default_queue()
    }

    async fn id_without_task(&mut self) -> Shown {
        let good = self.encoded("good")?;
        let mut commands = redis::pipe();
        commands
            .cmd("HSET")
            .arg(key("t:good"))
            .arg("msg")
            .arg(good)
            .arg(&["state", "pending"]);
        commands.cmd("RPUSH").arg(key("pending")).arg(&["good", "ghost"]);
        self.set_up(&commands)?;
        let go = self.go("dequeue", |request| request.with("queues", vec!["default"]))?;
        let remains: bool = self.ask(0, &["EXISTS", &key("t:ghost")])?;
        ensure(go.is_err() && remains, || {
            format!("Go does better than thought: {go:?}")
        })?;
        let ours = self
            .broker
            .dequeue(&[self.queue()], 1, LEASE)
            .await
            .map_err(failed)?;
        let remains: bool = self.ask(1, &["EXISTS", &key("t:ghost")])?;
        let active: Vec<String> = self.ask(1, &["LRANGE", &key("active"), "0", "-1"])?;
        ensure(ours.tasks.len() == 1 && !remains && active == ["good"], || {
            format!("ours took out {:?}, active is {active:?}", ours.tasks)
        })
    }

    async fn undecodable(&mut self) -> Shown {
        let good = self.encoded("good")?;
        let mut commands = redis::pipe();
        for (id, bytes) in [("bad", vec![0x0a, 1, 0xff]), ("good", good)] {
            commands
                .cmd("HSET")
                .arg(key(&format!("t:{id}")))
                .arg("msg")
                .arg(bytes)
                .arg(&["state", "active"]);
            commands.cmd("LPUSH").arg(key("active")).arg(id);
            commands
                .cmd("ZADD")
                .arg(key("lease"))
                .arg(NOW.unix_seconds() - 100)
                .arg(id);
        }
        self.set_up(&commands)?;
        let go = self.go("list_lease_expired", |request| {
            request
                .with("queues", vec!["default"])
                .with("at", NOW.unix_micros())
        })?;
        ensure(go.is_err(), || format!("Go does better than thought: {go:?}"))?;
        let ours = self
            .broker
            .expired(&self.queue(), 10)
            .await
            .map_err(failed)?
            .tasks;
        let archived: Vec<String> = self.ask(1, &["ZRANGE", &key("archived"), "0", "-1"])?;
        let message: Vec<u8> = self.ask(1, &["HGET", &key("t:bad"), "msg"])?;
        let is_kept = message == [0x0a, 1, 0xff];
        ensure(ours.len() == 1 && archived == ["bad"] && is_kept, || {
            format!("ours found {ours:?}, archived {archived:?}")
        })
    }

    /// Evicted, or deleted by hand.
    async fn lease_is_gone(&mut self) -> Shown {
        let good = self.encoded("good")?;
        let mut commands = redis::pipe();
        commands
            .cmd("HSET")
            .arg(key("t:good"))
            .arg("msg")
            .arg(good)
            .arg(&["state", "active"]);
        commands.cmd("LPUSH").arg(key("active")).arg("good");
        self.set_up(&commands)?;
        let go = self.go("done", |request| request.with("message", task_json("good")))?;
        let listed: i64 = self.ask(0, &["LLEN", &key("active")])?;
        let is_there: bool = self.ask(0, &["EXISTS", &key("t:good")])?;
        ensure(go.is_err() && listed == 0 && is_there, || {
            format!("Go does better than thought: {go:?}")
        })?;
        let finish = Finish {
            key: self.lease_key(),
            message: Arc::new(message::from_json(&task_json("good"))),
            claim: Claim::Holder,
            settlement: Settlement::Done { result: None },
        };
        let ours = self.broker.finish(&[finish]).await.map_err(failed)?;
        let listed: i64 = self.ask(1, &["LLEN", &key("active")])?;
        ensure(ours == [Finished::NotOwner] && listed == 1, || {
            format!("ours: {ours:?}, {listed} active")
        })
    }

    fn lease_key(&self) -> LeaseKey {
        LeaseKey {
            queue: self.queue(),
            id: TaskId::from_stored("good"),
            nonce: 0,
        }
    }

    async fn extend_nothing(&mut self) -> Shown {
        self.set_up(redis::pipe().cmd("PING"))?;
        let go = self.go("extend_lease", |request| {
            request.with("queue", "default").with("ids", vec!["good"])
        })?;
        ensure(go.is_ok(), || format!("Go does better than thought: {go:?}"))?;
        let ours = self
            .broker
            .extend(&[self.lease_key()], LEASE)
            .await
            .map_err(failed)?;
        ensure(ours == [Extension::Lost], || format!("ours: {ours:?}"))
    }

    /// More than Lua can unpack.
    async fn old_archive(&mut self) -> Shown {
        const OLD: usize = 8_100;
        let good = self.encoded("good")?;
        let mut commands = redis::pipe();
        commands
            .cmd("HSET")
            .arg(key("t:good"))
            .arg("msg")
            .arg(good)
            .arg(&["state", "active"]);
        commands.cmd("LPUSH").arg(key("active")).arg("good");
        commands
            .cmd("ZADD")
            .arg(key("lease"))
            .arg(NOW.unix_seconds() + 10)
            .arg("good");
        let long_ago = NOW.unix_seconds() - 91 * 86_400;
        for number in 0..OLD {
            commands
                .cmd("ZADD")
                .arg(key("archived"))
                .arg(long_ago)
                .arg(format!("old-{number}"));
            commands
                .cmd("HSET")
                .arg(key(&format!("t:old-{number}")))
                .arg(&["msg", "x", "state", "archived"]);
        }
        self.set_up(&commands)?;
        let go = self.go("archive", |request| request.with("message", task_json("good")))?;
        let state: String = self.ask(0, &["HGET", &key("t:good"), "state"])?;
        ensure(go.is_err() && state == "active", || {
            format!("Go does better than thought: {go:?}, {state}")
        })?;
        let finish = Finish {
            key: self.lease_key(),
            message: Arc::new(message::from_json(&task_json("good"))),
            claim: Claim::Holder,
            settlement: Settlement::Archive {
                error: "boom".to_owned(),
            },
        };
        let ours = self.broker.finish(&[finish]).await.map_err(failed)?;
        while self.broker.purge(&self.queue(), 500).await.map_err(failed)?.more {}
        let archived: Vec<String> = self.ask(1, &["ZRANGE", &key("archived"), "0", "-1"])?;
        let keys: i64 = self.ask(1, &["DBSIZE"])?;
        ensure(
            ours == [Finished::Settled] && archived == ["good"] && keys < 20,
            || format!("ours: {ours:?}, {} archived, {keys} keys", archived.len()),
        )
    }
}
