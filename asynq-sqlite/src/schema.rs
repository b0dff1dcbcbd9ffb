//! The tables, made and changed by numbered migrations.

use std::path::Path;

use asynq_core::BrokerError;
use sqlx::{Connection, Row, SqliteConnection};

use crate::error::broker_error;

const OPERATION: &str = "open";

/// In their order. A released one is never edited: another file is added.
const MIGRATIONS: [&str; 2] = [
    include_str!("migrations/0001_tasks.sql"),
    include_str!("migrations/0002_schedule.sql"),
];

/// How many migrations this version of the library knows.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

// Not `PRAGMA user_version`: there is one for the whole file, and when the file is the application's it is taken.
const CREATE_VERSION: &str = "CREATE TABLE IF NOT EXISTS asynq_schema (version INTEGER NOT NULL) STRICT";
const HAS_VERSION: &str =
    "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = 'asynq_schema'";
const READ_VERSION: &str = "SELECT coalesce(max(version), 0) FROM asynq_schema";
const WRITE_VERSION: &str = "DELETE FROM asynq_schema; INSERT INTO asynq_schema (version) VALUES (?1)";

/// Brings the file up to this version of the library. Several processes may do so at once.
///
/// # Errors
///
/// [`BrokerError::Config`] if a newer version of the library has been there.
pub(crate) async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), BrokerError> {
    let failed = |error| broker_error(Some(file), OPERATION, None, error);
    if version(connection).await.map_err(failed)? == VERSION {
        return Ok(());
    }
    // Read once more under the lock: another process may have been quicker.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = version(&mut transaction).await.map_err(failed)?;
    let missing = usize::try_from(found)
        .ok()
        .and_then(|known| MIGRATIONS.get(known..))
        .ok_or_else(|| newer(&format!("the file {}", file.display()), found))?;
    for migration in missing {
        sqlx::raw_sql(*migration)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    write_version(&mut transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Whether somebody else's connection is to a file with tables that this library knows.
///
/// # Errors
///
/// [`BrokerError::Config`] if it is not.
pub(crate) async fn check(connection: &mut SqliteConnection) -> Result<(), BrokerError> {
    let found = version(connection).await;
    match found.map_err(|error| broker_error(None, OPERATION, None, error))? {
        VERSION => Ok(()),
        found if found > VERSION => Err(newer("the file", found)),
        _ => Err(BrokerError::Config(
            "the file has no tables of asynq, or those of an older version: open it once with SqliteBroker::open".into(),
        )),
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let has_version: bool = sqlx::query(HAS_VERSION)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !has_version {
        return Ok(0);
    }
    sqlx::query(READ_VERSION).fetch_one(connection).await?.try_get(0)
}

async fn write_version(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query(CREATE_VERSION).execute(&mut *connection).await?;
    sqlx::query(WRITE_VERSION)
        .bind(VERSION)
        .execute(connection)
        .await?;
    Ok(())
}

fn newer(file: &str, found: i64) -> BrokerError {
    BrokerError::Config(format!(
        "the tables of {file} are of version {found}, this library knows up to {VERSION}: a newer version of asynq-sqlite \
         has used it; update this program, or give it a file of its own"
    ))
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![HAS_VERSION, READ_VERSION]
}
