//! Takes answers of the server apart.

use asynq_core::{BrokerError, QueueName, Timestamp};
use bytes::Bytes;
use redis::Value;

use crate::error::{server_error, unexpected};

/// An answer that is not an error. An error is about `queue`.
pub(crate) fn ok(
    operation: &'static str,
    queue: Option<&QueueName>,
    value: Value,
) -> Result<Value, BrokerError> {
    match value {
        Value::ServerError(error) => Err(server_error(operation, queue, error)),
        value => Ok(value),
    }
}

/// Reads an array from its beginning, element by element.
pub(crate) struct Items {
    operation: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Items {
    pub(crate) fn of(operation: &'static str, value: Value) -> Result<Self, BrokerError> {
        let values = match value {
            Value::Array(values) | Value::Set(values) => values,
            Value::Nil => Vec::new(),
            other => return Err(unexpected(operation, &other)),
        };
        Ok(Items {
            operation,
            values: values.into_iter(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.as_slice().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.as_slice().len()
    }

    pub(crate) fn value(&mut self) -> Result<Value, BrokerError> {
        self.values
            .next()
            .ok_or_else(|| unexpected(self.operation, &Value::Nil))
    }

    pub(crate) fn items(&mut self) -> Result<Items, BrokerError> {
        Items::of(self.operation, self.value()?)
    }

    pub(crate) fn integer(&mut self) -> Result<i64, BrokerError> {
        integer(self.operation, self.value()?)
    }

    /// An integer that cannot be negative, such as a count.
    pub(crate) fn count(&mut self) -> Result<usize, BrokerError> {
        Ok(usize::try_from(self.integer()?).unwrap_or(0))
    }

    /// Bytes; nothing for nil.
    pub(crate) fn bytes(&mut self) -> Result<Option<Bytes>, BrokerError> {
        bytes(self.operation, self.value()?)
    }

    /// Text; blank for nil. What is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> Result<String, BrokerError> {
        Ok(match self.bytes()? {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => String::new(),
        })
    }

    /// Microseconds since the Unix epoch, as text since Lua's integers end at 2⁵³.
    pub(crate) fn timestamp(&mut self) -> Result<Timestamp, BrokerError> {
        self.integer().map(Timestamp::from_unix_micros)
    }

    /// As [`Items::timestamp`]; nothing for nil and for blank.
    pub(crate) fn optional_timestamp(&mut self) -> Result<Option<Timestamp>, BrokerError> {
        match self.value()? {
            Value::Nil => Ok(None),
            Value::BulkString(text) if text.is_empty() => Ok(None),
            value => integer(self.operation, value).map(|micros| Some(Timestamp::from_unix_micros(micros))),
        }
    }
}

pub(crate) fn integer(operation: &'static str, value: Value) -> Result<i64, BrokerError> {
    match &value {
        Value::Int(number) => Ok(*number),
        Value::Nil => Ok(0),
        Value::BulkString(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| unexpected(operation, &value)),
        _ => Err(unexpected(operation, &value)),
    }
}

pub(crate) fn bytes(operation: &'static str, value: Value) -> Result<Option<Bytes>, BrokerError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::SimpleString(text) => Ok(Some(text.into())),
        Value::Nil => Ok(None),
        other => Err(unexpected(operation, &other)),
    }
}
