//! The next moment at which five fields match: `SpecSchedule.Next` of robfig/cron v3, rule by rule.
//!
//! The crate `cron` was tried first, behind the same parser and with local times mapped to moments. It gives the same
//! in zones without changes of the clock; in 3000 generated cases around such changes 252 differed, all where a clock
//! changes at midnight or by half an hour. This gives the same wherever Go gives an answer; `tests/specs.rs` compares it
//! with Go, and `tests/oracle.rs`, in UTC, with the crate.
//!
//! Go searches for ever in a zone that leaves out a day, and gives a moment that has passed where a clock goes back
//! across midnight. Here the search is bounded, and what it gives always lies ahead.

use crate::field::Fields;
use crate::zone::{Civil, Zone};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The first second after `after` that matches, within five years.
pub(crate) fn next(fields: &Fields, zone: &Zone, after: i64) -> Option<i64> {
    // A field of nothing would be searched minute by minute for five years.
    if fields.minute.is_empty() || fields.hour.is_empty() || fields.month.is_empty() {
        return None;
    }
    let mut start = after;
    // A clock goes back by at most a day, and where it does the minutes around it are few.
    for _ in 0..2 * 24 * 60 {
        let found = Search::new(fields, *zone, start)?.run()?;
        if found > after {
            return Some(found);
        }
        start += 60;
    }
    None
}

struct Search<'a> {
    fields: &'a Fields,
    zone: Zone,
    at: i64,
    last_year: i32,
    /// Whether a field has been moved on. Only the first time the fields below it begin anew.
    moved: bool,
}

/// Whether a field matches, or the search begins again with the month since the field began anew.
enum Step {
    Matches,
    Again,
}

impl<'a> Search<'a> {
    fn new(fields: &'a Fields, zone: Zone, after: i64) -> Option<Self> {
        let at = after.checked_add(1)?;
        Some(Search {
            fields,
            zone,
            at,
            last_year: zone.civil(at)?.year.checked_add(5)?,
            moved: false,
        })
    }

    fn run(mut self) -> Option<i64> {
        while self.civil()?.year <= self.last_year {
            let matches = matches!(self.month()?, Step::Matches)
                && matches!(self.day()?, Step::Matches)
                && matches!(self.hour()?, Step::Matches)
                && matches!(self.minute()?, Step::Matches)
                && matches!(self.second()?, Step::Matches);
            if matches {
                return Some(self.at);
            }
        }
        None
    }

    fn civil(&self) -> Option<Civil> {
        self.zone.civil(self.at)
    }

    fn month(&mut self) -> Option<Step> {
        let mut civil = self.civil()?;
        while !self.fields.month.has(civil.month) {
            if self.first_move() {
                self.at = self.zone.moment(civil.year, civil.month, 1, 0)?;
                civil = self.civil()?;
            }
            let next = civil.month + 1;
            self.at = self
                .zone
                .moment(civil.year, next, civil.day, civil.second_of_day())?;
            civil = self.civil()?;
            if civil.month == 1 {
                return Some(Step::Again);
            }
        }
        Some(Step::Matches)
    }

    fn day(&mut self) -> Option<Step> {
        let mut civil = self.civil()?;
        while !self.day_matches(&civil) {
            if self.first_move() {
                self.at = self.zone.moment(civil.year, civil.month, civil.day, 0)?;
                civil = self.civil()?;
            }
            self.next_day(&civil)?;
            civil = self.civil()?;
            if civil.day == 1 {
                return Some(Step::Again);
            }
        }
        Some(Step::Matches)
    }

    /// If either day field is a star both must match, otherwise one is enough.
    fn day_matches(&self, civil: &Civil) -> bool {
        let day = self.fields.day.has(civil.day);
        let weekday = self.fields.weekday.has(civil.weekday);
        if self.fields.day.starred || self.fields.weekday.starred {
            day && weekday
        } else {
            day || weekday
        }
    }

    fn next_day(&mut self, today: &Civil) -> Option<()> {
        let before = self.at;
        self.at = self
            .zone
            .moment(today.year, today.month, today.day + 1, today.second_of_day())?;
        // Some clocks change at midnight.
        match i64::from(self.civil()?.hour) {
            0 => {}
            hour if hour > 12 => self.at += (24 - hour) * HOUR,
            hour => self.at -= hour * HOUR,
        }
        if self.at <= before {
            // The zone leaves a day out (Samoa, 2011), on which Go stays for ever.
            self.at = before + DAY;
        }
        Some(())
    }

    fn hour(&mut self) -> Option<Step> {
        let mut civil = self.civil()?;
        while !self.fields.hour.has(civil.hour) {
            if self.first_move() {
                let hour = civil.hour * 3_600;
                self.at = self.zone.moment(civil.year, civil.month, civil.day, hour)?;
            }
            self.at += HOUR;
            civil = self.civil()?;
            if civil.hour == 0 {
                return Some(Step::Again);
            }
        }
        Some(Step::Matches)
    }

    fn minute(&mut self) -> Option<Step> {
        let mut civil = self.civil()?;
        while !self.fields.minute.has(civil.minute) {
            if self.first_move() {
                // As Go's Truncate, which knows no zones.
                self.at -= self.at.rem_euclid(60);
            }
            self.at += 60;
            civil = self.civil()?;
            if civil.minute == 0 {
                return Some(Step::Again);
            }
        }
        Some(Step::Matches)
    }

    /// The standard parser sets the second to 0.
    fn second(&mut self) -> Option<Step> {
        let mut civil = self.civil()?;
        while civil.second != 0 {
            self.moved = true;
            self.at += 1;
            civil = self.civil()?;
            if civil.second == 0 {
                return Some(Step::Again);
            }
        }
        Some(Step::Matches)
    }

    /// True the first time.
    fn first_move(&mut self) -> bool {
        !std::mem::replace(&mut self.moved, true)
    }
}
