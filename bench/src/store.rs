//! Where the tasks of a measure are.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asynq_fixtures::RedisServer;
use asynq_server::{Broker, Client, connect};
use redis::aio::MultiplexedConnection;

use crate::Error;

/// Where the tasks are, and how many there are in a measure of throughput.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) store: Arc<Store>,
    pub(crate) tasks: usize,
}

pub(crate) enum Store {
    /// A server, and its process if it is one of our own.
    Redis(
        String,
        #[allow(dead_code, reason = "kept alive")] Option<RedisServer>,
    ),
    /// A folder of our own, whether each commit waits for the disk, and how many files there have been.
    Sqlite {
        folder: PathBuf,
        is_full: bool,
        files: AtomicUsize,
    },
}

impl Store {
    pub(crate) fn redis(url: Option<String>) -> Self {
        match url {
            Some(url) => Store::Redis(url, None),
            None => {
                let own = RedisServer::start();
                Store::Redis(own.url(), Some(own))
            }
        }
    }

    pub(crate) fn sqlite(is_full: bool) -> Result<Self, Error> {
        let folder = std::env::current_dir()?.join(format!("target/bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let files = AtomicUsize::new(0);
        Ok(Store::Sqlite {
            folder,
            is_full,
            files,
        })
    }

    pub(crate) fn is_redis(&self) -> bool {
        matches!(self, Store::Redis(..))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Store::Sqlite { folder, .. } = self {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Setting {
    /// How many tasks are in a measure that takes so many at once. One at a time is slow.
    pub(crate) fn tasks_at_once(&self, at_once: usize) -> usize {
        if at_once == 1 { self.tasks / 4 } else { self.tasks }
    }

    pub(crate) fn url(&self) -> String {
        match &*self.store {
            Store::Redis(url, _) => url.clone(),
            Store::Sqlite {
                folder,
                is_full,
                files,
            } => {
                let number = files.load(Ordering::Relaxed);
                let durability = if *is_full { "full" } else { "normal" };
                format!(
                    "sqlite://{}/tasks-{number}.db?durability={durability}",
                    folder.display()
                )
            }
        }
    }

    pub(crate) async fn broker(&self) -> Result<Arc<dyn Broker>, Error> {
        Ok(connect(&self.url()).await?)
    }

    pub(crate) async fn client(&self) -> Result<Client, Error> {
        Ok(Client::from_shared(self.broker().await?))
    }

    /// A client in the process of a server: on Redis with connections of its own; on SQLite it shares the broker's, as
    /// all of a process should.
    pub(crate) async fn client_beside(&self, broker: &Arc<dyn Broker>) -> Result<Client, Error> {
        match &*self.store {
            Store::Redis(..) => self.client().await,
            Store::Sqlite { .. } => Ok(Client::from_shared(broker.clone())),
        }
    }

    /// A connection to Redis, where that is where the tasks are.
    pub(crate) async fn redis(&self) -> Result<Option<MultiplexedConnection>, Error> {
        match &*self.store {
            Store::Redis(url, _) => {
                let client = redis::Client::open(url.as_str())?;
                Ok(Some(client.get_multiplexed_async_connection().await?))
            }
            Store::Sqlite { .. } => Ok(None),
        }
    }

    pub(crate) async fn empty(&self) -> Result<(), Error> {
        if let Some(mut redis) = self.redis().await? {
            redis::cmd("FLUSHDB").exec_async(&mut redis).await?;
        }
        if let Store::Sqlite { files, .. } = &*self.store {
            // Another file: the one of the last measure may still be about to be closed.
            files.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
