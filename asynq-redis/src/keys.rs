//! The name of every key. They are those of Go asynq; no other module spells one out.

use std::fmt::Write as _;

use asynq_core::{GroupName, QueueName, TaskId, Timestamp};
use md5::{Digest, Md5};

/// SET of the names of all queues.
pub(crate) const QUEUES: &str = "asynq:queues";
/// ZSET of the [`server`] keys of all servers, by the second they expire.
pub(crate) const SERVERS: &str = "asynq:servers";
/// ZSET of the [`workers`] keys of all servers, by the second they expire.
pub(crate) const WORKERS: &str = "asynq:workers";
/// ZSET of the [`scheduler`] keys of all schedulers, by the second they expire.
pub(crate) const SCHEDULERS: &str = "asynq:schedulers";
/// Channel on which the ids of tasks to be cancelled are published.
pub(crate) const CANCEL_CHANNEL: &str = "asynq:cancel";

/// STRING with what is shown of a server.
pub(crate) fn server(id: &str) -> String {
    format!("asynq:servers:{{{id}}}")
}

/// HASH of task id to what is shown of the worker that runs it.
pub(crate) fn workers(id: &str) -> String {
    format!("asynq:workers:{{{id}}}")
}

/// The [`workers`] key that belongs to a [`server`] key.
pub(crate) fn workers_of(server_key: &str) -> String {
    server_key.replacen("asynq:servers:", "asynq:workers:", 1)
}

/// LIST of what is shown of the entries of a scheduler, the one registered last first.
pub(crate) fn scheduler(id: &str) -> String {
    format!("asynq:schedulers:{{{id}}}")
}

/// ZSET of what was enqueued for an entry of a scheduler, by the second it was.
pub(crate) fn schedule_history(entry: &str) -> String {
    format!("asynq:scheduler_history:{entry}")
}

/// The keys of one queue. All have the queue's name as hash tag, so they are in one slot of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct QueueKeys {
    prefix: String,
}

impl QueueKeys {
    pub(crate) fn new(queue: &QueueName) -> Self {
        QueueKeys {
            prefix: format!("asynq:{{{queue}}}:"),
        }
    }

    /// What all of them begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn with(&self, rest: &str) -> String {
        let mut key = String::with_capacity(self.prefix.len() + rest.len());
        key.push_str(&self.prefix);
        key.push_str(rest);
        key
    }

    /// LIST of ids, taken from its tail.
    pub(crate) fn pending(&self) -> String {
        self.with("pending")
    }

    /// LIST of ids, pushed at its head.
    pub(crate) fn active(&self) -> String {
        self.with("active")
    }

    /// ZSET of ids by the end of their lease, see [`crate::lease`].
    pub(crate) fn lease(&self) -> String {
        self.with("lease")
    }

    /// ZSET of ids by the second they are due.
    pub(crate) fn scheduled(&self) -> String {
        self.with("scheduled")
    }

    /// ZSET of ids by the second they are due.
    pub(crate) fn retry(&self) -> String {
        self.with("retry")
    }

    /// ZSET of ids by the second they were archived.
    pub(crate) fn archived(&self) -> String {
        self.with("archived")
    }

    /// ZSET of ids by the second their retention ends.
    pub(crate) fn completed(&self) -> String {
        self.with("completed")
    }

    /// STRING that exists while the queue is paused.
    pub(crate) fn paused(&self) -> String {
        self.with("paused")
    }

    /// STRING with the number of attempts ever.
    pub(crate) fn processed(&self) -> String {
        self.with("processed")
    }

    /// STRING with the number of failed attempts ever.
    pub(crate) fn failed(&self) -> String {
        self.with("failed")
    }

    /// STRING with the number of attempts on a day (UTC).
    pub(crate) fn processed_on(&self, day: &str) -> String {
        format!("{}processed:{day}", self.prefix)
    }

    /// STRING with the number of failed attempts on a day (UTC).
    pub(crate) fn failed_on(&self, day: &str) -> String {
        format!("{}failed:{day}", self.prefix)
    }

    /// SET of the names of groups that have waiting tasks.
    pub(crate) fn groups(&self) -> String {
        self.with("groups")
    }

    /// What the key of each group begins with.
    pub(crate) fn group_prefix(&self) -> String {
        self.with("g:")
    }

    /// ZSET of ids waiting in a group, by the second they came.
    pub(crate) fn group(&self, group: &GroupName) -> String {
        format!("{}g:{group}", self.prefix)
    }

    /// ZSET of ids sealed in a set, by the second they came to their group.
    pub(crate) fn aggregation_set(&self, group: &GroupName, set: &str) -> String {
        format!("{}g:{group}:{set}", self.prefix)
    }

    /// ZSET of the keys of all sets, by the second they go back to their group.
    pub(crate) fn aggregation_sets(&self) -> String {
        self.with("aggregation_sets")
    }

    /// What the key of each task begins with.
    pub(crate) fn task_prefix(&self) -> String {
        self.with("t:")
    }

    /// HASH with all that is stored about a task.
    pub(crate) fn task(&self, id: &TaskId) -> String {
        format!("{}t:{id}", self.prefix)
    }

    /// STRING with the last tick of an entry, in microseconds. Go does not know it. It is in the slot of the queue, so that a
    /// script can set it and store the task of the tick in one step.
    pub(crate) fn last_tick(&self, entry: &str) -> String {
        format!("{}tick:{entry}", self.prefix)
    }

    /// What the key of each uniqueness lock begins with.
    pub(crate) fn unique_prefix(&self) -> String {
        self.with("unique:")
    }

    /// STRING with the id of the task that locks out others of its type and payload.
    ///
    /// Go: `base.UniqueKey`. Without payload there is no hash at the end.
    pub(crate) fn unique(&self, task_type: &str, payload: &[u8]) -> String {
        let mut key = format!("{}unique:{task_type}:", self.prefix);
        if !payload.is_empty() {
            for byte in Md5::digest(payload) {
                // Writing to a string cannot fail.
                let _ = write!(key, "{byte:02x}");
            }
        }
        key
    }
}

