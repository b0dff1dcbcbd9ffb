//! Places in lists, as text that a user may keep.
//!
//! A set is in order, so score and id of the last one say where to go on, also when it is gone. A list is not: there it is
//! the number of those before, and the ids of some of them, by which the place is found again when others came or went.

use asynq_core::{BrokerError, Cursor};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Set { score: String, id: String },
    List { before: usize, landmarks: Vec<String> },
}

impl Place {
    pub(crate) fn to_cursor(&self) -> Cursor {
        Cursor::new(match self {
            Place::Set { score, id } => format!("z{score};{id}"),
            Place::List { before, landmarks } => {
                // Ids may hold any characters, so each says how long it is.
                let ids = landmarks.iter().map(|id| format!("{}:{id}", id.len()));
                format!("l{before};{}", ids.collect::<String>())
            }
        })
    }

    pub(crate) fn of(cursor: &Cursor) -> Result<Self, BrokerError> {
        parse(cursor.as_str()).ok_or_else(|| {
            BrokerError::Config(format!(
                "{:?} is not a cursor of the Redis broker",
                cursor.as_str()
            ))
        })
    }
}

fn parse(text: &str) -> Option<Place> {
    let (first, rest) = text.split_once(';')?;
    if let Some(score) = first.strip_prefix('z') {
        score.parse::<f64>().ok()?;
        return Some(Place::Set {
            score: score.to_owned(),
            id: rest.to_owned(),
        });
    }
    Some(Place::List {
        before: first.strip_prefix('l')?.parse::<u32>().ok()? as usize,
        landmarks: parse_landmarks(rest)?,
    })
}

fn parse_landmarks(mut text: &str) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    while !text.is_empty() {
        let (length, rest) = text.split_once(':')?;
        let (id, rest) = rest.split_at_checked(length.parse().ok()?)?;
        ids.push(id.to_owned());
        text = rest;
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_the_way_to_text_and_back() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        for place in [
            Place::Set {
                score: "1700000000".into(),
                id: "a;b:c é".into(),
            },
            Place::List {
                before: 7,
                landmarks: ids(&["é;1:", "", "3:x"]),
            },
            Place::List {
                before: 0,
                landmarks: Vec::new(),
            },
        ] {
            assert_eq!(Place::of(&place.to_cursor()).unwrap(), place);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "z", "z;a", "l1", "l-1;", "l1;9:a", "l1;x", "1/2", "zfoo;a"] {
            assert!(Place::of(&Cursor::new(text)).is_err(), "{text:?}");
        }
    }
}
