//! What the errors of Redis mean.

use std::sync::Arc;

use asynq_core::{BoxError, BrokerError, QueueName};
use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind, Value};

/// What went wrong with a call, and with the connection it went over.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: BrokerError,
    /// The connection is of no more use.
    pub(crate) drop_connection: bool,
    /// The connection broke. (As against an answer that did not come in time.)
    pub(crate) broken: bool,
}

/// Of a connection that could not be made: the call was not sent.
pub(crate) fn connect_error(operation: &'static str, error: RedisError) -> BrokerError {
    match means(&error_text(&error), error.kind()) {
        Meaning::Denied => BrokerError::Denied {
            operation,
            source: Arc::new(error),
        },
        Meaning::Other if names_no_database(&error) => {
            BrokerError::Config("the Redis server has no database of this number".to_owned())
        }
        _ => unavailable(operation, false, error),
    }
}

fn names_no_database(error: &RedisError) -> bool {
    let text = error.to_string();
    text.contains("DB index") || text.contains("switch database")
}

/// Of a call that was sent.
pub(crate) fn call_error(operation: &'static str, error: RedisError) -> CallError {
    let broken = !error.is_timeout();
    CallError {
        error: unavailable(operation, true, error),
        drop_connection: true,
        broken,
    }
}

/// Of a command that the server refused. `queue` is the one concerned, if it is clear.
pub(crate) fn server_error(
    operation: &'static str,
    queue: Option<&QueueName>,
    error: ServerError,
) -> BrokerError {
    let error = RedisError::from(error);
    let text = error_text(&error);
    match (means(&text, error.kind()), queue) {
        (Meaning::Unavailable, _) => unavailable(operation, false, error),
        (Meaning::Denied, _) => BrokerError::Denied {
            operation,
            source: Arc::new(error),
        },
        (Meaning::Full, _) => BrokerError::Full {
            operation,
            source: Arc::new(error),
        },
        (Meaning::Corrupt, Some(queue)) => corrupt(operation, queue, text),
        _ => BrokerError::Other {
            operation,
            source: Arc::new(error),
        },
    }
}

/// Whether the server that gave this error is not (any more) the one to talk to.
pub(crate) fn is_wrong_server(error: &ServerError) -> bool {
    matches!(
        error.kind(),
        Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
    )
}

pub(crate) fn is_missing_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// Whether the server does not know how to run a script that only reads, or the user may not: then it is run as others.
pub(crate) fn is_unknown_read_only_call(value: &Value) -> bool {
    matches!(value, Value::ServerError(error)
        if error.details().is_some_and(|text| text.to_ascii_lowercase().contains("evalsha_ro")))
}

/// Of a queue whose stored form is damaged; `text` is what a script found.
pub(crate) fn corrupt(operation: &'static str, queue: &QueueName, text: impl Into<String>) -> BrokerError {
    BrokerError::Corrupt {
        operation,
        queue: queue.clone(),
        reason: text.into(),
    }
}

/// Of an answer that is not what the script should give.
pub(crate) fn unexpected(operation: &'static str, value: &Value) -> BrokerError {
    let text = format!("{value:?}");
    let text: String = text.chars().take(200).collect();
    let source: BoxError = format!("unexpected answer {text}").into();
    BrokerError::Other {
        operation,
        source: source.into(),
    }
}

fn unavailable(operation: &'static str, maybe_applied: bool, error: RedisError) -> BrokerError {
    BrokerError::Unavailable {
        operation,
        maybe_applied,
        source: Arc::new(error),
    }
}

enum Meaning {
    Unavailable,
    Denied,
    Full,
    Corrupt,
    Other,
}

/// The error's code and details, without what the client library adds.
fn error_text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

/// Errors from within a script come with their own code in Redis 7 and wrapped in another text before.
fn means(text: &str, kind: ErrorKind) -> Meaning {
    const UNAVAILABLE: [&str; 8] = [
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "BUSY ",
        "NOREPLICAS",
        "max number of clients",
    ];
    const DENIED: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "invalid password"];
    let says = |code: &str| text.contains(code);
    if kind == ErrorKind::AuthenticationFailed || DENIED.into_iter().any(says) {
        Meaning::Denied
    } else if UNAVAILABLE.into_iter().any(says) {
        Meaning::Unavailable
    } else if says("WRONGTYPE") {
        Meaning::Corrupt
    } else if says("OOM command not allowed") || says("MISCONF") {
        Meaning::Full
    } else {
        Meaning::Other
    }
}
