//! Checks texts in attributes: durations, dates, names, backoffs. Plain functions without tokens.

use std::time::Duration;

/// Parses `"30s"`, `"1h30m"`, `"1.5s"`, `"7d"`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration such as \"30s\", \"10m\" or \"1h30m\"".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("a duration needs a unit: ms, s, m, h, d or w, as in \"{rest}s\""))?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = part(number, unit)
            .ok_or_else(wrong)?
            .and_then(|part| total.checked_add(part))
            .ok_or("the duration is too long")?;
        rest = tail.trim_start();
    }
    Ok(total)
}

/// None when it is not of that form; none inside when it is too long.
fn part(number: &str, unit: &str) -> Option<Option<Duration>> {
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" | "sec" | "secs" => 1000,
        "m" | "min" | "mins" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        "w" => 7 * 24 * 60 * 60 * 1000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    let millis = || {
        let whole: u64 = whole.parse().ok()?;
        let whole = whole.checked_mul(millis_per_unit)?;
        whole.checked_add(thousandths * millis_per_unit / 1000)
    };
    Some(millis().map(Duration::from_millis))
}

/// Tasks are stored with whole seconds, at least one.
pub(crate) fn stored_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < Duration::from_secs(1) {
        Err("must be at least \"1s\": tasks are stored with whole seconds".to_owned())
    } else if duration.subsec_nanos() > 0 {
        Err("must be in whole seconds: tasks are stored with nothing finer".to_owned())
    } else if duration.as_secs() > i64::MAX as u64 / 1_000_000 {
        Err("is longer than a task can hold".to_owned())
    } else {
        Ok(duration)
    }
}

/// A duration that must pass.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// The same rules as when a task is enqueued.
pub(crate) fn name(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("must not be blank".to_owned())
    } else if text.len() > 1024 {
        Err("must not be longer than 1024 bytes".to_owned())
    } else {
        Ok(())
    }
}

/// The same rules as when a task is enqueued.
pub(crate) fn queue(text: &str) -> Result<(), String> {
    name(text)?;
    if text.starts_with('}') {
        Err("must not start with `}`: its keys would be spread over slots of a Redis Cluster".to_owned())
    } else if text.contains("}:") {
        Err("must not contain `}:`: its keys could be those of another queue".to_owned())
    } else {
        Ok(())
    }
}

/// Seconds since 1970 of `2030-01-31T12:00:00Z` or `2030-01-31T12:00:00+01:00`.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    parse_moment(text)
        .ok_or_else(|| "expected a date and time such as \"2030-01-31T12:00:00Z\", after 1970".to_owned())
}

fn parse_moment(text: &str) -> Option<u64> {
    if !text.is_ascii() || text.len() < 20 {
        return None;
    }
    let (date, time) = text.split_at_checked(10)?;
    let (time, zone) = time.strip_prefix('T')?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds =
        days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone_offset(zone)?;
    u64::try_from(seconds).ok()
}

fn zone_offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts
            .next()
            .filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let of_years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let of_months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    of_years + of_months + day - 1
}

/// How long to wait between attempts.
#[derive(Debug, PartialEq)]
pub(crate) enum Backoff {
    Fixed(Duration),
    Exponential(Duration, Duration),
}

/// Parses `"exp(2s..10m)"` and `"fixed(5s)"`.
pub(crate) fn backoff(text: &str) -> Result<Backoff, String> {
    let inner = |name: &str| text.trim().strip_prefix(name)?.strip_suffix(')');
    if let Some(delay) = inner("fixed(") {
        return Ok(Backoff::Fixed(positive_duration(delay)?));
    }
    let Some((base, max)) = inner("exp(").and_then(|range| range.split_once("..")) else {
        return Err("expected \"exp(2s..10m)\", \"fixed(5s)\" or a `RetryPolicy`".to_owned());
    };
    let (base, max) = (positive_duration(base)?, positive_duration(max)?);
    if base > max {
        return Err("the shortest delay must not be longer than the longest".to_owned());
    }
    Ok(Backoff::Exponential(base, max))
}

/// Of the known words, the one that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let same_start = |a: &str, b: &str| a.len() >= 3 && b.starts_with(a);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 2.min(word.len() / 2) || same_start(word, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());

        assert_eq!(seconds("30s"), Ok(30.0));
        assert_eq!(seconds("1h30m"), Ok(5400.0));
        assert_eq!(seconds("1h 30m"), Ok(5400.0));
        assert_eq!(seconds("1.5s"), Ok(1.5));
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert_eq!(seconds("2w"), Ok(1_209_600.0));
        for bad in [
            "", "s", "30", "30 s", "-1s", "1..5s", "1.s", "1y", "30S", "1e3s", "٣s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("18446744073709551615w").is_err());
    }

    #[test]
    fn stored_durations_are_whole_seconds() {
        assert!(stored_duration("1s").is_ok());
        assert!(stored_duration("1000ms").is_ok());
        for bad in ["0s", "500ms", "1.5s", "999999999999d"] {
            assert!(stored_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_those_of_other_calendars() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(moment("2000-02-29T12:00:00Z"), Ok(951_825_600));
        assert_eq!(moment("2030-01-31T12:00:00Z"), Ok(1_896_091_200));
        assert_eq!(moment("2030-01-31T13:00:00+01:00"), Ok(1_896_091_200));
        for bad in [
            "2030-01-31",
            "2030-02-30T00:00:00Z",
            "2030-01-31T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "2030-01-31T12:00:00",
            "+030-01-31T12:00:00Z",
            "2030-01-31T12:00:00é",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn backoffs_are_fixed_or_exponential() {
        let seconds = Duration::from_secs;

        assert_eq!(backoff("fixed(5s)"), Ok(Backoff::Fixed(seconds(5))));
        assert_eq!(
            backoff("exp(2s..10m)"),
            Ok(Backoff::Exponential(seconds(2), seconds(600)))
        );
        for bad in [
            "5s",
            "exp(2s)",
            "exp(10m..2s)",
            "exp(0s..1s)",
            "fixed()",
            "linear(1s)",
        ] {
            assert!(backoff(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_word_is_found() {
        let known = ["name", "queue", "max_retry", "timeout", "retention"];

        assert_eq!(nearest("que", &known), Some("queue"));
        assert_eq!(nearest("queu", &known), Some("queue"));
        assert_eq!(nearest("max_retries", &known), None);
        assert_eq!(nearest("timout", &known), Some("timeout"));
        assert_eq!(nearest("x", &known), None);
    }
}
