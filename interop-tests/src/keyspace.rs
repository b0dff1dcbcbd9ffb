//! All that a Redis database holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use redis::{Connection, Value};

use crate::go::Broken;
use crate::hex;

/// The keys of a database and what is in them.
pub(crate) type KeySpace = BTreeMap<String, Entry>;

/// A key's value and how long it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) ttl: Option<i64>,
    pub(crate) value: Stored,
}

/// A value, by its type.
#[derive(Clone, PartialEq)]
pub(crate) enum Stored {
    Text(Vec<u8>),
    List(Vec<String>),
    Set(BTreeSet<String>),
    Sorted(BTreeMap<String, f64>),
    Hash(BTreeMap<String, Vec<u8>>),
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stored::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Stored::List(items) => write!(f, "{items:?}"),
            Stored::Set(items) => write!(f, "{items:?}"),
            Stored::Sorted(items) => write!(f, "{items:?}"),
            Stored::Hash(fields) => f
                .debug_map()
                .entries(fields.iter().map(|(k, v)| (k, String::from_utf8_lossy(v))))
                .finish(),
        }
    }
}

/// Reads databases whole, in one go.
const DUMP: &str = r"
local function read(key, kind)
  if kind == 'string' then return redis.call('GET', key) end
  if kind == 'list' then return redis.call('LRANGE', key, 0, -1) end
  if kind == 'set' then return redis.call('SMEMBERS', key) end
  if kind == 'zset' then return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  return redis.call('HGETALL', key)
end
local databases = {}
for i, database in ipairs(ARGV) do
  redis.call('SELECT', database)
  local entries = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind = redis.call('TYPE', key).ok
    entries[#entries + 1] = {key, kind, redis.call('PTTL', key), read(key, kind)}
  end
  databases[i] = entries
end
return databases
";

/// Both databases at the same moment.
pub(crate) fn read_both(redis: &mut Connection, first: i64, second: i64) -> Result<[KeySpace; 2], Broken> {
    let answer: Value = redis::Script::new(DUMP)
        .arg(first)
        .arg(second)
        .invoke(redis)
        .map_err(|error| format!("cannot read the databases: {error}"))?;
    let mut databases = items(answer)?.into_iter();
    let mut next = || key_space(databases.next().unwrap_or(Value::Nil));
    Ok([next()?, next()?])
}

fn key_space(database: Value) -> Result<KeySpace, Broken> {
    let mut keys = KeySpace::new();
    for entry in items(database)? {
        let mut fields = items(entry)?.into_iter();
        let mut next = || fields.next().unwrap_or(Value::Nil);
        let (key, kind) = (text(next())?, text(next())?);
        let ttl = match next() {
            Value::Int(millis) if millis >= 0 => Some(millis),
            _ => None,
        };
        let value = stored(&kind, next())?;
        keys.insert(key, Entry { ttl, value });
    }
    Ok(keys)
}

fn stored(kind: &str, value: Value) -> Result<Stored, Broken> {
    Ok(match kind {
        "string" => Stored::Text(bytes(value)?),
        "list" => Stored::List(texts(value)?),
        "set" => Stored::Set(texts(value)?.into_iter().collect()),
        "zset" => {
            let all = texts(value)?;
            let score = |text: &String| text.parse().map_err(|_| format!("score {text:?}"));
            let pairs = all.chunks_exact(2);
            Stored::Sorted(
                pairs
                    .map(|pair| Ok((pair[0].clone(), score(&pair[1])?)))
                    .collect::<Result<_, Broken>>()?,
            )
        }
        _ => {
            let mut fields = BTreeMap::new();
            let mut all = items(value)?.into_iter();
            while let (Some(name), Some(value)) = (all.next(), all.next()) {
                fields.insert(text(name)?, bytes(value)?);
            }
            Stored::Hash(fields)
        }
    })
}

pub(crate) fn items(value: Value) -> Result<Vec<Value>, Broken> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(format!("Redis answered {other:?} instead of a list")),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, Broken> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(format!("Redis answered {other:?} instead of bytes")),
    }
}

/// What is no text is written as hexadecimal digits, so that it can still be told apart.
fn text(value: Value) -> Result<String, Broken> {
    let text = String::from_utf8(bytes(value)?);
    Ok(text.unwrap_or_else(|error| format!("x{}", hex::encode(error.as_bytes()))))
}

fn texts(value: Value) -> Result<Vec<String>, Broken> {
    items(value)?.into_iter().map(text).collect()
}
