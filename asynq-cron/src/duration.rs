//! Durations as Go writes them.

/// Nanoseconds of a text such as `1h30m`, `1.5s` or `-300ms`. Go: `time.ParseDuration`.
///
/// ```
/// assert_eq!(asynq_cron::parse_duration("1m30s"), Ok(90_000_000_000));
/// ```
///
/// # Errors
///
/// What is wrong, to stand behind the text.
pub fn parse_duration(text: &str) -> Result<i64, &'static str> {
    const TOO_LONG: &str = "is longer than 292 years";
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err("no duration");
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, after) = number_with_unit(rest)?;
        total = total
            .checked_add(nanos)
            .filter(|total| *total <= 1 << 63)
            .ok_or(TOO_LONG)?;
        rest = after;
    }
    if is_negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| TOO_LONG)
}

fn number_with_unit(text: &str) -> Result<(u64, &str), &'static str> {
    const NOT_A_NUMBER: &str = "has no number where one is expected";
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => split_digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(NOT_A_NUMBER);
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err("has no unit (ns, us, ms, s, m or h)"),
        _ => return Err("has an unknown unit; there are ns, us, ms, s, m and h"),
    };
    let whole = match whole {
        "" => Some(0),
        digits => digits.parse::<u64>().ok().filter(|whole| *whole <= 1 << 63),
    };
    let nanos = whole
        .and_then(|whole| whole.checked_mul(unit))
        .filter(|nanos| *nanos <= 1 << 63)
        .and_then(|nanos| nanos.checked_add(fraction_of(fraction, unit)))
        .filter(|nanos| *nanos <= 1 << 63)
        .ok_or("is longer than 292 years")?;
    Ok((nanos, rest))
}

/// As Go: digits beyond what 63 bits hold are left out, and the product is a double's.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0_u64, 1_f64);
    for digit in digits.bytes() {
        let Some(longer) = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')))
            .filter(|value| *value <= 1 << 63)
        else {
            break;
        };
        value = longer;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("1µs1us1μs", 3_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "-",
            "5",
            "s",
            ".s",
            "1d",
            "1 h",
            "9223372036854775808ns",
            "3000000h",
            "1e3s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
