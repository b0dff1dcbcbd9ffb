use std::fmt;
use std::ops::Range;

/// What is wrong with a spec, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    kind: SpecErrorKind,
    /// The part that is wrong, cut if it is long.
    part: String,
    span: Range<usize>,
}

/// The ways in which a spec can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecErrorKind {
    /// There is nothing.
    Empty,
    /// Not five fields.
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// One of the five fields.
    Field {
        /// Which one, such as `hour`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What may stand there, such as `0-23`.
        allowed: &'static str,
    },
    /// No blank after the zone, and so nothing for it to apply to.
    ZoneAlone,
    /// A time zone that there is not.
    UnknownZone,
    /// Something with `@` that is none of the descriptors.
    UnknownDescriptor,
    /// `@every` without a duration such as `1h30m`.
    Duration {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl SpecError {
    /// `part` is the text that is wrong, and a piece of `spec`.
    pub(crate) fn new(kind: SpecErrorKind, spec: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).saturating_sub(spec.as_ptr() as usize);
        let start = start.min(spec.len());
        SpecError {
            kind,
            part: shortened(part),
            span: start..(start + part.len()).min(spec.len()),
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> &SpecErrorKind {
        &self.kind
    }

    /// Which bytes of the spec are wrong.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

/// A spec may come from anywhere and be of any length.
pub(crate) fn shortened(part: &str) -> String {
    const LONGEST: usize = 64;
    if part.chars().count() <= LONGEST {
        return part.to_owned();
    }
    part.chars().take(LONGEST).chain("…".chars()).collect()
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = &self.part;
        match &self.kind {
            SpecErrorKind::Empty => {
                f.write_str("the spec is empty; expected five fields such as \"0 3 * * *\", or a descriptor such as @daily")
            }
            SpecErrorKind::FieldCount { found } => write!(
                f,
                "{found} {} in {part:?}; expected five: minute hour day-of-month month day-of-week",
                if *found == 1 { "field" } else { "fields" }
            ),
            SpecErrorKind::Field {
                field,
                reason,
                allowed,
            } => write!(f, "{field} {part:?}: {reason}; allowed is {allowed}"),
            SpecErrorKind::ZoneAlone => write!(
                f,
                "nothing after the time zone {part:?}; expected a blank and five fields or a descriptor"
            ),
            SpecErrorKind::UnknownZone => {
                write!(f, "unknown time zone {part:?}; expected a name such as Europe/Paris")
            }
            SpecErrorKind::UnknownDescriptor => write!(
                f,
                "unknown descriptor {part:?}; expected @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly \
                 or @every followed by a duration"
            ),
            SpecErrorKind::Duration { reason } => write!(
                f,
                "@every {part:?}: {reason}; expected a duration such as 1h30m or 10s"
            ),
        }
    }
}

impl std::error::Error for SpecError {}
