//! Time: a [`Timestamp`] that brokers agree on, and the [`Clock`] it is read from.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, as microseconds since the Unix epoch.
///
/// Microseconds are what Redis answers to `TIME`. Arithmetic saturates, so no input from outside can overflow it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// The latest moment that can be told.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From microseconds since the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// From whole seconds since the Unix epoch.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Timestamp(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Whole seconds since the Unix epoch, rounded up: the first second in which this moment has passed.
    pub const fn unix_seconds_ceil(self) -> i64 {
        let floor = self.unix_seconds();
        if self.0.rem_euclid(MICROS_PER_SECOND) == 0 {
            floor
        } else {
            floor + 1
        }
    }

    /// This moment plus `duration`, or [`Timestamp::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(micros(duration)))
    }

    /// This moment minus `duration`, or the earliest moment that can be told.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_sub(micros(duration)))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Seconds since the Unix epoch with six digits after the point, such as `1700000000.250000`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.unix_seconds(),
            self.0.rem_euclid(MICROS_PER_SECOND)
        )
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(micros(after)),
            Err(before) => Timestamp(-micros(before.duration())),
        }
    }
}

/// A moment before or after what [`SystemTime`] can hold becomes the Unix epoch.
impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        let distance = Duration::from_micros(timestamp.0.unsigned_abs());
        let time = if timestamp.0 >= 0 {
            UNIX_EPOCH.checked_add(distance)
        } else {
            UNIX_EPOCH.checked_sub(distance)
        };
        time.unwrap_or(UNIX_EPOCH)
    }
}

/// Where the time comes from. Nothing else in these crates reads the system time.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else asks"
    )]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// Starts at the system time and goes on with tokio's clock, so a test that pauses or advances tokio's time moves it
/// too. Without paused time it never jumps, whatever happens to the system time.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: tokio::time::Instant,
    origin_time: Timestamp,
}

impl TokioClock {
    /// A clock that shows the system time now.
    pub fn new() -> Self {
        Self::starting_at(SystemClock.now())
    }

    /// A clock that shows `time` now.
    pub fn starting_at(time: Timestamp) -> Self {
        TokioClock {
            origin: tokio::time::Instant::now(),
            origin_time: time,
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.origin_time.saturating_add(self.origin.elapsed())
    }
}

/// A clock that stands still until it is told to move. For tests.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::at(Timestamp::from_unix_seconds(1_700_000_000));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now().unix_seconds(), 1_700_000_005);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `time`.
    pub fn at(time: Timestamp) -> Self {
        ManualClock(Mutex::new(time))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *now = now.saturating_add(by);
    }

    /// Moves the clock to `time`, which may be in its past.
    pub fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_and_up() {
        let whole = Timestamp::from_unix_seconds(7);
        let half = Timestamp::from_unix_micros(7_500_000);

        assert_eq!((whole.unix_seconds(), whole.unix_seconds_ceil()), (7, 7));
        assert_eq!((half.unix_seconds(), half.unix_seconds_ceil()), (7, 8));
    }

    #[test]
    fn times_before_the_epoch_survive_the_way_to_system_time_and_back() {
        let before = Timestamp::from_unix_micros(-1_500_000);

        assert_eq!(Timestamp::from(SystemTime::from(before)), before);
        assert_eq!(before.unix_seconds(), -2);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH.saturating_since(Timestamp::MAX), Duration::ZERO);
    }
}
