//! The one who writes: carries out what has gathered in one transaction, and answers after its commit.
//!
//! SQLite has one writer at a time. One connection that takes turns by itself is faster than many that wait for its lock
//! and fail when they waited too long; and what has gathered while a commit was under way shares the next one.
//!
//! It is a thread of its own, not a task: nearly all it does is to wait for the thread of its connection, and two threads
//! wake each other in half the time that a runtime takes. It also outlives the runtime in which the file was opened, and
//! a test that pauses tokio's time does not stop it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use asynq_core::{BrokerError, QueueName, Timestamp};
use futures::executor::block_on;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::error::{Meaning, broker_error, meaning, unavailable};
use crate::readers::Readers;
use crate::reserve::Reserve;
use crate::schema;
use crate::watch::{Changes, Watchers};

/// How many operations share a commit at most: others want the lock too.
const GROUP: usize = 256;
/// How many operations may wait. Beyond that callers wait before they are let in.
const WAITING: usize = 1024;

/// Something that is written, in a transaction that it may share with others.
#[async_trait]
pub(crate) trait Operation: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// What it is called in errors.
    fn name(&self) -> &'static str;

    /// The queue concerned, if there is only one.
    fn queue(&self) -> Option<&QueueName> {
        None
    }

    /// How many bytes of new tasks it brings, if that is what it does: then it is refused while the disk is full.
    fn brings(&self) -> Option<u64> {
        None
    }

    /// Carries it out. Called again in a transaction of its own when the shared one failed.
    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Self::Answer, sqlx::Error>;
}

/// What an operation works with.
pub(crate) struct Transaction {
    pub(crate) connection: SqliteConnection,
    pub(crate) now: Timestamp,
    /// Told to those who watch, after the commit.
    pub(crate) changes: Changes,
}

/// Hands operations to the thread that writes. It ends when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Opens the file, brings its tables up to date and starts the thread that writes.
    pub(crate) async fn start(
        config: Config,
        watchers: Arc<Watchers>,
        readers: Arc<Readers>,
    ) -> Result<Self, BrokerError> {
        let mut reserve = Reserve::of(&config.path);
        let connection = match open_patiently(&config).await {
            // The log must be made first.
            Err(BrokerError::Full { .. }) if reserve.release() => open_patiently(&config).await,
            opened => opened,
        }?;
        let (jobs, receiver) = mpsc::channel(WAITING);
        let mut turns = Turns {
            transaction: Some(Transaction::new(connection, config.clock.now())),
            reserve,
            config,
            watchers,
        };
        std::thread::Builder::new()
            .name("asynq-sqlite-writer".into())
            .spawn(move || {
                turns.serve(receiver);
                block_on(readers.close());
                // SQLite tidies up the log when its last connection is closed, and one for looking cannot.
                block_on(turns.close());
            })
            .map_err(|error| unavailable("open", false, error))?;
        Ok(Writer { jobs })
    }

    /// Carries out an operation and waits until it is committed.
    pub(crate) async fn write<O: Operation>(&self, operation: O) -> Result<O::Answer, BrokerError> {
        let name = operation.name();
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Asked {
            operation,
            answer: None,
            reply,
        });
        // It panicked: nothing else ends it while there is a handle.
        let ended = |maybe_applied| unavailable(name, maybe_applied, "the thread that writes has ended");
        self.jobs.send(job).await.map_err(|_| ended(false))?;
        answer.await.map_err(|_| ended(true))?
    }
}

/// An operation and who waits for its answer.
struct Asked<O: Operation> {
    operation: O,
    answer: Option<O::Answer>,
    reply: oneshot::Sender<Result<O::Answer, BrokerError>>,
}

/// An [`Asked`] of whatever operation.
#[async_trait]
trait Job: Send {
    async fn run(&mut self, transaction: &mut Transaction) -> Result<(), sqlx::Error>;
    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    fn brings(&self) -> Option<u64>;
    fn committed(self: Box<Self>);
    fn failed(self: Box<Self>, file: &Path, error: &Arc<sqlx::Error>);
}

