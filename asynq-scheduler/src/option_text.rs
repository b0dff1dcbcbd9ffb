//! Options as text, in the form in which Go asynq shows them: `Queue("low")`, `Timeout(1m30s)`.

use std::time::Duration;

use asynq_core::{TaskOptions, Timestamp, When};
use chrono::DateTime;

/// The options that are set, one text each.
pub(crate) fn all(options: &TaskOptions) -> Vec<String> {
    let mut texts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        texts.extend(value.map(|value| format!("{name}({value})")));
    };
    add("Queue", options.queue.as_deref().map(quoted));
    add("MaxRetry", options.max_retry.map(|retries| retries.to_string()));
    add("TaskID", options.task_id.as_deref().map(quoted));
    add("Timeout", options.timeout.map(duration));
    add("Deadline", options.deadline.map(unix_date));
    add("Unique", options.unique.map(duration));
    match options.process {
        Some(When::At(at)) => add("ProcessAt", Some(unix_date(at))),
        Some(When::In(delay)) => add("ProcessIn", Some(duration(delay))),
        None => {}
    }
    add("Retention", options.retention.map(duration));
    add("Group", options.group.as_deref().map(quoted));
    for (key, value) in &options.headers {
        add("Header", Some(json_pair(key, value)));
    }
    texts
}

/// Go: `strconv.Quote`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            ' ' => quoted.push(' '),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || c.is_whitespace() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Go: `time.Duration.String`.
fn duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..=999 => format!("{nanos}ns"),
            1_000..=999_999 => format!("{}µs", fraction(u64::from(nanos), 3)),
            _ => format!("{}ms", fraction(u64::from(nanos), 6)),
        };
    }
    let rest = fraction(seconds % 60 * 1_000_000_000 + u64::from(nanos), 9);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// A number with so many digits after the point, without zeros at its end.
fn fraction(value: u64, digits: u32) -> String {
    let unit = 10_u64.pow(digits);
    let text = format!(
        "{}.{:0width$}",
        value / unit,
        value % unit,
        width = digits as usize
    );
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Go: `time.UnixDate`.
fn unix_date(time: Timestamp) -> String {
    let time = DateTime::from_timestamp(time.unix_seconds(), 0).unwrap_or_default();
    time.format("%a %b %e %H:%M:%S UTC %Y").to_string()
}

/// Go: `json.Marshal` of two strings, which escapes what HTML would take for its own.
fn json_pair(key: &str, value: &str) -> String {
    let json = |text: &str| {
        let mut json = String::from('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                '\u{8}' => json.push_str("\\b"),
                '\u{c}' => json.push_str("\\f"),
                c if u32::from(c) < 0x20 || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                    json.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => json.push(c),
            }
        }
        json.push('"');
        json
    };
    format!("[{},{}]", json(key), json(value))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use asynq_core::Configure;

    use super::*;

    #[test]
    fn options_are_shown_as_go_shows_them() {
        let at = SystemTime::from(Timestamp::from_unix_seconds(1_709_258_584));
        let options = TaskOptions::new()
            .queue("lo\"w\n")
            .max_retry(3)
            .timeout(Duration::from_secs(90))
            .deadline(at)
            .unique(Duration::from_secs(36 * 3600))
            .process_in(Duration::from_millis(1500))
            .retention(Duration::from_secs(3600))
            .group("g")
            .header("a", "<b>");

        assert_eq!(
            all(&options),
            [
                r#"Queue("lo\"w\n")"#,
                "MaxRetry(3)",
                "Timeout(1m30s)",
                "Deadline(Fri Mar  1 02:03:04 UTC 2024)",
                "Unique(36h0m0s)",
                "ProcessIn(1.5s)",
                "Retention(1h0m0s)",
                r#"Group("g")"#,
                r#"Header(["a","\u003cb\u003e"])"#,
            ]
        );
    }

    #[test]
    fn short_durations_have_small_units() {
        for (nanos, text) in [(0, "0s"), (7, "7ns"), (1_500, "1.5µs"), (100_000_000, "100ms")] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }
}
