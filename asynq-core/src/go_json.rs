//! For payloads that Go programs write or read: forms of `encoding/json` that serde does not have by itself.
//!
//! | Go | JSON | Rust |
//! |---|---|---|
//! | `string`, `bool`, numbers, structs, `map[string]T`, `map[int]T` | as expected | as expected; `i64` and `u64` in full |
//! | `[]byte` | base64 text | `Vec<u8>` with `#[serde(with = "asynq_core::go_json::bytes")]` |
//! | `time.Duration` | nanoseconds | `Duration` with `#[serde(with = "asynq_core::go_json::duration")]` |
//! | a nil slice or map | `null` | any type with a default, `#[serde(deserialize_with = "asynq_core::go_json::or_default")]` |
//! | a nil pointer | `null` | `Option<T>` |
//! | `time.Time` | RFC 3339 text | the timestamps of `jiff`, `chrono` and `time`, with their serde features |
//! | embedded struct | its fields | `#[serde(flatten)]` |
//! | `omitempty` | nothing | `#[serde(default)]` |
//! | `any`, `json.RawMessage` | whatever it is | `serde_json::Value` |
//!
//! `asynq_server::go_json` is the same module.
//!
//! ```
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Upload {
//!     #[serde(with = "asynq_core::go_json::bytes")]
//!     data: Vec<u8>,
//!     #[serde(with = "asynq_core::go_json::duration")]
//!     wait: Duration,
//!     #[serde(deserialize_with = "asynq_core::go_json::or_default")]
//!     tags: Vec<String>,
//! }
//!
//! let json = r#"{"data":"AAH/","wait":1500000000,"tags":null}"#;
//! let upload: Upload = serde_json::from_str(json)?;
//! assert_eq!(upload.data, [0, 1, 255]);
//! assert_eq!(upload.wait, Duration::from_millis(1500));
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Deserializer};

/// `null` is read as the default, as Go reads it.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `[]byte`: base64 text; `null` is read as empty.
pub mod bytes {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    /// For `#[serde(with = …)]`.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64::encode(bytes))
    }

    /// For `#[serde(with = …)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text: String = super::or_default(deserializer)?;
        super::base64::decode(&text).ok_or_else(|| D::Error::custom("expected bytes as base64 text"))
    }
}

/// `time.Duration`: whole nanoseconds.
pub mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// For `#[serde(with = …)]`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = i64::try_from(duration.as_nanos())
            .map_err(|_| S::Error::custom("a duration of more than 292 years does not fit Go's"))?;
        serializer.serialize_i64(nanos)
    }

    /// For `#[serde(with = …)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let nanos = i64::deserialize(deserializer)?;
        u64::try_from(nanos)
            .map(Duration::from_nanos)
            .map_err(|_| D::Error::custom("expected a duration that is not negative, in nanoseconds"))
    }
}

/// The standard alphabet, padded: what Go writes.
mod base64 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for place in 0..4 {
                let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
                let is_padding = place > chunk.len();
                text.push(if is_padding { '=' } else { char::from(letter) });
            }
        }
        text
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
        let chunks = text.as_bytes().chunks(4);
        let last = chunks.len().saturating_sub(1);
        for (place, chunk) in chunks.enumerate() {
            let padding = chunk.iter().rev().take_while(|letter| **letter == b'=').count();
            if chunk.len() != 4 || padding > 2 || (padding > 0 && place != last) {
                return None;
            }
            let mut bits = 0u32;
            for letter in &chunk[..4 - padding] {
                let value = ALPHABET.iter().position(|other| other == letter)?;
                bits = bits << 6 | u32::try_from(value).ok()?;
            }
            bits <<= 6 * padding;
            bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
        }
        Some(bytes)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use proptest::prelude::*;

        #[test]
        fn texts_are_those_of_rfc_4648() {
            let pairs = [
                ("", ""),
                ("f", "Zg=="),
                ("fo", "Zm8="),
                ("foo", "Zm9v"),
                ("foob", "Zm9vYg=="),
                ("foobar", "Zm9vYmFy"),
            ];
            for (plain, encoded) in pairs {
                assert_eq!(encode(plain.as_bytes()), encoded);
                assert_eq!(decode(encoded).unwrap(), plain.as_bytes());
            }
        }

        #[test]
        fn other_texts_are_refused() {
            for bad in [
                "Z", "Zg=", "Zg==Zg==", "Z===", "====", "Zm9v!", "Zm-_", "Zm 9v", "é===",
            ] {
                assert_eq!(decode(bad), None, "{bad}");
            }
        }

        proptest! {
            #[test]
            fn bytes_survive_the_way_to_text_and_back(bytes: Vec<u8>) {
                prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
            }

            #[test]
            fn no_text_makes_it_panic(text: String) {
                let _ = decode(&text);
            }
        }
    }
}
