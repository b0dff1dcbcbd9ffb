//! When an entry fires: specs as the standard parser of robfig/cron v3 takes them.
//!
//! `parse.rs` turns the text into sets of allowed values, `next.rs` finds the next moment that is in them. Both follow
//! robfig/cron rule by rule, odd ones too: Go asynq reads the same specs.

mod duration;
mod error;
mod field;
mod next;
mod parse;
mod zone;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use asynq_core::Timestamp;

pub use error::{SpecError, SpecErrorKind};
pub use zone::{UnknownZone, Zone};

#[cfg(feature = "yaml")]
pub(crate) use duration::parse_duration;

use field::Fields;

/// When an entry fires: five cron fields, a descriptor or `@every`, with a time zone if it names one.
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
/// use asynq_scheduler::{Spec, Zone};
///
/// let spec: Spec = "TZ=Europe/Paris 30 4 1,15 * fri".parse()?;
/// let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000); // Tuesday, 14 November 2023
/// let wednesday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_019_000);
/// assert_eq!(spec.next_after(start, &Zone::UTC), Some(wednesday)); // the 15th, 04:30 in Paris
///
/// let error = "0 25 * * *".parse::<Spec>().unwrap_err();
/// assert_eq!(error.to_string(), "hour \"25\": 25 is above 23; allowed is 0-23");
/// # Ok::<(), asynq_scheduler::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    text: Arc<str>,
    schedule: Schedule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Schedule {
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
    /// As in Go, `@every` counts from `time`. A [`Scheduler`](crate::Scheduler) fires such entries at multiples of their
    /// period instead, so that all schedulers agree.
    pub fn next_after(&self, time: SystemTime, zone: &Zone) -> Option<SystemTime> {
        self.next(time.into(), zone).map(SystemTime::from)
    }

    pub(crate) fn next(&self, time: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let seconds = match &self.schedule {
            Schedule::Every(period) => time
                .unix_seconds()
                .checked_add(i64::try_from(period.as_secs()).ok()?)?,
            Schedule::Fields { fields, zone: own } => {
                next::next(fields, own.as_ref().unwrap_or(zone), time.unix_seconds())?
            }
        };
        Some(Timestamp::from_unix_seconds(seconds))
    }

    /// The period, if this is `@every`.
    pub(crate) fn period(&self) -> Option<Duration> {
        match self.schedule {
            Schedule::Every(period) => Some(period),
            Schedule::Fields { .. } => None,
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
