//! Specs fire when they do in Go.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

use std::time::{Duration, SystemTime};

use asynq_cron::{Spec, Zone};

/// Made by `testdata/generate`, which says what the columns are.
const TABLE: &str = include_str!("../testdata/specs.tsv");

/// What the generator would print for this spec: next times, `never` or `error`.
fn answers(zone: &Zone, start: i64, spec: &str, most: usize) -> Vec<String> {
    let Ok(spec) = spec.parse::<Spec>() else {
        return vec!["error".to_owned()];
    };
    let mut found = Vec::new();
    let mut at = start;
    while found.len() < most {
        let Some(next) = spec.next_after_unix(at, zone) else {
            found.push("never".to_owned());
            break;
        };
        assert!(next > at, "{spec} after {at}");
        found.push(next.to_string());
        at = next;
    }
    found
}

#[test]
fn every_row_of_the_table_of_go_is_the_same() {
    // Another table, with more random rows, may be named.
    let table = match std::env::var("SPEC_TABLE") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => TABLE.to_owned(),
    };
    let mut different = Vec::new();
    for row in table.lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let spec: String = serde_json::from_str(columns[2]).unwrap();
        let found = answers(
            &columns[0].parse().unwrap(),
            columns[1].parse().unwrap(),
            &spec,
            6,
        );
        if found != columns[3..] {
            different.push(format!("{row}\n  here: {}", found.join("\t")));
        }
    }

    println!("{} rows", table.lines().count());
    assert!(table.lines().count() > 900);
    assert!(
        different.is_empty(),
        "{} rows differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
fn an_error_points_at_what_is_wrong_and_says_what_is_allowed() {
    for (spec, wrong, text) in [
        (
            "60 * * * *",
            "60",
            "minute \"60\": 60 is above 59; allowed is 0-59",
        ),
        (
            "* * * * 7",
            "7",
            "day of week \"7\": 7 is above 6; allowed is 0-6 (Sunday is 0) or sun-sat",
        ),
        (
            "* * 0 * *",
            "0",
            "day of month \"0\": 0 is below 1; allowed is 1-31",
        ),
        (
            "TZ=UTC 0 9-5 * * *",
            "9-5",
            "hour \"9-5\": the range 9-5 runs backwards; allowed is 0-23",
        ),
        (
            "* * * fubar *",
            "fubar",
            "month \"fubar\": \"fubar\" is not a number or name that is known here; allowed is 1-12 or jan-dec",
        ),
        (
            "TZ=Mars/Base * * * * *",
            "Mars/Base",
            "unknown time zone \"Mars/Base\"; expected a name such as Europe/Paris",
        ),
        (
            "@every 10",
            "10",
            "@every \"10\": has no unit (ns, us, ms, s, m or h); expected a duration such as 1h30m or 10s",
        ),
        (
            "hourly",
            "hourly",
            "1 field in \"hourly\"; expected five: minute hour day-of-month month day-of-week",
        ),
        (
            "* * * *",
            "* * * *",
            "4 fields in \"* * * *\"; expected five: minute hour day-of-month month day-of-week",
        ),
    ] {
        let error = spec.parse::<Spec>().unwrap_err();

        assert_eq!(error.to_string(), text);
        assert_eq!(&spec[error.span()], wrong);
    }
}

#[test]
fn a_zone_without_anything_after_it_is_an_error_and_no_panic() {
    for spec in ["TZ=UTC", "CRON_TZ=", "TZ=", "TZ=\t"] {
        assert!(spec.parse::<Spec>().is_err(), "{spec}");
    }
}

#[test]
fn a_zone_that_leaves_out_a_day_is_no_endless_search() {
    let apia: Zone = "Pacific/Apia".parse().unwrap();
    let start = 1_325_239_200 - 2 * 86_400; // two days before 30 December 2011 was left out

    let days = answers(&apia, start, "0 12 31 * *", 2);
    let never = answers(&apia, start, "0 0 30 2 *", 1);

    assert_eq!(days[0], "1325282400"); // the 31st, at noon
    assert_eq!(never, ["never"]);
}

#[test]
fn a_clock_that_goes_back_across_midnight_never_gives_a_time_that_has_passed() {
    let st_johns: Zone = "America/St_Johns".parse().unwrap();
    let change = 1_289_097_060; // 7 November 2010, 00:01 becomes 23:01

    for minutes in -120..120 {
        for spec in ["0 0 * * *", "0 0 7 * *", "30 23 * * *", "* * 7 * *"] {
            answers(&st_johns, change + minutes * 60, spec, 5);
        }
    }
}

#[test]
fn the_ends_of_time_are_never() {
    let spec: Spec = "* * * * *".parse().unwrap();
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(9_000_000_000_000);

    assert_eq!(spec.next_after(far, &Zone::UTC), None);
    for seconds in [i64::MIN, i64::MAX] {
        assert_eq!(spec.next_after_unix(seconds, &Zone::UTC), None);
    }
}

#[test]
fn what_is_below_a_second_of_a_time_is_left_out() {
    let every: Spec = "@every 90s".parse().unwrap();
    let minute: Spec = "* * * * *".parse().unwrap();
    let (before, half) = (Duration::from_secs(100), Duration::from_millis(500));
    let seconds = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    };

    for (spec, time, next) in [
        (&every, SystemTime::UNIX_EPOCH + half, 90.0),
        (&minute, SystemTime::UNIX_EPOCH + half, 60.0),
        (&minute, SystemTime::UNIX_EPOCH - half, 0.0),
        (&minute, SystemTime::UNIX_EPOCH - before - half, -60.0),
        (&every, SystemTime::UNIX_EPOCH - before - half, -11.0),
    ] {
        assert_eq!(
            spec.next_after(time, &Zone::UTC).map(seconds),
            Some(next),
            "{spec}"
        );
    }
}

#[test]
fn a_spec_tells_the_zone_and_period_that_it_has() {
    let parse = |text: &str| text.parse::<Spec>().unwrap();
    let tokyo: Zone = "Asia/Tokyo".parse().unwrap();

    assert_eq!(parse("TZ=Asia/Tokyo @daily").zone(), Some(tokyo));
    assert_eq!(parse("@daily").zone(), None);
    assert_eq!(
        parse("TZ=Asia/Tokyo @every 1m").period(),
        Some(Duration::from_secs(60))
    );
    assert_eq!(parse("@daily").period(), None);
}
