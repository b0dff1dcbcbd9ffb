//! Where the tests keep tasks that several processes or connections share.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use asynq_fixtures::{RedisOptions, RedisServer};
use uuid::Uuid;

/// A place of its own for a broker, gone when it is dropped.
pub(crate) struct Place {
    pub(crate) url: String,
    /// What keeps it.
    pub(crate) keeper: Keeper,
}

pub(crate) enum Keeper {
    Redis(RedisServer),
    Sqlite(Dir),
}

impl Place {
    /// A server that keeps everything when it is killed.
    pub(crate) fn redis() -> Self {
        let server = RedisServer::start_with(RedisOptions {
            append_only: true,
            ..RedisOptions::default()
        });
        Place {
            url: server.url(),
            keeper: Keeper::Redis(server),
        }
    }

    pub(crate) fn sqlite() -> Self {
        let dir = Dir::new();
        Place {
            url: format!("sqlite://{}", dir.file("tasks.db").display()),
            keeper: Keeper::Sqlite(dir),
        }
    }
}

/// A folder.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("asynq-scheduler-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
