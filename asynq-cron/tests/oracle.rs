//! In UTC, where no clock is ever changed, specs fire when the crate `cron` says.
//!
//! It reads another dialect, so it gets each field as the list of its values, with weekdays counted from 1. Where either
//! of the day fields is enough it is asked twice, since it wants both to match.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

use asynq_cron::{Spec, Zone};
use chrono::{DateTime, Datelike, Utc};
use cron::Schedule;
use proptest::prelude::*;

const MINUTES: RangeInclusive<u32> = 0..=59;
const HOURS: RangeInclusive<u32> = 0..=23;
const DAYS: RangeInclusive<u32> = 1..=31;
const MONTHS: RangeInclusive<u32> = 1..=12;
const WEEKDAYS: RangeInclusive<u32> = 0..=6;

/// One of the items of a field, and what it stands for.
#[derive(Debug, Clone)]
struct Item {
    text: String,
    values: BTreeSet<u32>,
    starred: bool,
}

/// A list of items.
#[derive(Debug, Clone)]
struct Field(Vec<Item>);

impl Field {
    fn text(&self) -> String {
        let texts: Vec<&str> = self.0.iter().map(|item| &*item.text).collect();
        texts.join(",")
    }

    /// As the crate `cron` reads it.
    fn list(&self, shift: u32) -> String {
        let values: BTreeSet<u32> = self.0.iter().flat_map(|item| item.values.clone()).collect();
        let texts: Vec<String> = values.iter().map(|value| (value + shift).to_string()).collect();
        texts.join(",")
    }

    fn is_starred(&self) -> bool {
        self.0.iter().any(|item| item.starred)
    }
}

fn item(bounds: RangeInclusive<u32>) -> impl Strategy<Value = Item> {
    let (min, max) = bounds.into_inner();
    let star = prop_oneof![Just("*"), Just("?")].prop_map(move |text| Item {
        text: text.to_owned(),
        values: (min..=max).collect(),
        starred: true,
    });
    let step = (1..max + 3).prop_map(move |step| Item {
        text: format!("*/{step}"),
        values: (min..=max).step_by(step as usize).collect(),
        starred: step == 1,
    });
    let value = (min..=max).prop_map(|value| Item {
        text: value.to_string(),
        values: [value].into(),
        starred: false,
    });
    let from = (min..=max, 1..max + 3).prop_map(move |(start, step)| Item {
        text: format!("{start}/{step}"),
        values: (start..=max).step_by(step as usize).collect(),
        starred: false,
    });
    let range = (min..=max, min..=max, 1..max + 3).prop_map(|(a, b, step)| {
        let (start, end) = (a.min(b), a.max(b));
        Item {
            text: format!("{start}-{end}/{step}"),
            values: (start..=end).step_by(step as usize).collect(),
            starred: false,
        }
    });
    prop_oneof![2 => star, 2 => step, 4 => value, 1 => from, 2 => range]
}

fn field(bounds: RangeInclusive<u32>) -> impl Strategy<Value = Field> {
    proptest::collection::vec(item(bounds), 1..4).prop_map(Field)
}

/// The crate `cron`, asked as often as needed.
struct Oracle(Vec<Schedule>);

impl Oracle {
    fn new([minute, hour, day, month, weekday]: &[Field; 5]) -> Self {
        let schedule = |days: &str, weekdays: &str| {
            let (minutes, hours, months) = (minute.list(0), hour.list(0), month.list(0));
            Schedule::from_str(&format!("0 {minutes} {hours} {days} {months} {weekdays} *")).unwrap()
        };
        let (days, weekdays) = (day.list(0), weekday.list(1));
        if day.is_starred() || weekday.is_starred() {
            Oracle(vec![schedule(&days, &weekdays)])
        } else {
            Oracle(vec![schedule(&days, "*"), schedule("*", &weekdays)])
        }
    }

    /// Up to the end of the fifth year, where robfig/cron gives up.
    fn next_after(&self, seconds: i64) -> Option<i64> {
        let start = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        let nexts = self.0.iter().filter_map(|schedule| schedule.after(&start).next());
        let next = nexts.min()?;
        let last_year = (start + chrono::Duration::seconds(1)).year() + 5;
        (next.year() <= last_year).then(|| next.timestamp())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn next_times_are_those_of_the_crate_cron(
        fields in (field(MINUTES), field(HOURS), field(DAYS), field(MONTHS), field(WEEKDAYS)),
        start in 31_536_000..3_900_000_000_i64, // 1971 to 2093; the crate knows 1970 to 2100
    ) {
        let fields = [fields.0, fields.1, fields.2, fields.3, fields.4];
        let spec: Spec = fields.each_ref().map(Field::text).join(" ").parse().unwrap();
        let oracle = Oracle::new(&fields);
        let mut at = start;
        for _ in 0..6 {
            let next = spec.next_after_unix(at, &Zone::UTC);
            prop_assert_eq!(next, oracle.next_after(at), "{} after {}", spec, at);
            let Some(next) = next else { break };
            at = next;
        }
    }
}
