//! Two databases on which the same happens: on the first by Go's code, on the second by ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::LeaseKey;
use asynq_core::{Clock, GroupName, ManualClock, QueueName, SystemClock, TaskMessage, Timestamp};
use asynq_redis::RedisBroker;
use redis::Connection;
use serde_json::Value;

use super::compare::{Known, compare, field, timed};
use super::op::{Op, Who};
use crate::differences::{Difference, Met};
use crate::go::{Broken, Go, GoError, GoProgram, Request};
use crate::keyspace::{self, KeySpace, Stored};

/// Why a sequence ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The two differ.
    Differs(String),
    /// The comparison itself is broken.
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Stop::Broken(broken)
    }
}

impl From<redis::RedisError> for Stop {
    fn from(error: redis::RedisError) -> Self {
        Stop::Broken(error.to_string())
    }
}

impl From<asynq_core::BrokerError> for Stop {
    fn from(error: asynq_core::BrokerError) -> Self {
        Stop::Differs(format!("ours failed: {error}"))
    }
}

pub(super) type Step = Result<(), Stop>;

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, go: T, ours: T) -> Step {
    if go == ours {
        return Ok(());
    }
    Err(Stop::Differs(format!("{what}: Go {go:?}, ours {ours:?}")))
}

/// A process that performs operations and a connection, for one worker of the comparison.
pub(crate) struct Bench {
    pub(crate) go: Go,
    redis: Connection,
    url: String,
    databases: [i64; 2],
    pub(crate) met: Met,
    pub(crate) operations: BTreeMap<&'static str, u64>,
}

impl Bench {
    pub(crate) fn start(program: &GoProgram, first_database: i64) -> Result<Self, Broken> {
        let url = format!("redis://{}", program.redis);
        let redis = redis::Client::open(url.as_str())
            .and_then(|client| client.get_connection())
            .map_err(|error| format!("cannot reach {url}: {error}"))?;
        Ok(Bench {
            go: Go::start(program)?,
            redis,
            url,
            databases: [first_database, first_database + 1],
            met: Met::default(),
            operations: BTreeMap::new(),
        })
    }
}

/// A task that was taken out.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// As Go took it out of the first database.
    pub(super) go: Value,
    pub(super) message: Arc<TaskMessage>,
    pub(super) key: LeaseKey,
}

/// An aggregation set under the names of both.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) queue: QueueName,
    pub(super) group: GroupName,
    pub(super) ids: [String; 2],
}

pub(crate) struct World<'a> {
    pub(super) bench: &'a mut Bench,
    pub(super) broker: RedisBroker,
    pub(super) clock: Arc<ManualClock>,
    pub(super) holders: Vec<Holder>,
    /// Those that lost or finished their task.
    pub(super) late: Vec<Holder>,
    pub(super) sets: Vec<Set>,
    pub(super) known: Known,
    /// When each task of queue and id becomes due, in microseconds.
    pub(super) dues: BTreeMap<(String, String), i64>,
}

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const SECOND: i64 = 1_000_000;

impl<'a> World<'a> {
    pub(crate) async fn fresh(bench: &'a mut Bench, is_mixed: bool) -> Result<Self, Stop> {
        // A whole second, so that lifetimes can be compared with what Redis counts from its own time.
        let now = Timestamp::from_unix_seconds(SystemClock.now().unix_seconds());
        let clock = Arc::new(ManualClock::at(now));
        for database in bench.databases {
            redis::pipe()
                .cmd("SELECT")
                .arg(database)
                .cmd("FLUSHDB")
                .exec(&mut bench.redis)?;
            bench.go.must(Request::new("forget", database, now))?;
        }
        let broker = new_broker(bench, &clock)?;
        Ok(World {
            bench,
            broker,
            clock,
            holders: Vec::new(),
            late: Vec::new(),
            sets: Vec::new(),
            known: Known {
                is_mixed,
                ..Known::default()
            },
            dues: BTreeMap::new(),
        })
    }

