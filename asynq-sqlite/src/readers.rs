//! Connections for looking only. They never wait for who writes, and who writes never waits for them.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use asynq_core::BrokerError;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::Config;
use crate::error::{broker_error, unavailable};

/// Each is a thread.
const MOST: usize = 4;

// Not a pool of sqlx: those give up waiting after a time of tokio's, which under a test's paused time is at once.
pub(crate) struct Readers {
    config: Config,
    permits: Semaphore,
    idle: Mutex<Vec<SqliteConnection>>,
}

/// A connection, on loan.
pub(crate) struct Reader<'a> {
    /// None while it is given back.
    connection: Option<SqliteConnection>,
    readers: &'a Readers,
    _permit: SemaphorePermit<'a>,
}

impl Readers {
    pub(crate) fn new(config: Config) -> Self {
        Readers {
            config,
            permits: Semaphore::new(MOST),
            idle: Mutex::default(),
        }
    }

    /// Waits until one is free.
    pub(crate) async fn get(&self, operation: &'static str) -> Result<Reader<'_>, BrokerError> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|closed| unavailable(operation, false, closed))?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect(operation).await?,
        };
        Ok(Reader {
            connection: Some(connection),
            readers: self,
            _permit: permit,
        })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.config.path
    }

    /// A new one, to keep.
    pub(crate) async fn connect(&self, operation: &'static str) -> Result<SqliteConnection, BrokerError> {
        let connected = self.config.read_options().connect().await;
        connected.map_err(|error| broker_error(Some(&self.config.path), operation, None, error))
    }

    /// Closes those that nobody has on loan, and waits until they are.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // There is nothing left to do about one that cannot be closed.
            let _ = connection.close().await;
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.idle().push(connection);
        }
    }
}
