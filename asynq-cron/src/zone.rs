use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

/// A time zone of the IANA database, which is compiled in. UTC unless told otherwise.
///
/// ```
/// use asynq_cron::Zone;
///
/// let zone: Zone = "Europe/Paris".parse()?;
/// assert_eq!(zone.to_string(), "Europe/Paris");
/// # Ok::<(), asynq_cron::UnknownZone>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// No time zone has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone(String);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(Tz::UTC);

    /// What the clocks of the zone show.
    pub(crate) fn civil(self, seconds: i64) -> Option<Civil> {
        let utc = DateTime::from_timestamp(seconds, 0)?.naive_utc();
        let offset = self.0.offset_from_utc_datetime(&utc).fix();
        let time = utc.checked_add_offset(offset)?;
        Some(Civil {
            year: time.year(),
            month: time.month(),
            day: time.day(),
            hour: time.hour(),
            minute: time.minute(),
            second: time.second(),
            weekday: time.weekday().num_days_from_sunday(),
        })
    }

    /// The moment at which the clocks show this, or one nearby if they never do. Months may be one too many, days any
    /// number. Go: `time.Date`.
    pub(crate) fn moment(self, year: i32, month: u32, day: u32, second_of_day: u32) -> Option<i64> {
        let (year, month) = if month > 12 {
            (year.checked_add(1)?, month - 12)
        } else {
            (year, month)
        };
        let first: NaiveDateTime = NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0)?;
        let civil = first.and_utc().timestamp() + i64::from(day - 1) * 86_400 + i64::from(second_of_day);
        // Go looks the offset up as if the civil time were UTC, and again at what follows from that. In a gap or an
        // overlap this decides which of two moments it is.
        match self.offset(civil)? {
            0 => Some(civil),
            first => Some(civil - self.offset(civil - first)?),
        }
    }

    fn offset(self, seconds: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp(seconds, 0)?.naive_utc();
        let offset = self.0.offset_from_utc_datetime(&utc).fix();
        Some(offset.local_minus_utc().into())
    }
}

/// What clocks show.
pub(crate) struct Civil {
    pub(crate) year: i32,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    /// Sunday is 0.
    pub(crate) weekday: u32,
}

impl Civil {
    pub(crate) fn second_of_day(&self) -> u32 {
        self.hour * 3_600 + self.minute * 60 + self.second
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone::UTC
    }
}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        write!(
            f,
            "unknown time zone {name:?}; expected a name such as Europe/Paris"
        )
    }
}

impl std::error::Error for UnknownZone {}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(name.chars().take(64).collect());
        name.parse().map(Zone).map_err(|_| unknown())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}
