//! The end of uniqueness locks on Redis.
//!
//! They end by the server's own clock, which no test can move: so the part of Redis is played here. What end Redis was
//! given is checked, then taken away, and the lock is deleted when the moved clock has reached it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use asynq_core::Timestamp;
use redis::{Connection, Script};

use crate::reference::Model;
use crate::system::queue;

/// The server counts milliseconds, and begins one before we do.
const LEEWAY: Duration = Duration::from_millis(2);

const HOLD: &str = "
    local found = {}
    for _, key in ipairs(redis.call('KEYS', '*:unique:*')) do
        found[#found + 1] = {key, redis.call('GET', key), redis.call('PTTL', key)}
        redis.call('PERSIST', key)
    end
    return found";

pub(crate) struct Locks {
    connection: Connection,
    hold: Script,
    ends: HashMap<String, Timestamp>,
}

impl Locks {
    /// Of an empty database.
    pub(crate) fn new(connection: Connection) -> Self {
        Locks {
            connection,
            hold: Script::new(HOLD),
            ends: HashMap::new(),
        }
    }

    /// Empties the database.
    pub(crate) fn flush(&mut self) -> redis::RedisResult<()> {
        self.ends.clear();
        redis::cmd("FLUSHDB").exec(&mut self.connection)
    }

    /// Compares the locks with those of the model, and takes them over. `since`: when the operation began.
    pub(crate) fn check(&mut self, model: &Model, since: Instant) -> Result<(), String> {
        let found: Vec<(String, String, i64)> = self
            .hold
            .invoke(&mut self.connection)
            .map_err(|error| format!("the locks on Redis: {error}"))?;
        let held: Vec<_> = model.locks().collect();
        if found.len() != held.len() {
            return Err(format!(
                "locks on Redis: {found:?}; expected queue, holder and end of {held:?}"
            ));
        }
        for (key, holder, left) in &found {
            let end = held.iter().find(|(number, id, end)| {
                let is_same = key.contains(&format!("{{{}}}", queue(*number))) && *holder == id.to_string();
                is_same
                    && (*left == -1 && self.ends.get(key) == Some(end)
                        || is_left(*left, *end, model.now(), since))
            });
            let Some((_, _, end)) = end else {
                return Err(format!(
                    "the lock {key} on Redis is held by {holder:?} for {left} ms; expected queue, holder and end of {held:?}"
                ));
            };
            self.ends.insert(key.clone(), *end);
        }
        Ok(())
    }

    /// Deletes those that have ended.
    pub(crate) fn end(&mut self, now: Timestamp) -> redis::RedisResult<()> {
        let ended: Vec<String> = self
            .ends
            .extract_if(|_, end| *end <= now)
            .map(|(key, _)| key)
            .collect();
        if ended.is_empty() {
            return Ok(());
        }
        redis::cmd("DEL").arg(&ended).exec(&mut self.connection)
    }
}

/// Whether so many milliseconds are what is left until `end`, less the real time that has passed.
fn is_left(left: i64, end: Timestamp, now: Timestamp, since: Instant) -> bool {
    let expected = end.saturating_since(now);
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
    left <= expected + LEEWAY && left + since.elapsed() + LEEWAY >= expected
}