    /// Performs an operation on both sides and compares replies and key spaces.
    pub(crate) async fn perform(&mut self, op: &Op) -> Step {
        *self.bench.operations.entry(name(op)).or_default() += 1;
        match op {
            Op::Advance { micros } => self.advance(*micros),
            Op::Enqueue { task, who } => self.enqueue(task, *who).await?,
            Op::Dequeue { queues, max, who } => self.dequeue(queues, *max, *who).await?,
            Op::Finish { pick, how, who } => self.finish(*pick, how, *who).await?,
            Op::FinishLate { pick, how } => self.finish_late(*pick, how).await?,
            Op::Extend { picks, who } => self.extend(picks, *who).await?,
            Op::WriteResult { pick, result } => self.write_result(*pick, result).await?,
            Op::Forward { queue, who } => self.forward(*queue, *who).await?,
            Op::Recover { queue, how } => self.recover(*queue, how).await?,
            Op::Seal {
                queue,
                group,
                limits,
                who,
            } => self.seal(*queue, *group, limits, *who).await?,
            Op::Merge { pick, task } => self.merge(*pick, task).await?,
            Op::Reclaim { queue, who } => self.reclaim(*queue, *who).await?,
            Op::Purge { queue, who } => self.purge(&queue_name(*queue), *who).await?,
            Op::Pause { queue, who } => self.pause(*queue, *who, true).await?,
            Op::Resume { queue, who } => self.pause(*queue, *who, false).await?,
            Op::LocksEnd { queue, kind, payload } => self.end_locks(*queue, *kind, *payload)?,
            Op::Announce { server, workers, who } => self.announce(*server, workers, *who).await?,
            Op::Withdraw { server, who } => self.withdraw(*server, *who).await?,
            Op::Look { queue } => self.look(*queue).await?,
            Op::Reconcile { queue } => self.reconcile(*queue).await?,
            Op::Inspect {
                action,
                queue,
                group,
                id,
                who,
            } => {
                let target = self.target(*queue, *group, *id)?;
                self.inspect(*action, &target, *who).await?;
            }
            Op::Change { queue, id, place } => {
                let target = self.target(*queue, 0, *id)?;
                self.change(&target, place).await?;
            }
            Op::ShowEntries {
                scheduler,
                entries,
                who,
            } => self.show_entries(*scheduler, entries, *who).await?,
            Op::HideEntries { scheduler, who } => self.hide_entries(*scheduler, *who).await?,
            Op::RecordEvent { entry, who } => self.record_event(*entry, *who).await?,
        }
        self.compare()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn advance(&mut self, micros: i64) {
        let now = self.now().unix_micros() + micros;
        self.clock.set(Timestamp::from_unix_micros(now));
    }

    fn compare(&mut self) -> Step {
        let [first, second] = self.bench.databases;
        let [go, ours] = keyspace::read_both(&mut self.bench.redis, first, second)?;
        self.known.sets = self.sets.iter().map(|set| set.ids.clone()).collect();
        self.known.nonces = self.holders.iter().map(nonce_of).collect();
        self.remember_dues(&go, &ours);
        // That of Redis goes on by itself, that of the test does not.
        self.known.ahead = (self.now().unix_micros() - SystemClock.now().unix_micros()) / 1_000;
        let compared = compare(&go, &ours, &mut self.known, &mut self.bench.met)
            .and_then(|()| timed(&go, &ours, &mut self.bench.met));
        compared.map_err(Stop::Differs)
    }

    fn remember_dues(&mut self, go: &KeySpace, ours: &KeySpace) {
        for (key, entry) in go {
            let Some((queue, _)) = key.strip_prefix("asynq:{").and_then(|rest| rest.split_once("}:")) else {
                continue;
            };
            let Stored::Sorted(tasks) = &entry.value else {
                continue;
            };
            if !(key.ends_with("}:scheduled") || key.ends_with("}:retry")) {
                continue;
            }
            for (id, score) in tasks {
                let exact = field(ours, &format!("asynq:{{{queue}}}:t:{id}"), "due");
                let due = exact
                    .filter(|due| (due / 1e6).floor() == *score)
                    .unwrap_or(score * 1e6);
                self.dues.insert((queue.to_owned(), id.clone()), due as i64);
            }
        }
    }

    pub(super) fn request(&self, operation: &str, side: usize) -> Request {
        Request::new(operation, self.bench.databases[side], self.now())
    }

    pub(super) fn ask(
        &mut self,
        side: usize,
        operation: &str,
        fill: impl Fn(Request) -> Request,
    ) -> Result<Result<Value, GoError>, Stop> {
        let request = fill(self.request(operation, side));
        Ok(self.bench.go.call(request)?)
    }

    /// An operation of Go's that succeeds.
    pub(super) fn must(
        &mut self,
        side: usize,
        operation: &str,
        fill: impl Fn(Request) -> Request,
    ) -> Result<Value, Stop> {
        let request = fill(self.request(operation, side));
        Ok(self.bench.go.must(request)?)
    }

    /// A command on one of the databases: how intended differences are made up for on Go's side.
    pub(super) fn command<T: redis::FromRedisValue>(
        &mut self,
        side: usize,
        words: &[&str],
    ) -> Result<T, Stop> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let (answer,): (T,) = redis::pipe()
            .cmd("SELECT")
            .arg(self.bench.databases[side])
            .ignore()
            .add_command(command)
            .query(&mut self.bench.redis)?;
        Ok(answer)
    }

