//! Whatever a spec says, wherever and whenever: no panic, no endless search, and what fires next lies ahead.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

use std::time::{Duration, Instant};

use asynq_cron::{Spec, Zone};
use proptest::prelude::*;

/// A search that ends takes milliseconds even in a debug build. This is for those that do not.
const ENDLESS: Duration = Duration::from_secs(5);

/// Follows a spec for a few times.
fn follow(spec: &Spec, zone: &Zone, start: i64) {
    let mut at = start;
    for _ in 0..3 {
        let began = Instant::now();
        let next = spec.next_after_unix(at, zone);
        assert!(began.elapsed() < ENDLESS, "{spec} in {zone} after {at}");
        let Some(next) = next else { return };
        assert!(next > at, "{spec} in {zone} after {at}: {next}");
        at = next;
    }
}

fn every_zone() -> impl Iterator<Item = Zone> {
    chrono_tz::TZ_VARIANTS
        .iter()
        .map(|zone| zone.name().parse().unwrap())
}

fn any_zone() -> impl Strategy<Value = Zone> {
    proptest::sample::select(every_zone().collect::<Vec<_>>())
}

/// Times at which clocks are changed, times of which nobody knows the clocks, and times that there are not.
fn any_start() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => -3_000_000_000..4_500_000_000_i64,
        1 => 1_289_000_000..1_289_200_000_i64,
        1 => -70_000_000_000..400_000_000_000_i64,
        1 => any::<i64>(),
    ]
}

/// Text that looks like a spec here and there.
fn spec_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9*?,/+-]{1,6}",
        "(TZ=|CRON_TZ=)(UTC|Local|Asia/Tokyo|[a-zA-Z/]{0,6}) ",
        "@(every|daily|yearly|[a-z]{0,5})",
        "(sun|MON|jan|Dec|[a-z]{1,4})",
        "[0-9.]{0,25}(ns|us|ms|s|m|h|x)?",
        "[ \t\u{3000}]",
        "\\PC{0,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Text most of which is a spec.
fn spec_or_nearly() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        4 => "\\*|\\?|,",
        4 => "[1-6]",
        2 => "(\\*|[1-6])/[1-9]",
        2 => "[1-3]-[4-6](/[1-3])?",
        2 => "[0-6],,?[1-6]",
        1 => "[0-9*?,/+-]{1,4}",
        1 => "(29|30|31|59|23|sun|FEB|\\*-7)",
    ];
    let zone = prop_oneof![
        4 => Just(String::new()),
        1 => any_zone().prop_map(|zone| format!("TZ={zone} ")),
    ];
    (zone, proptest::collection::vec(field, 5)).prop_map(|(zone, fields)| zone + &fields.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_text_makes_a_spec_panic_or_search_for_ever(
        text in prop_oneof![3 => spec_or_nearly(), 2 => spec_like(), 1 => "\\PC{0,40}", 1 => "(?s).{0,40}"],
        zone in any_zone(),
        start in any_start(),
    ) {
        let began = Instant::now();
        let parsed = text.parse::<Spec>();
        prop_assert!(began.elapsed() < ENDLESS);
        match parsed {
            Ok(spec) => {
                prop_assert_eq!(spec.as_str(), text.as_str());
                follow(&spec, &zone, start);
            }
            Err(error) => {
                prop_assert!(text.get(error.span()).is_some());
                prop_assert!(error.to_string().len() < 700);
            }
        }
    }
}

#[test]
fn no_long_text_takes_long_or_makes_a_long_error() {
    for start in ["", "@every ", "* * * * ", "TZ=", "TZ=UTC "] {
        for piece in ["1,", "*/", "1-", "0", "* ", "1h", "jan", "\u{3000}", "TZ=UTC "] {
            let text = format!("{start}{}", piece.repeat(100_000));
            let began = Instant::now();
            let parsed = text.parse::<Spec>();
            assert!(began.elapsed() < ENDLESS, "{start}{piece}…");
            if let Err(error) = parsed {
                assert!(error.to_string().len() < 700, "{start}{piece}…");
            }
        }
    }
}

#[test]
fn no_zone_makes_the_search_go_on_for_ever_or_back() {
    let specs = [
        "* * * * *",
        "0 0 * * *",
        "30 2 * * *",
        "59 23 31 12 *",
        "0 0 30 2 *",
        "0 0 29 2 mon",
        "*/7 */5 */2 * *",
        "0 0 , * ,",
    ]
    .map(|spec| spec.parse::<Spec>().unwrap());
    // In three seasons, at different hours: between them most clocks are changed.
    let day = 86_400 + 3_600;
    for zone in every_zone() {
        for spec in &specs {
            for month in (0..12).step_by(4) {
                follow(spec, &zone, 1_289_090_000 + month * 30 * day);
            }
            follow(spec, &zone, 1_325_239_200 - day); // Samoa leaves out 30 December 2011
            follow(spec, &zone, -2_000_000_000); // clocks have seconds
        }
    }
}