#[async_trait]
impl<O: Operation> Job for Asked<O> {
    async fn run(&mut self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        self.answer = Some(self.operation.carry_out(transaction).await?);
        Ok(())
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn brings(&self) -> Option<u64> {
        self.operation.brings()
    }

    fn committed(self: Box<Self>) {
        if let Some(answer) = self.answer {
            let _ = self.reply.send(Ok(answer));
        }
    }

    fn failed(self: Box<Self>, file: &Path, error: &Arc<sqlx::Error>) {
        let operation = &self.operation;
        let error = broker_error(Some(file), operation.name(), operation.queue(), error.clone());
        let _ = self.reply.send(Err(error));
    }
}

/// What the thread that writes has.
struct Turns {
    config: Config,
    watchers: Arc<Watchers>,
    /// None after an error that a new connection may not have.
    transaction: Option<Transaction>,
    reserve: Reserve,
}

/// How far a transaction came.
enum Failed {
    /// It did not begin: nobody else's turn would do better now.
    ToBegin(sqlx::Error),
    /// One of its operations, or the commit, failed, and the others were undone with it.
    Midway(sqlx::Error),
}

impl Turns {
    fn serve(&mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let others = std::iter::from_fn(|| jobs.try_recv().ok());
            let group = std::iter::once(first).chain(others).take(GROUP);
            let group = group.filter(|job| !job.is_abandoned()).collect();
            block_on(self.commit_group(group));
        }
    }

    async fn close(self) {
        if let Some(transaction) = self.transaction {
            // Nobody waits for it.
            let _ = transaction.connection.close().await;
        }
    }

    async fn commit_group(&mut self, group: Vec<Box<dyn Job>>) {
        let mut group = self.without_refused(group).await;
        match self.commit(&mut group).await {
            Err(Failed::Midway(_)) if group.len() > 1 => {
                for job in group {
                    self.commit_alone(job).await;
                }
            }
            outcome => self.conclude(group, outcome).await,
        }
    }

    /// Finds out whose fault it was, and lets the others have their way.
    async fn commit_alone(&mut self, job: Box<dyn Job>) {
        let mut group = vec![job];
        let outcome = self.commit(&mut group).await;
        self.conclude(group, outcome).await;
    }

    /// Answers. What brings no new tasks is carried out once more when the disk is full.
    async fn conclude(&mut self, mut group: Vec<Box<dyn Job>>, mut outcome: Result<(), Failed>) {
        if let Err(Failed::Midway(error)) = &outcome
            && meaning(error) == Meaning::Full
            && group.iter().all(|job| job.brings().is_none())
        {
            self.make_room().await;
            outcome = self.commit(&mut group).await;
        }
        self.settle(group, outcome);
    }

    /// Refuses what brings new tasks, if there is no room.
    async fn without_refused(&mut self, mut group: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        if let Some(transaction) = &mut self.transaction
            && group.iter().any(|job| job.brings().is_some())
            && let Err(error) = self.reserve.ensure(&mut transaction.connection).await
        {
            let refused = group.extract_if(.., |job| job.brings().is_some()).collect();
            self.settle(refused, Err(Failed::ToBegin(error)));
        }
        group
    }

    fn settle(&self, group: Vec<Box<dyn Job>>, outcome: Result<(), Failed>) {
        match outcome {
            Ok(()) => group.into_iter().for_each(|job| job.committed()),
            Err(Failed::ToBegin(error) | Failed::Midway(error)) => {
                let error = Arc::new(error);
                let tell = |job: Box<dyn Job>| job.failed(&self.config.path, &error);
                group.into_iter().for_each(tell);
            }
        }
    }

