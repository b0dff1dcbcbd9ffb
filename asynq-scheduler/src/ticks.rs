//! Which ticks of an entry are due. Pure: all schedulers come to the same answer.

use std::time::Duration;

use asynq_core::{Missed, Timestamp};
use asynq_cron::{Spec, Zone};

/// No more ticks than this are enqueued in one go, whatever is asked for.
const MOST: usize = 10_000;

/// When an entry fires, the same for all schedulers.
#[derive(Debug, Clone)]
pub(crate) struct Ticks {
    pub(crate) spec: Spec,
    pub(crate) zone: Zone,
}

/// What is to be enqueued now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The ticks, oldest first.
    pub(crate) ticks: Vec<Timestamp>,
    /// There were others that are left out.
    pub(crate) leaves_out: bool,
}

impl Ticks {
    /// The first tick after a moment.
    ///
    /// `@every` fires at multiples of its period since 1970: counted from each scheduler's start, as in Go, no two would
    /// agree on a tick, and a daily entry would never fire in a program that is deployed twice a day.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let next = match self.spec.period() {
            None => self.counted_next(after)?,
            Some(period) => {
                let period = i64::try_from(period.as_secs()).ok()?;
                let number = after.unix_seconds().div_euclid(period).checked_add(1)?;
                Timestamp::from_unix_seconds(number.checked_mul(period)?)
            }
        };
        // At the end of time there is none.
        (next > after).then_some(next)
    }

    /// The first tick after a moment as Go has it: `@every` counts from that moment.
    pub(crate) fn counted_next(&self, after: Timestamp) -> Option<Timestamp> {
        let seconds = self.spec.next_after_unix(after.unix_seconds(), &self.zone)?;
        Some(Timestamp::from_unix_seconds(seconds))
    }

    /// The ticks after `last` up to `now` that are to be enqueued. Those no older than `grace` are on time.
    pub(crate) fn due(&self, last: Timestamp, now: Timestamp, grace: Duration, missed: Missed) -> Due {
        let on_time_after = now.saturating_sub(grace).max(last);
        let on_time = self.latest(on_time_after, now, MOST);
        let wanted = match missed {
            Missed::Skip => 0,
            Missed::RunOnce => usize::from(on_time.is_empty()),
            Missed::RunAll { limit } => limit.min(MOST),
        };
        // One more than wanted, to see whether there are more.
        let mut ticks = self.latest(last, on_time_after, wanted + 1);
        let leaves_out = ticks.len() > wanted;
        if leaves_out {
            ticks.remove(0);
        }
        ticks.extend(on_time);
        Due { ticks, leaves_out }
    }

    /// The latest ticks after `start` up to `end`, oldest first. Looks back from the end, further and further, so that it
    /// takes about as long after a year as after a minute.
    fn latest(&self, start: Timestamp, end: Timestamp, limit: usize) -> Vec<Timestamp> {
        if limit == 0 || end <= start {
            return Vec::new();
        }
        let mut window = Duration::from_secs(60);
        loop {
            let from = end.saturating_sub(window).max(start);
            let mut found = self.within(from, end, limit);
            if found.len() >= limit || from <= start {
                let surplus = found.len().saturating_sub(limit);
                return found.split_off(surplus);
            }
            window = window.saturating_mul(2);
        }
    }

    fn within(&self, start: Timestamp, end: Timestamp, limit: usize) -> Vec<Timestamp> {
        let mut found = std::collections::VecDeque::new();
        let mut at = start;
        while let Some(tick) = self.next(at).filter(|tick| *tick <= end) {
            if found.len() == limit {
                found.pop_front();
            }
            found.push_back(tick);
            at = tick;
        }
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(spec: &str) -> Ticks {
        Ticks {
            spec: spec.parse().unwrap(),
            zone: Zone::UTC,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    const GRACE: Duration = Duration::from_secs(10);

    fn due(spec: &str, last: i64, now: i64, missed: Missed) -> (Vec<i64>, bool) {
        let due = ticks(spec).due(at(last), at(now), GRACE, missed);
        let seconds = due.ticks.into_iter().map(Timestamp::unix_seconds).collect();
        (seconds, due.leaves_out)
    }

    #[test]
    fn periods_are_counted_from_the_epoch() {
        assert_eq!(ticks("@every 90s").next(at(100)), Some(at(180)));
        assert_eq!(ticks("@every 90s").next(at(180)), Some(at(270)));
        assert_eq!(
            ticks("@every 1s").next(Timestamp::from_unix_micros(1)),
            Some(at(1))
        );
        assert_eq!(ticks("@every 1s").next(Timestamp::MAX), None);
    }

    #[test]
    fn ticks_on_time_are_due_whatever_the_policy() {
        for missed in [Missed::Skip, Missed::RunOnce, Missed::RunAll { limit: 5 }] {
            assert_eq!(due("@every 1s", 997, 1000, missed), (vec![998, 999, 1000], false));
            assert_eq!(due("@every 60s", 960, 1019, missed), (vec![], false));
        }
    }

    #[test]
    fn missed_ticks_are_skipped_run_once_or_run_up_to_a_limit() {
        assert_eq!(due("@every 60s", 600, 1000, Missed::Skip), (vec![], true));
        assert_eq!(due("@every 60s", 600, 1000, Missed::RunOnce), (vec![960], true));
        let all = |limit| due("@every 60s", 600, 1000, Missed::RunAll { limit });
        assert_eq!(all(99), (vec![660, 720, 780, 840, 900, 960], false));
        assert_eq!(all(2), (vec![900, 960], true));
        assert_eq!(all(0), (vec![], true));
    }

    #[test]
    fn a_tick_that_is_due_now_makes_up_for_missed_ones_if_one_is_to_be_run() {
        assert_eq!(due("@every 60s", 600, 961, Missed::RunOnce), (vec![960], true));
    }

    #[test]
    fn years_of_missed_ticks_are_found_quickly() {
        let ten_years = 315_360_000;
        let begun = std::time::Instant::now();

        assert_eq!(
            due("* * * * *", 0, ten_years + 30, Missed::RunOnce).0,
            [ten_years]
        );
        assert_eq!(
            due("0 0 1 1 *", 0, ten_years, Missed::RunAll { limit: 99 })
                .0
                .len(),
            9
        );
        assert_eq!(due("0 0 30 2 *", 0, ten_years, Missed::RunOnce), (vec![], false));

        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
