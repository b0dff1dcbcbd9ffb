//! Where sequences are played: on every broker beside a model of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use asynq_core::{BrokerError, Clock, ManualClock, MemoryBroker};
use asynq_redis::RedisBroker;
use asynq_sqlite::SqliteBroker;
use tokio::runtime::Runtime;

use crate::locks::Locks;
use crate::look::Look;
use crate::operation::{Operation, START};
use crate::reference::Model;
use crate::system::System;
use crate::ways::Ways;

/// Lists that are said to be empty are read that often, the others after every step.
const THOROUGH_EVERY: usize = 10;
/// More than there is to ask about.
const PIPELINED: usize = 64;

/// Why a sequence was stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("{0}")]
    Differs(String),
    #[error("{0} failed: {1:?}")]
    Broker(&'static str, #[source] BrokerError),
    #[error("Redis cannot be used: {0}")]
    Redis(#[from] redis::RedisError),
    #[error("cannot use the folder for files: {0}")]
    Folder(#[from] std::io::Error),
}

/// What sequences share that are played one after the other.
pub(crate) struct Stage {
    runtime: Runtime,
    redis_url: String,
    locks: Locks,
    folder: Folder,
}

/// A broker and the model it must behave as.
struct Side {
    name: &'static str,
    system: System,
    model: Model,
    at_once: usize,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, Stop> {
        let redis_url = asynq_fixtures::shared_redis_url();
        Ok(Stage {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            locks: Locks::new(redis::Client::open(redis_url.as_str())?.get_connection()?),
            redis_url,
            folder: Folder::new()?,
        })
    }

    /// Carries out the operations on each broker and its model, and compares after each step.
    pub(crate) fn play(&mut self, operations: &[Operation]) -> Result<(), Stop> {
        self.locks.flush()?;
        // Nonces are drawn on this thread: the same sequence has the same ones when it is made shorter, or kept.
        fastrand::seed(1);
        let path = self.folder.next_file()?;
        self.runtime.block_on(async {
            let mut sides = sides(&path, &self.redis_url).await?;
            for (number, operation) in operations.iter().enumerate() {
                let is_thorough = number % THOROUGH_EVERY == 0 || number + 1 == operations.len();
                for side in &mut sides {
                    let step = Step {
                        number,
                        operation,
                        is_thorough,
                    };
                    side.take(step, &mut self.locks).await?;
                }
            }
            Ok(())
        })
    }
}

async fn sides(path: &Path, redis_url: &str) -> Result<[Side; 3], Stop> {
    let clock = || Arc::new(ManualClock::at(START));
    let (memory_clock, sqlite_clock, redis_clock) = (clock(), clock(), clock());
    let memory = MemoryBroker::with_clock(memory_clock.clone());
    let sqlite = SqliteBroker::builder(path)
        .clock(sqlite_clock.clone())
        .open()
        .await;
    let redis = RedisBroker::builder(redis_url)
        .clock(redis_clock.clone() as Arc<dyn Clock>)
        .connect()
        .await;
    let sqlite = sqlite.map_err(|error| Stop::Broker("SQLite", error))?;
    let redis = redis.map_err(|error| Stop::Broker("Redis", error))?;
    let side = |name, system, ways, at_once| Side {
        name,
        system,
        model: Model::new(ways),
        at_once,
    };
    Ok([
        side("memory", System::new(memory, memory_clock), Ways::Exact, 1),
        side("SQLite", System::new(sqlite, sqlite_clock), Ways::Exact, 1),
        side("Redis", System::new(redis, redis_clock), Ways::Redis, PIPELINED),
    ])
}

#[derive(Clone, Copy)]
struct Step<'a> {
    number: usize,
    operation: &'a Operation,
    is_thorough: bool,
}

impl Side {
    async fn take(&mut self, step: Step<'_>, locks: &mut Locks) -> Result<(), Stop> {
        if step.operation.needs_own_moment() {
            self.carry_out(&Operation::Advance(Duration::from_micros(1)), step, locks)
                .await?;
        }
        self.carry_out(step.operation, step, locks).await?;
        let look = Look {
            broker: self.system.broker.as_ref(),
            at_once: self.at_once,
            is_thorough: step.is_thorough,
        };
        let shown = look
            .view()
            .await
            .map_err(|error| Stop::Broker(self.name, error))?;
        self.compare(&shown, &self.model.view(), "what is seen", step)
    }

    async fn carry_out(
        &mut self,
        operation: &Operation,
        step: Step<'_>,
        locks: &mut Locks,
    ) -> Result<(), Stop> {
        let begun = Instant::now();
        let expected = self.model.carry_out(operation);
        let answer = self.system.carry_out(operation).await;
        let answer = answer.map_err(|error| Stop::Broker(self.name, error))?;
        self.compare(&answer, &expected, "the answer", step)?;
        self.model.learn_nonces(self.system.nonces());
        if self.model.ways() == Ways::Redis {
            locks.end(self.model.now())?;
            let checked = locks.check(&self.model, begun);
            checked.map_err(|what| Stop::Differs(format!("step {}, {operation:?}: {what}", step.number)))?;
        }
        Ok(())
    }

    fn compare<T: PartialEq + std::fmt::Debug>(
        &self,
        found: &T,
        expected: &T,
        what: &str,
        step: Step<'_>,
    ) -> Result<(), Stop> {
        if found == expected {
            return Ok(());
        }
        Err(Stop::Differs(format!(
            "{}, step {}, {:?}: {what} differs\n  found    {found:?}\n  expected {expected:?}",
            self.name, step.number, step.operation
        )))
    }
}

/// A folder for the files of SQLite, deleted when it is dropped.
struct Folder {
    path: PathBuf,
    files: usize,
}

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("asynq-model-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Folder { path, files: 0 })
    }

    /// A file that is not there yet, in a folder of its own. That of the last one is deleted.
    fn next_file(&mut self) -> std::io::Result<PathBuf> {
        // A broker that was dropped may be about to close its file still; then it is deleted with the whole folder.
        let _ = std::fs::remove_dir_all(self.path.join(self.files.to_string()));
        self.files += 1;
        let folder = self.path.join(self.files.to_string());
        std::fs::create_dir(&folder)?;
        Ok(folder.join("tasks.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
