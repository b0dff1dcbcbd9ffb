//! Protobuf records as fields, without knowing what they mean: so that two encodings can be compared although maps have no
//! order. Deliberately not the decoder of asynq-redis, which is what is tested.

use std::fmt;

use crate::hex;

/// The fields of a record: number, value. Those of the same number in an order of their own.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record(Vec<(u64, Field)>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
    /// Of a map.
    Entry(Vec<(u64, Field)>),
}

impl Record {
    /// A record of which field `map` is a map from texts, if it has one. None if the bytes are not a record.
    ///
    /// An entry may leave out what is empty in it: Go writes it, others need not.
    pub(crate) fn parse(bytes: &[u8], map: u64) -> Option<Self> {
        let Record(mut fields) = Self::parse_flat(bytes)?;
        for (_, field) in fields.iter_mut().filter(|(number, _)| *number == map) {
            let Field::Bytes(entry) = field else { return None };
            let Record(mut parts) = Self::parse_flat(entry)?;
            parts.retain(|(_, part)| *part != Field::Bytes(Vec::new()) && *part != Field::Number(0));
            *field = Field::Entry(parts);
        }
        // Entries come in any order.
        fields.sort();
        Some(Record(fields))
    }

    fn parse_flat(mut bytes: &[u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)?),
                1 => Field::Bytes(take(&mut bytes, 8)?),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    Field::Bytes(take(&mut bytes, length)?)
                }
                5 => Field::Bytes(take(&mut bytes, 4)?),
                _ => return None,
            };
            fields.push((tag >> 3, field));
        }
        Some(Record(fields))
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken.to_vec())
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(number, field)| (number, field)))
            .finish()
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Number(number) => write!(f, "{number}"),
            Field::Entry(parts) => write!(f, "{parts:?}"),
            Field::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => write!(f, "{text:?}"),
                Err(_) => write!(f, "x{}", hex::encode(bytes)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_map_entries_does_not_matter() {
        let entry = |key: u8| [0x7a, 3, 0x0a, 1, key];
        let one = [entry(b'a'), entry(b'b')].concat();
        let other = [entry(b'b'), entry(b'a')].concat();

        assert_eq!(Record::parse(&one, 15), Record::parse(&other, 15));
        assert_ne!(Record::parse(&one, 15), Record::parse(&other, 0));
        assert_ne!(Record::parse(&one, 15), Record::parse(&entry(b'a'), 15));
        assert_eq!(Record::parse(&[0x0a, 5, 1], 15), None);
    }

    #[test]
    fn an_entry_may_leave_out_an_empty_value() {
        assert_eq!(
            Record::parse(&[0x7a, 5, 0x0a, 1, b'a', 0x12, 0], 15),
            Record::parse(&[0x7a, 3, 0x0a, 1, b'a'], 15)
        );
    }
}
