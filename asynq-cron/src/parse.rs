//! The text of a spec. Follows `Parser.Parse` of robfig/cron v3 with the options of its standard parser.

use std::time::Duration;

use crate::duration::parse_duration;
use crate::field::{Bounds, DAY, Fields, HOUR, MINUTE, MONTH, Set, WEEKDAY};
use crate::spec::Schedule;
use crate::{SpecError, SpecErrorKind, Zone};

pub(crate) fn parse(spec: &str) -> Result<Schedule, SpecError> {
    if spec.is_empty() {
        return Err(SpecError::new(SpecErrorKind::Empty, spec, spec));
    }
    let (zone, rest) = split_zone(spec)?;
    let fields = if rest.starts_with('@') {
        if let Some(period) = rest.strip_prefix("@every ") {
            return every(spec, period);
        }
        descriptor(rest).ok_or_else(|| SpecError::new(SpecErrorKind::UnknownDescriptor, spec, rest))?
    } else {
        rest
    };
    Ok(Schedule::Fields {
        fields: parse_fields(spec, fields)?,
        zone,
    })
}

/// The zone, if it is not that of the scheduler, and what follows it.
fn split_zone(spec: &str) -> Result<(Option<Zone>, &str), SpecError> {
    let Some(named) = spec.strip_prefix("TZ=").or_else(|| spec.strip_prefix("CRON_TZ=")) else {
        return Ok((None, spec));
    };
    // robfig/cron panics here.
    let Some((name, rest)) = named.split_once(' ') else {
        return Err(SpecError::new(SpecErrorKind::ZoneAlone, spec, named));
    };
    let zone = match name {
        "" => Some(Zone::UTC),
        // In Go this is the same as no zone: that of the scheduler, not of the machine.
        "Local" => None,
        name => Some(
            name.parse()
                .map_err(|_| SpecError::new(SpecErrorKind::UnknownZone, spec, name))?,
        ),
    };
    Ok((zone, rest.trim()))
}

fn descriptor(text: &str) -> Option<&'static str> {
    Some(match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

/// Below a second it is one second, above it whole seconds, rounded down. Go: `Every`.
fn every(spec: &str, text: &str) -> Result<Schedule, SpecError> {
    let nanos = parse_duration(text)
        .map_err(|reason| SpecError::new(SpecErrorKind::Duration { reason }, spec, text))?;
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0).max(1);
    Ok(Schedule::Every(Duration::from_secs(seconds)))
}

fn parse_fields(spec: &str, text: &str) -> Result<Fields, SpecError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        let found = fields.len();
        return Err(SpecError::new(SpecErrorKind::FieldCount { found }, spec, text));
    };
    let parse = |bounds: &Bounds, field: &str| -> Result<Set, SpecError> {
        bounds.parse(field).map_err(|reason| {
            let kind = SpecErrorKind::Field {
                field: bounds.name,
                reason,
                allowed: bounds.allowed,
            };
            SpecError::new(kind, spec, field)
        })
    };
    Ok(Fields {
        minute: parse(&MINUTE, minute)?,
        hour: parse(&HOUR, hour)?,
        day: parse(&DAY, day)?,
        month: parse(&MONTH, month)?,
        weekday: parse(&WEEKDAY, weekday)?,
    })
}
