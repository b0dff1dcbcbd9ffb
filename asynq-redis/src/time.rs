//! The time of the Redis server, known here without asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use asynq_core::{Clock, SystemClock, Timestamp};

/// Says what `TIME` on the server would answer now: a local monotonic clock plus an offset, which every answer that
/// carries the server's time corrects.
///
/// With a clock given by a test that clock is the server's time, in scripts too.
#[derive(Debug)]
pub(crate) struct ServerTime {
    given: Option<Arc<dyn Clock>>,
    origin: Instant,
    /// Server time at `origin`, in microseconds since the Unix epoch.
    offset: AtomicI64,
}

/// When a request was sent, on the local monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent(i64);

impl ServerTime {
    /// Shows the system time until the server has told its own.
    pub(crate) fn new(given: Option<Arc<dyn Clock>>) -> Self {
        ServerTime {
            given,
            origin: Instant::now(),
            offset: AtomicI64::new(SystemClock.now().unix_micros()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match &self.given {
            Some(clock) => clock.now(),
            None => Timestamp::from_unix_micros(self.offset.load(Ordering::Relaxed) + self.elapsed()),
        }
    }

    /// What scripts get as the time: nothing, so that they ask the server, or that of the given clock.
    pub(crate) fn script_argument(&self) -> String {
        match &self.given {
            Some(clock) => clock.now().unix_micros().to_string(),
            None => String::new(),
        }
    }

    pub(crate) fn sending(&self) -> Sent {
        Sent(self.elapsed())
    }

    /// Corrects the offset by a time that the server told between `sent` and now.
    ///
    /// The true offset lies between the two that follow from the server having answered at once and at the last
    /// moment. The one known so far stays if it does too, so a slow answer does no harm and drift is corrected.
    pub(crate) fn observe(&self, sent: Sent, told: Timestamp) {
        let lowest = told.unix_micros() - self.elapsed();
        let highest = told.unix_micros() - sent.0;
        let known = self.offset.load(Ordering::Relaxed);
        if lowest <= highest {
            self.offset.store(known.clamp(lowest, highest), Ordering::Relaxed);
        }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn follows_the_server_and_not_the_system_clock() {
        let time = ServerTime::new(None);
        let year_1990 = Timestamp::from_unix_seconds(631_152_000);

        time.observe(time.sending(), year_1990);

        assert!(time.now().saturating_since(year_1990) < Duration::from_secs(60));
    }

    #[test]
    fn an_offset_that_explains_the_answer_stays() {
        let time = ServerTime::new(None);
        let sent = Sent(time.elapsed() - 1_000_000);
        let before = time.offset.load(Ordering::Relaxed);

        time.observe(sent, time.now().saturating_sub(Duration::from_millis(400)));

        assert_eq!(time.offset.load(Ordering::Relaxed), before);
    }
}
