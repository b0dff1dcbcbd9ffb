//! What the tests share.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use asynq_core::Clock;
use asynq_sqlite::SqliteBroker;
use asynq_sqlite::sqlx::{self, ConnectOptions, Row};

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is deleted when it is dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let name = format!("asynq-sqlite-{}", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("tasks.db")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static DIRS: std::cell::RefCell<Vec<TempDir>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// A folder that is deleted when the test ends: each test has a thread of its own.
pub(crate) fn dir_of_this_test() -> PathBuf {
    let dir = TempDir::new();
    let path = dir.path().to_owned();
    DIRS.with_borrow_mut(|dirs| dirs.push(dir));
    path
}

/// A broker with a new file that is deleted when the test ends.
pub(crate) async fn broker(clock: Arc<dyn Clock>) -> SqliteBroker {
    SqliteBroker::builder(dir_of_this_test().join("tasks.db"))
        .clock(clock)
        .open()
        .await
        .unwrap()
}

/// Drops a broker and waits until everything it had open is closed: SQLite deletes the log then.
pub(crate) async fn close(broker: SqliteBroker, path: &Path) {
    drop(broker);
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let closed = async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("the broker is closed with its last clone");
}

/// What SQLite says of a file; `ok` if nothing is wrong with it.
pub(crate) async fn integrity(file: &Path) -> String {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = options.connect().await.unwrap();
    let row = sqlx::query("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    row.get(0)
}
