//! What the errors of SQLite mean.

use std::path::Path;
use std::sync::Arc;

use asynq_core::{BoxError, BrokerError, QueueName};
use sqlx::Error;

use crate::reserve::is_full;

/// What an error means, and what is to be done about the connection that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Somebody else holds the lock.
    Locked,
    /// The file system has no room left.
    Full,
    /// The file, or its folder, must not be written.
    ReadOnly,
    /// The file is not what it should be.
    Damaged,
    /// The file system failed, or the connection did. Another connection may do better.
    Broken,
    Other,
}

/// The low byte of SQLite's result codes; the rest says more about it.
pub(crate) fn meaning(error: &Error) -> Meaning {
    const BUSY: i64 = 5;
    const LOCKED: i64 = 6;
    const PERMISSION: i64 = 3;
    const READ_ONLY: i64 = 8;
    const INPUT_OUTPUT: i64 = 10;
    const CORRUPT: i64 = 11;
    const FULL: i64 = 13;
    const CANNOT_OPEN: i64 = 14;
    const NO_DATABASE: i64 = 26;
    let Some(code) = code(error) else {
        return match error {
            Error::Io(error) if is_full(error) => Meaning::Full,
            Error::WorkerCrashed | Error::Io(_) => Meaning::Broken,
            _ => Meaning::Other,
        };
    };
    // The file whose memory processes share cannot be made longer.
    const SHARED_MEMORY_SIZE: i64 = INPUT_OUTPUT | 19 << 8;
    if code == SHARED_MEMORY_SIZE {
        return Meaning::Full;
    }
    match code & 0xff {
        BUSY | LOCKED => Meaning::Locked,
        PERMISSION | READ_ONLY => Meaning::ReadOnly,
        FULL => Meaning::Full,
        CORRUPT | NO_DATABASE => Meaning::Damaged,
        INPUT_OUTPUT | CANNOT_OPEN => Meaning::Broken,
        _ => Meaning::Other,
    }
}

fn code(error: &Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Of a call that failed. `queue` is the one concerned, if there is only one; `file` is left out where it is not known.
pub(crate) fn broker_error(
    file: Option<&Path>,
    operation: &'static str,
    queue: Option<&QueueName>,
    error: impl Into<Arc<Error>>,
) -> BrokerError {
    let error = error.into();
    match (meaning(&error), queue) {
        (Meaning::Locked, _) => unavailable(operation, false, explained(locked(file), error)),
        (Meaning::Broken, _) => unavailable(operation, true, error),
        (Meaning::Full, _) => BrokerError::Full {
            operation,
            source: error,
        },
        (Meaning::ReadOnly, _) => BrokerError::Denied {
            operation,
            source: Arc::from(explained(read_only(file), error)),
        },
        (Meaning::Damaged, Some(queue)) => BrokerError::Corrupt {
            operation,
            queue: queue.clone(),
            reason: explained(damaged(file), error).to_string(),
        },
        (Meaning::Damaged, None) => BrokerError::Other {
            operation,
            source: Arc::from(explained(damaged(file), error)),
        },
        (Meaning::Other, _) => BrokerError::Other {
            operation,
            source: error,
        },
    }
}

fn locked(file: Option<&Path>) -> String {
    format!(
        "another program keeps {} locked: it should end its transactions soon",
        the(file)
    )
}

fn read_only(file: Option<&Path>) -> String {
    format!(
        "{} is read-only: the process needs to write to it and to its folder",
        the(file)
    )
}

fn damaged(file: Option<&Path>) -> String {
    format!(
        "{} is damaged, or is no SQLite database: stop what uses it, and restore a copy or save what can be read with \
         `sqlite3 FILE .recover`",
        the(file)
    )
}

fn the(file: Option<&Path>) -> String {
    file.map_or_else(
        || "the file".to_owned(),
        |file| format!("the file {}", file.display()),
    )
}

pub(crate) fn unavailable(
    operation: &'static str,
    maybe_applied: bool,
    source: impl Into<BoxError>,
) -> BrokerError {
    BrokerError::Unavailable {
        operation,
        maybe_applied,
        source: Arc::from(source.into()),
    }
}

fn explained(what: String, error: Arc<Error>) -> BoxError {
    format!("{what} ({error})").into()
}