    /// A command whose last argument is bytes.
    pub(super) fn command_with(&mut self, side: usize, words: &[&str], bytes: &[u8]) -> Step {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).arg(bytes);
        redis::pipe()
            .cmd("SELECT")
            .arg(self.bench.databases[side])
            .add_command(command)
            .exec(&mut self.bench.redis)?;
        Ok(())
    }

    /// Goes on as another process: one that does not know which queues were published.
    pub(super) fn forget(&mut self) -> Step {
        self.broker = new_broker(self.bench, &self.clock)?;
        Ok(())
    }

    /// Adds a field to a hash, which Go leaves out.
    pub(super) fn make_up_for_field(
        &mut self,
        side: usize,
        key: &str,
        [name, value]: [&str; 2],
        difference: Difference,
    ) -> Step {
        let added: i64 = self.command(side, &["HSET", key, name, value])?;
        if added == 1 {
            self.met(difference);
        }
        Ok(())
    }

    pub(super) fn met(&mut self, difference: Difference) {
        self.bench.met.note(difference);
    }

    /// The sides on which Go is to work.
    pub(super) fn sides(who: Who) -> &'static [usize] {
        match who {
            Who::Ours => &[0],
            Who::Go => &[0, 1],
        }
    }
}

fn new_broker(bench: &Bench, clock: &Arc<ManualClock>) -> Result<RedisBroker, Stop> {
    let builder = RedisBroker::builder(&format!("{}/{}", bench.url, bench.databases[1]));
    Ok(builder.clock(clock.clone() as Arc<dyn Clock>).connect_lazily()?)
}

fn name(op: &Op) -> &'static str {
    match op {
        Op::Advance { .. } => "advance",
        Op::Enqueue { .. } => "enqueue",
        Op::Dequeue { .. } => "dequeue",
        Op::Finish { .. } => "finish",
        Op::FinishLate { .. } => "finish late",
        Op::Extend { .. } => "extend",
        Op::WriteResult { .. } => "write result",
        Op::Forward { .. } => "forward",
        Op::Recover { .. } => "recover",
        Op::Seal { .. } => "seal",
        Op::Merge { .. } => "merge",
        Op::Reclaim { .. } => "reclaim",
        Op::Purge { .. } => "purge",
        Op::Pause { .. } => "pause",
        Op::Resume { .. } => "resume",
        Op::LocksEnd { .. } => "locks end",
        Op::Announce { .. } => "announce",
        Op::Withdraw { .. } => "withdraw",
        Op::Look { .. } => "look",
        Op::Reconcile { .. } => "reconcile",
        Op::Inspect { action, .. } => action.name(),
        Op::Change { .. } => "change",
        Op::ShowEntries { .. } => "show entries",
        Op::HideEntries { .. } => "hide entries",
        Op::RecordEvent { .. } => "record event",
    }
}

fn nonce_of(holder: &Holder) -> ((String, String), u32) {
    let key = &holder.key;
    ((key.queue.to_string(), key.id.to_string()), key.nonce)
}

pub(super) fn queue_name(number: u8) -> QueueName {
    QueueName::from_stored(["default", "low:{x}"][usize::from(number % 2)])
}

pub(super) fn group_name(number: u8) -> GroupName {
    GroupName::from_stored(["g", "a:b"][usize::from(number % 2)])
}

pub(super) fn prefix(queue: &QueueName) -> String {
    format!("asynq:{{{queue}}}:")
}
