//! How long to wait before the next attempt.

use std::time::Duration;

use crate::outcome::TaskError;
use crate::task::RawTask;

/// Says how long a failed task waits before its next attempt. Go: `RetryDelayFunc`.
///
/// Any `Fn(u32, &TaskError, &RawTask) -> Duration` is one. A policy that panics counts as [`DefaultBackoff`].
pub trait RetryPolicy: Send + Sync + 'static {
    /// The delay after a failure. `retried` is the number of counted failures before this one.
    fn delay(&self, retried: u32, error: &TaskError, task: &RawTask) -> Duration;
}

impl<F> RetryPolicy for F
where
    F: Fn(u32, &TaskError, &RawTask) -> Duration + Send + Sync + 'static,
{
    fn delay(&self, retried: u32, error: &TaskError, task: &RawTask) -> Duration {
        self(retried, error, task)
    }
}

/// n⁴ + 15 + r·(n+1) seconds after n earlier failures, r random from 0 to 29: 15 to 44 s at first, four days before the
/// 25th retry. Go: `DefaultRetryDelayFunc`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultBackoff;

impl DefaultBackoff {
    /// The shortest and the longest delay after `retried` failures.
    pub fn range(retried: u32) -> (Duration, Duration) {
        let n = u64::from(retried);
        let base = n.saturating_pow(4).saturating_add(15);
        (
            Duration::from_secs(base),
            Duration::from_secs(base.saturating_add(29 * (n + 1))),
        )
    }
}

impl RetryPolicy for DefaultBackoff {
    fn delay(&self, retried: u32, _: &TaskError, _: &RawTask) -> Duration {
        let (shortest, longest) = DefaultBackoff::range(retried);
        let random = Duration::from_secs(fastrand::u64(0..30) * (u64::from(retried) + 1));
        shortest.saturating_add(random).min(longest)
    }
}

/// The same delay each time.
#[derive(Debug, Clone, Copy)]
pub struct FixedBackoff(pub Duration);

impl RetryPolicy for FixedBackoff {
    fn delay(&self, _: u32, _: &TaskError, _: &RawTask) -> Duration {
        self.0
    }
}

/// `base`, twice that, four times that and so on up to `max`, each shortened by up to `jitter` of itself at random, so
/// that tasks that failed together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use asynq_core::ExponentialBackoff;
///
/// let backoff = ExponentialBackoff::new(Duration::from_secs(2), Duration::from_secs(600)).jitter(0.2);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ExponentialBackoff {
    base: Duration,
    max: Duration,
    jitter: f64,
}

impl ExponentialBackoff {
    /// Doubles from `base` up to `max`, with a jitter of a tenth.
    pub fn new(base: Duration, max: Duration) -> Self {
        ExponentialBackoff {
            base,
            max,
            jitter: 0.1,
        }
    }

    /// The share of each delay that is left to chance, from 0 (none) to 1 (all); anything else is cut to that.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        };
        self
    }
}

impl RetryPolicy for ExponentialBackoff {
    fn delay(&self, retried: u32, _: &TaskError, _: &RawTask) -> Duration {
        let full = 2u32
            .checked_pow(retried)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.max, |delay| delay.min(self.max));
        full.mul_f64(1.0 - self.jitter * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delay(policy: impl RetryPolicy, retried: u32) -> Duration {
        policy.delay(retried, &TaskError::new("boom"), &RawTask::new("t", ""))
    }

    #[test]
    fn the_default_ranges_are_those_of_go_asynq() {
        let seconds = |n| {
            let (shortest, longest) = DefaultBackoff::range(n);
            (shortest.as_secs(), longest.as_secs())
        };

        assert_eq!(seconds(0), (15, 44));
        assert_eq!(seconds(1), (16, 74));
        assert_eq!(seconds(2), (31, 118));
        assert_eq!(seconds(5), (640, 814));
        assert_eq!(seconds(10), (10_015, 10_334));
        // n⁴ + 15 + 29·25: the longest of the last regular retry.
        assert_eq!(seconds(24), (331_791, 332_516));
    }

    proptest! {
        #[test]
        fn the_default_delay_stays_in_its_range(retried in any::<u32>()) {
            let (shortest, longest) = DefaultBackoff::range(retried);
            let delay = delay(DefaultBackoff, retried);
            prop_assert!(shortest <= delay && delay <= longest);
        }

        #[test]
        fn the_exponential_delay_never_exceeds_its_maximum_nor_falls_below_its_jitter(
            retried in any::<u32>(),
            base in 1u64..10_000,
            max in 1u64..10_000_000,
            jitter in 0.0f64..=1.0,
        ) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            let delay = delay(ExponentialBackoff::new(base, max).jitter(jitter), retried);
            prop_assert!(delay <= max);
            let full = if retried < 31 { base.saturating_mul(1 << retried).min(max) } else { max.min(base.saturating_mul(1 << 31)) };
            prop_assert!(delay + Duration::from_micros(1) >= full.mul_f64(1.0 - jitter));
        }
    }

    #[test]
    fn exponential_delays_double() {
        let policy = ExponentialBackoff::new(Duration::from_secs(2), Duration::from_secs(10)).jitter(0.0);

        assert_eq!([0, 1, 2, 3].map(|n| delay(policy, n).as_secs()), [2, 4, 8, 10]);
    }
}
