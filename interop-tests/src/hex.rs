//! Bytes in JSON: hexadecimal digits, null for none.

use std::fmt::Write as _;

use serde_json::Value;

pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Null if there are none, as what Go calls a nil slice.
pub(crate) fn to_json(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        encode(bytes).into()
    }
}

pub(crate) fn from_json(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    text.chunks(2)
        .filter(|pair| pair.len() == 2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
