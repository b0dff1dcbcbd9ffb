use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::{Broker, BrokerError, Clock, Now, QueueName, Timestamp};

use crate::config::{Config, Durability};
use crate::error::broker_error;
use crate::readers::{Reader, Readers};
use crate::watch::Watchers;
use crate::writer::{Operation, Writer};

/// Keeps tasks in an SQLite file.
///
/// Cheap to clone; clones share their connections, which are closed when the last one is dropped. Other processes on the
/// same machine may use the file at the same time, with this broker or inside transactions of their own.
#[derive(Clone)]
pub struct SqliteBroker {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    readers: Arc<Readers>,
    watchers: Arc<Watchers>,
    clock: Arc<dyn Clock>,
}

impl SqliteBroker {
    /// Opens a file and makes it if there is none. `location` is a path or a URL: `sqlite://path`, such as
    /// `sqlite://tasks.db` or `sqlite:///var/lib/app/tasks.db?durability=full`.
    ///
    /// The file may be one that has other tables; the broker's begin with `asynq_`. It is switched to the write-ahead
    /// log, which needs a local file system.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Config`] if the location makes no sense or cannot be opened, or if a newer version of this library
    /// has used the file; [`BrokerError::Denied`] if it is read-only; [`BrokerError::Unavailable`] if another program
    /// keeps it locked.
    pub async fn open(location: impl AsRef<Path>) -> Result<Self, BrokerError> {
        Self::builder(location).open().await
    }

    /// Opens a file with options.
    pub fn builder(location: impl AsRef<Path>) -> SqliteBrokerBuilder {
        SqliteBrokerBuilder {
            config: Config::parse(location.as_ref()),
        }
    }

    pub(crate) async fn write<O: Operation>(&self, operation: O) -> Result<O::Answer, BrokerError> {
        self.inner.writer.write(operation).await
    }

    pub(crate) async fn reader(&self, operation: &'static str) -> Result<Reader<'_>, BrokerError> {
        self.inner.readers.get(operation).await
    }

    /// What to make of an error of SQLite. `queue` is the one concerned, if there is only one.
    pub(crate) fn failed<'a>(
        &'a self,
        operation: &'static str,
        queue: Option<&'a QueueName>,
    ) -> impl Fn(sqlx::Error) -> BrokerError + Copy + 'a {
        let file = self.inner.readers.file();
        move |error| broker_error(Some(file), operation, queue, error)
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.inner.watchers
    }
}

impl Now for SqliteBroker {
    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

impl From<SqliteBroker> for Arc<dyn Broker> {
    fn from(broker: SqliteBroker) -> Self {
        Arc::new(broker)
    }
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker").finish_non_exhaustive()
    }
}

/// Options to open a file with.
///
/// ```no_run
/// # async fn example() -> Result<(), asynq_core::BrokerError> {
/// use asynq_sqlite::{Durability, SqliteBroker};
///
/// let broker = SqliteBroker::builder("tasks.db").durability(Durability::Full).open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct SqliteBrokerBuilder {
    config: Result<Config, BrokerError>,
}

impl SqliteBrokerBuilder {
    /// What a task that was accepted survives. [`Durability::Normal`] unless set.
    pub fn durability(self, durability: Durability) -> Self {
        self.with(|config| config.durability = durability)
    }

    /// How long to wait while other programs keep the file locked, before a call fails with
    /// [`BrokerError::Unavailable`]. Five seconds unless set.
    pub fn busy_timeout(self, timeout: Duration) -> Self {
        self.with(|config| config.busy_timeout = timeout)
    }

    /// Where the time comes from. All processes that share a file must agree on it.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|config| config.clock = clock)
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// As [`SqliteBroker::open`].
    pub async fn open(self) -> Result<SqliteBroker, BrokerError> {
        let mut config = self.config?;
        // More connections are opened later, when the working directory may be another.
        if let Ok(path) = std::path::absolute(&config.path) {
            config.path = path;
        }
        let watchers = Arc::new(Watchers::default());
        let readers = Arc::new(Readers::new(config.clone()));
        let clock = config.clock.clone();
        let writer = Writer::start(config, watchers.clone(), readers.clone()).await?;
        Ok(SqliteBroker {
            inner: Arc::new(Inner {
                writer,
                readers,
                watchers,
                clock,
            }),
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        if let Ok(config) = &mut self.config {
            change(config);
        }
        self
    }
}
