//! Names that may not be mixed up: parsed once at the border, trusted afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} {reason}")]
pub struct NameError {
    what: &'static str,
    name: String,
    reason: &'static str,
}

impl NameError {
    fn new(what: &'static str, name: &str, reason: &'static str) -> Self {
        // A hostile name may be huge: the error shows enough of it to be recognised.
        let name = if name.chars().count() > 64 {
            name.chars().take(64).chain("…".chars()).collect()
        } else {
            name.to_owned()
        };
        NameError { what, name, reason }
    }
}

const MAX_LENGTH: usize = 1024;

fn check(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::new(what, name, "is blank"));
    }
    if name.len() > MAX_LENGTH {
        return Err(NameError::new(what, name, "is longer than 1024 bytes"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `name` and takes it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                check($what, name)?;
                let refuse: fn(&str) -> Option<&'static str> = $check;
                match refuse(name) {
                    Some(reason) => Err(NameError::new($what, name, reason)),
                    None => Ok(Self(name.into())),
                }
            }

            /// Takes a name that a broker holds already, without checks: other programs may have put it there.
            pub fn from_stored(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }
    };
}

name! {
    /// The name of a queue: not blank, at most 1024 bytes, case-sensitive and never trimmed.
    ///
    /// A name must not start with `}` (on Redis Cluster its keys would fall into different slots) nor contain `}:`
    /// (its keys could be those of another queue). Go asynq refuses blank names only.
    QueueName, "queue name", |name| {
        if name.starts_with('}') {
            Some("starts with '}': its keys would be spread over slots of a Redis Cluster")
        } else if name.contains("}:") {
            Some("contains '}:': its keys could be those of another queue")
        } else {
            None
        }
    }
}

impl QueueName {
    /// The queue of a task that names none: `default`.
    pub fn default_queue() -> Self {
        static DEFAULT: std::sync::LazyLock<QueueName> =
            std::sync::LazyLock::new(|| QueueName("default".into()));
        DEFAULT.clone()
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self::default_queue()
    }
}

name! {
    /// The id of a task, unique within its queue: not blank, at most 1024 bytes. Without one of your own a task gets
    /// a random UUID.
    TaskId, "task id", |_| None
}

impl TaskId {
    /// A random UUID (version 4).
    pub fn random() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        let text: &str = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        TaskId(text.into())
    }
}

/// Checks the type of a task: not blank, at most 1024 bytes.
pub(crate) fn check_task_type(name: &str) -> Result<(), NameError> {
    check("task type", name)
}

name! {
    /// The name of a group of tasks that are merged into one: not blank, at most 1024 bytes.
    GroupName, "group name", |_| None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_names_are_refused() {
        for blank in ["", " ", "\t\n", "\u{3000}"] {
            assert!(QueueName::new(blank).is_err(), "{blank:?}");
            assert!(TaskId::new(blank).is_err(), "{blank:?}");
            assert!(check_task_type(blank).is_err(), "{blank:?}");
            assert!(GroupName::new(blank).is_err(), "{blank:?}");
        }
    }

    #[test]
    fn queue_names_that_break_redis_cluster_or_hit_keys_of_another_queue_are_refused() {
        assert!(QueueName::new("}low").is_err());
        assert!(QueueName::new("a}:t:b").is_err());
        for good in ["default", "low}", "a{b", "a:b", "t:x", "quée", "with space"] {
            assert!(QueueName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_huge_name_is_refused_with_a_short_error() {
        let error = TaskId::new("x".repeat(65_536)).unwrap_err();

        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn random_ids_are_uuids() {
        let id = TaskId::random();

        assert_eq!(uuid::Uuid::parse_str(id.as_str()).unwrap().get_version_num(), 4);
    }
}