    /// Gives the reserve away, and starts the log anew. That fails while somebody reads; then there is the reserve still.
    async fn make_room(&mut self) {
        self.reserve.release();
        if let Some(transaction) = &mut self.transaction {
            let _ = transaction
                .connection
                .execute("PRAGMA wal_checkpoint(RESTART)")
                .await;
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        if group.is_empty() {
            return Ok(());
        }
        self.begin().await.map_err(Failed::ToBegin)?;
        let outcome = self.work(group).await;
        if let Err(Failed::Midway(error)) = &outcome {
            self.roll_back(error).await;
        }
        outcome
    }

    /// Waits for the lock, up to the busy timeout.
    ///
    /// Not left to SQLite, which soon looks only every tenth of a second: beside another busy process that is too seldom
    /// to ever find the lock free.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let deadline = Instant::now() + self.config.busy_timeout;
        loop {
            let begun = match self.begin_once().await {
                Err(error) if meaning(&error) == Meaning::Locked => error,
                done => return done,
            };
            if Instant::now() >= deadline {
                return Err(begun);
            }
            std::thread::sleep(random_pause());
        }
    }

    async fn begin_once(&mut self) -> Result<(), sqlx::Error> {
        if self.transaction.is_none() {
            let connection = connect(&self.config).await?;
            self.transaction = Some(Transaction::new(connection, self.config.clock.now()));
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.connection.execute("BEGIN IMMEDIATE").await?;
        }
        Ok(())
    }

    async fn work(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        for job in group.iter_mut() {
            // Read under the lock, so that times stand in the file in the order in which it was written.
            transaction.now = self.config.clock.now();
            job.run(transaction).await.map_err(Failed::Midway)?;
        }
        let bytes = group.iter().filter_map(|job| job.brings()).sum();
        if bytes > 0 {
            let covered = self.reserve.cover(&mut transaction.connection, bytes).await;
            covered.map_err(Failed::Midway)?;
        }
        let committed = transaction.connection.execute("COMMIT").await;
        committed.map_err(Failed::Midway)?;
        self.watchers.tell(std::mem::take(&mut transaction.changes));
        Ok(())
    }

    async fn roll_back(&mut self, error: &sqlx::Error) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        transaction.changes = Changes::default();
        // SQLite rolls back by itself after some errors, and then says that there is nothing to roll back.
        let _ = transaction.connection.execute("ROLLBACK").await;
        if matches!(meaning(error), Meaning::Broken | Meaning::Damaged) {
            self.transaction = None;
        }
    }
}

impl Transaction {
    fn new(connection: SqliteConnection, now: Timestamp) -> Self {
        Transaction {
            connection,
            now,
            changes: Changes::default(),
        }
    }
}

async fn connect(config: &Config) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = config.write_options().connect().await?;
    connection.execute("PRAGMA busy_timeout = 0").await?;
    Ok(connection)
}

/// Connects for the first time, and waits for a lock up to the busy timeout.
///
/// SQLite does that itself but for one case: to switch a file to the log it reads, and then it fails at once while
/// somebody writes.
async fn open_patiently(config: &Config) -> Result<SqliteConnection, BrokerError> {
    let deadline = Instant::now() + config.busy_timeout;
    loop {
        match open(config).await {
            Err(BrokerError::Unavailable { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(random_pause()).await;
            }
            opened => return opened,
        }
    }
}

/// So that two who wait do not meet again.
fn random_pause() -> Duration {
    Duration::from_micros(fastrand::u64(500..2500))
}

/// Connects for the first time, when what is wrong is worth another word.
async fn open(config: &Config) -> Result<SqliteConnection, BrokerError> {
    const OPERATION: &str = "open";
    let path = config.path.display();
    let opened = config.write_options().connect().await;
    let mut connection = opened.map_err(|error| match meaning(&error) {
        Meaning::Broken => BrokerError::Config(format!(
            "the file {path} cannot be opened or made ({error}): its folder must exist, and the process must be allowed \
             to write there"
        )),
        _ => broker_error(Some(&config.path), OPERATION, None, error),
    })?;
    schema::migrate(&mut connection, &config.path).await?;
    let patient = connection.execute("PRAGMA busy_timeout = 0").await;
    patient.map_err(|error| broker_error(Some(&config.path), OPERATION, None, error))?;
    Ok(connection)
}
