//! How a value becomes the bytes of a payload.

use std::any::type_name;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// Turns values into payload bytes and back. Implemented by a type that names the format; see [`JsonCodec`].
///
/// ```
/// use asynq_core::{BoxError, Codec, Task};
/// use bytes::Bytes;
///
/// /// Decimal digits.
/// struct Digits;
///
/// impl Codec<Ticket> for Digits {
///     fn encode(ticket: &Ticket) -> Result<Bytes, BoxError> {
///         Ok(ticket.0.to_string().into())
///     }
///
///     fn decode(payload: &[u8]) -> Result<Ticket, BoxError> {
///         Ok(Ticket(std::str::from_utf8(payload)?.parse()?))
///     }
/// }
///
/// struct Ticket(u32);
///
/// impl Task for Ticket {
///     const TYPE: &'static str = "ticket:print";
///     type Codec = Digits; // derived: #[task(name = "ticket:print", codec = Digits)]
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot encode and decode `{T}`",
    label = "is no codec for `{T}`",
    note = "for JSON, the default, `{T}` needs `#[derive(Serialize, Deserialize)]`; for a format of your own, `impl Codec<{T}> for {Self}`"
)]
pub trait Codec<T> {
    /// The payload bytes of a value.
    fn encode(value: &T) -> Result<Bytes, BoxError>;

    /// The value of payload bytes. The error should say what is wrong and where.
    fn decode(payload: &[u8]) -> Result<T, BoxError>;
}

/// JSON. What Go's `encoding/json` writes differently from serde is in [`go_json`](crate::go_json).
///
/// Fields that the type does not have are passed over. An empty payload, as of Go's `NewTask(name, nil)`, is read as
/// `null` or `{}`. An error names the type, the field and the position.
#[derive(Debug, Clone, Copy)]
pub struct JsonCodec;

impl<T: Serialize + DeserializeOwned> Codec<T> for JsonCodec {
    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(value)?.into())
    }

    fn decode(payload: &[u8]) -> Result<T, BoxError> {
        match serde_json::from_slice(payload) {
            Ok(value) => Ok(value),
            Err(_) if payload.is_empty() => from_nothing(),
            // Only now: keeping track of the path costs time, and most payloads are good.
            Err(error) => Err(with_path::<T>(payload, error)),
        }
    }
}

fn from_nothing<T: DeserializeOwned>() -> Result<T, BoxError> {
    serde_json::from_slice(b"null")
        .or_else(|_| serde_json::from_slice(b"{}"))
        .map_err(|error| format!("{}: the payload is empty: {error}", type_name::<T>()).into())
}

fn with_path<T: DeserializeOwned>(payload: &[u8], error: serde_json::Error) -> BoxError {
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let name = type_name::<T>();
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(found) if found.path().iter().next().is_some() => {
            format!("{name}, field `{}`: {}", found.path(), found.inner()).into()
        }
        // The value itself is at fault, or what comes after it.
        _ => format!("{name}: {error}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        items: Vec<Item>,
        #[serde(default)]
        note: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Item {
        count: u32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Ping;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Settings {
        #[serde(default)]
        depth: u8,
    }

    fn decode<T: Serialize + DeserializeOwned>(json: &str) -> Result<T, String> {
        JsonCodec::decode(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_names_the_type_the_field_and_the_position() {
        let error = decode::<Order>(r#"{"items": [{"count": 1}, {"count": "two"}]}"#).unwrap_err();

        assert_eq!(
            error,
            "asynq_core::codec::tests::Order, field `items[1].count`: invalid type: string \"two\", expected u32 at line 1 column 40"
        );
    }

    #[test]
    fn an_error_of_the_whole_names_the_type_and_the_position() {
        assert_eq!(
            decode::<Order>("[1,").unwrap_err(),
            "asynq_core::codec::tests::Order, field `[0]`: invalid type: integer `1`, expected a sequence at line 1 column 2"
        );
        assert_eq!(
            decode::<Order>("{}").unwrap_err(),
            "asynq_core::codec::tests::Order: missing field `items` at line 1 column 2"
        );
        assert_eq!(
            decode::<Ping>("null null").unwrap_err(),
            "asynq_core::codec::tests::Ping: trailing characters at line 1 column 6"
        );
    }

    #[test]
    fn unknown_fields_and_missing_ones_with_a_default_are_accepted() {
        let order: Order = decode(r#"{"items": [], "colour": "red"}"#).unwrap();

        assert_eq!((order.items.len(), order.note.as_str()), (0, ""));
    }

    #[test]
    fn an_empty_payload_is_a_value_without_fields() {
        assert_eq!(decode::<Ping>("").unwrap(), Ping);
        assert_eq!(decode::<Settings>("").unwrap(), Settings { depth: 0 });
        assert!(decode::<Order>("").unwrap_err().contains("the payload is empty"));
    }
}
