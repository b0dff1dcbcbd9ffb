//! One field of a cron spec, as a set of allowed values.

use crate::error::shortened;

/// The allowed values as bits, and whether the field counts as a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set {
    bits: u64,
    /// It has a `*` or `?` with step one. For days it decides whether both fields must match or either.
    pub(crate) starred: bool,
}

/// The five fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) minute: Set,
    pub(crate) hour: Set,
    pub(crate) day: Set,
    pub(crate) month: Set,
    pub(crate) weekday: Set,
}

/// What a field may hold.
pub(crate) struct Bounds {
    pub(crate) name: &'static str,
    min: u64,
    max: u64,
    names: &'static [&'static str],
    pub(crate) allowed: &'static str,
}

pub(crate) const MINUTE: Bounds = Bounds {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
    allowed: "0-59",
};
pub(crate) const HOUR: Bounds = Bounds {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
    allowed: "0-23",
};
pub(crate) const DAY: Bounds = Bounds {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
    allowed: "1-31",
};
pub(crate) const MONTH: Bounds = Bounds {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
    allowed: "1-12 or jan-dec",
};
pub(crate) const WEEKDAY: Bounds = Bounds {
    name: "day of week",
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    allowed: "0-6 (Sunday is 0) or sun-sat",
};

impl Set {
    pub(crate) fn has(self, value: u32) -> bool {
        value < 64 && self.bits & (1 << value) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0
    }

    fn add(&mut self, start: u64, end: u64, step: u64) {
        let mut value = start;
        while value <= end {
            self.bits |= 1 << value;
            match value.checked_add(step) {
                Some(next) => value = next,
                None => return,
            }
        }
    }
}

impl Bounds {
    /// The set of a list such as `1,5-8,*/10`. On failure what is wrong with the field. Go: `getField`.
    ///
    /// Empty items are left out; a field of nothing but commas is the empty set, as in robfig/cron.
    pub(crate) fn parse(&self, field: &str) -> Result<Set, String> {
        let mut set = Set::default();
        for item in field.split(',').filter(|item| !item.is_empty()) {
            self.add_item(item, &mut set)?;
        }
        Ok(set)
    }

    /// Go: `getRange`.
    fn add_item(&self, item: &str, set: &mut Set) -> Result<(), String> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((_, step)) if step.contains('/') => {
                return Err(format!("more than one slash in {:?}", shortened(item)));
            }
            Some((range, step)) => (range, Some(number(step)?)),
        };
        let bounds: Vec<&str> = range.splitn(4, '-').collect();
        let is_star = matches!(bounds[0], "*" | "?");
        let (start, mut end) = match bounds.as_slice() {
            // What follows a star's hyphen is ignored, as in robfig/cron.
            _ if is_star => (self.min, self.max),
            [value] => (self.value(value)?, self.value(value)?),
            [start, end] => (self.value(start)?, self.value(end)?),
            _ => return Err(format!("more than one hyphen in {:?}", shortened(item))),
        };
        if bounds.len() == 1 && step.is_some() {
            end = self.max;
        }
        let step = step.unwrap_or(1);
        self.check(start, end, step)?;
        set.add(start, end, step);
        set.starred |= is_star && step == 1;
        Ok(())
    }

    fn check(&self, start: u64, end: u64, step: u64) -> Result<(), String> {
        if start < self.min {
            Err(format!("{start} is below {}", self.min))
        } else if start.max(end) > self.max {
            let value = if end > self.max { end } else { start };
            Err(format!("{value} is above {}", self.max))
        } else if start > end {
            Err(format!("the range {start}-{end} runs backwards"))
        } else if step == 0 {
            Err("a step of 0 goes nowhere".to_owned())
        } else {
            Ok(())
        }
    }

    /// Go: `parseIntOrName`.
    fn value(&self, text: &str) -> Result<u64, String> {
        let mut names = self.names.iter();
        match names.position(|name| name.eq_ignore_ascii_case(text)) {
            Some(at) => Ok(self.min + at as u64),
            None => number(text),
        }
    }
}

/// Go: `strconv.Atoi`, which takes a sign and leading zeros, and no negative numbers.
fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.parse::<u64>().ok().filter(|_| is_number);
    value
        .filter(|value| i64::try_from(*value).is_ok())
        .ok_or_else(|| {
            if text.is_empty() {
                "a number is missing".to_owned()
            } else {
                format!("{:?} is not a number or name that is known here", shortened(text))
            }
        })
}
