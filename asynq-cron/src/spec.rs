use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::field::Fields;
use crate::{SpecError, Zone, next, parse};

/// When something fires: five cron fields, a descriptor or `@every`, with a time zone if it names one.
///
/// ```text
/// [TZ=Europe/Paris] minute hour day-of-month month day-of-week
/// [TZ=Europe/Paris] @yearly | @annually | @monthly | @weekly | @daily | @midnight | @hourly
/// @every 1h30m
/// ```
///
/// Fields are lists of `*`, `?`, `5`, `1-5`, `*/2`, `5/2` (from 5 on) and `1-5/2`; months and weekdays have names of three
/// letters, and Sunday is 0. If both day fields are restricted a day needs to match only one of them.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use asynq_cron::{Spec, Zone};
///
/// let spec: Spec = "TZ=Europe/Paris 30 4 1,15 * fri".parse()?;
/// let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000); // Tuesday, 14 November 2023
/// let wednesday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_019_000);
/// assert_eq!(spec.next_after(start, &Zone::UTC), Some(wednesday)); // the 15th, 04:30 in Paris
///
/// let error = "0 25 * * *".parse::<Spec>().unwrap_err();
/// assert_eq!(error.to_string(), "hour \"25\": 25 is above 23; allowed is 0-23");
/// # Ok::<(), asynq_cron::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    text: Arc<str>,
    schedule: Schedule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    Fields {
        fields: Fields,
        zone: Option<Zone>,
    },
    /// Whole seconds, at least one.
    Every(Duration),
}

impl Spec {
    /// The first moment after `time` at which this fires, or none within five years. Fields without a zone of their own are
    /// read in `zone`. Go: `Schedule.Next`.
    ///
    /// As in Go, `@every` counts from `time`, and what is below a second of it is left out.
    pub fn next_after(&self, time: SystemTime, zone: &Zone) -> Option<SystemTime> {
        let next = self.next_after_unix(unix_seconds(time)?, zone)?;
        let distance = Duration::from_secs(next.unsigned_abs());
        if next < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    }

    /// As [`Spec::next_after`], in seconds since 1970.
    pub fn next_after_unix(&self, seconds: i64, zone: &Zone) -> Option<i64> {
        match &self.schedule {
            Schedule::Every(period) => seconds.checked_add(i64::try_from(period.as_secs()).ok()?),
            Schedule::Fields { fields, zone: own } => {
                next::next(fields, own.as_ref().unwrap_or(zone), seconds)
            }
        }
    }

    /// The period, if this is `@every`: whole seconds, at least one.
    pub fn period(&self) -> Option<Duration> {
        match self.schedule {
            Schedule::Every(period) => Some(period),
            Schedule::Fields { .. } => None,
        }
    }

    /// The zone that the spec itself names, if it does.
    pub fn zone(&self) -> Option<Zone> {
        match self.schedule {
            Schedule::Every(_) => None,
            Schedule::Fields { zone, .. } => zone,
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Ok(Spec {
            schedule: parse::parse(text)?,
            text: text.into(),
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Rounded down.
fn unix_seconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok(),
        Err(before) => {
            let before = before.duration();
            let seconds = before
                .as_secs()
                .checked_add(u64::from(before.subsec_nanos() > 0))?;
            0_i64.checked_sub_unsigned(seconds)
        }
    }
}