/// The day of a moment in UTC, such as `2024-02-29`, as in the names of the daily counters.
pub(crate) fn day(time: Timestamp) -> String {
    let (year, month, day) = civil_from_days(time.unix_seconds().div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Howard Hinnant's `civil_from_days`: the Gregorian date that is so many days after 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years begin in March here, so that the leap day is the last.
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Escapes what `SCAN … MATCH` would take for a pattern.
pub(crate) fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> QueueKeys {
        QueueKeys::new(&QueueName::new("q").unwrap())
    }

    #[test]
    fn unique_keys_are_those_of_go() {
        assert_eq!(keys().unique("t", b""), "asynq:{q}:unique:t:");
        assert_eq!(
            keys().unique("t", b"hello"),
            "asynq:{q}:unique:t:5d41402abc4b2a76b9719d911017c592"
        );
    }

    #[test]
    fn task_group_and_counter_keys_are_those_of_go() {
        let id = TaskId::new("a:b").unwrap();
        let group = GroupName::new("g1").unwrap();

        assert_eq!(keys().task(&id), "asynq:{q}:t:a:b");
        assert_eq!(keys().group(&group), "asynq:{q}:g:g1");
        assert_eq!(keys().aggregation_set(&group, "s"), "asynq:{q}:g:g1:s");
        assert_eq!(
            keys().processed_on("2024-02-29"),
            "asynq:{q}:processed:2024-02-29"
        );
    }

    #[test]
    fn days_are_those_of_the_gregorian_calendar_in_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (4_102_444_799, "2099-12-31"),
        ] {
            assert_eq!(day(Timestamp::from_unix_seconds(seconds)), expected);
        }
    }

    proptest! {
        #[test]
        fn different_names_have_different_keys(
            first in ("[a{}:t*]{1,6}", "[a{}:tg]{1,6}"),
            second in ("[a{}:t*]{1,6}", "[a{}:tg]{1,6}"),
        ) {
            let key = |(queue, id): &(String, String)| {
                Some(QueueKeys::new(&QueueName::new(queue).ok()?).task(&TaskId::new(id).ok()?))
            };
            if let (Some(one), Some(other)) = (key(&first), key(&second)) {
                prop_assert_eq!(one == other, first == second);
            }
        }

        #[test]
        fn no_name_is_a_pattern_once_escaped(name in "[a*?^\\[\\]\\\\-]{0,8}") {
            let escaped = escape_glob(&name);
            let special = |text: &str| text.chars().filter(|c| !matches!(c, 'a')).count();
            // Each special character has got one backslash.
            prop_assert_eq!(escaped.len(), name.len() + special(&name));
        }
    }
}
