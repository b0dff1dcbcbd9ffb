//! Compares the key spaces of two databases.

use std::collections::{BTreeMap, BTreeSet};

use crate::differences::{Difference, Met};
use crate::keyspace::{Entry, KeySpace, Stored};
use crate::protobuf::Record;

/// What the comparison must know besides the key spaces.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The nonce under which each task of queue and id is held; 0 for a Go worker.
    pub(crate) nonces: BTreeMap<(String, String), u32>,
    /// Ids of aggregation sets: each broker draws its own.
    pub(crate) sets: Vec<[String; 2]>,
    /// Go also worked on the second database, and leaves hash fields that it does not know.
    pub(crate) is_mixed: bool,
    /// Daily counters that have been seen, so that their expiry is checked when they are made.
    pub(crate) counters: BTreeSet<String>,
    /// How far the time of the test is ahead of that of Redis, in milliseconds.
    pub(crate) ahead: i64,
}

/// Clocks run on while two brokers do the same.
const SLACK_MILLIS: i64 = 3_000;
const NINETY_DAYS_MILLIS: i64 = 90 * 86_400_000;

/// The first difference that is not intended.
pub(crate) fn compare(
    go: &KeySpace,
    ours: &KeySpace,
    known: &mut Known,
    met: &mut Met,
) -> Result<(), String> {
    let [go, ours] = [named(go, known, 0), named(ours, known, 1)];
    let keys: BTreeSet<&String> = go.keys().chain(ours.keys()).collect();
    for key in keys {
        match (go.get(key), ours.get(key)) {
            (Some(one), Some(other)) => {
                entry(key, one, other, known, met).map_err(|what| format!("{key}: {what}"))?;
            }
            (Some(one), None) => return Err(format!("{key}: only Go has it: {:?}", one.value)),
            (None, Some(other)) => return Err(format!("{key}: only ours has it: {:?}", other.value)),
            (None, None) => {}
        }
    }
    known.counters = ours.keys().filter(|key| is_daily(key)).cloned().collect();
    Ok(())
}

/// The key space with the sets of either side under common names.
fn named(keys: &KeySpace, known: &Known, side: usize) -> KeySpace {
    let rename = |text: &str| {
        let mut text = text.to_owned();
        for (number, set) in known.sets.iter().enumerate() {
            if text.ends_with(&set[side]) {
                text = text.replace(&set[side], &format!("set-{number}"));
            }
        }
        text
    };
    let value = |key: &str, entry: &Entry| match &entry.value {
        Stored::Sorted(members) if key.ends_with(":aggregation_sets") => Stored::Sorted(
            members
                .iter()
                .map(|(name, score)| (rename(name), *score))
                .collect(),
        ),
        value => value.clone(),
    };
    keys.iter()
        .map(|(key, entry)| {
            let renamed = Entry {
                ttl: entry.ttl,
                value: value(key, entry),
            };
            (rename(key), renamed)
        })
        .collect()
}

/// The part of a queue's key after its name, and the name.
fn parts(key: &str) -> Option<(&str, &str)> {
    let (queue, rest) = key.strip_prefix("asynq:{")?.split_once("}:")?;
    Some((rest, queue))
}

fn is_daily(key: &str) -> bool {
    parts(key).is_some_and(|(rest, _)| rest.starts_with("processed:") || rest.starts_with("failed:"))
}

fn entry(key: &str, go: &Entry, ours: &Entry, known: &Known, met: &mut Met) -> Result<(), String> {
    expiry(key, go.ttl, ours.ttl, known, met)?;
    let (rest, queue) = parts(key).unwrap_or((key, ""));
    match (&go.value, &ours.value) {
        (Stored::Hash(one), Stored::Hash(other)) if rest.starts_with("t:") => {
            task(one, other, known.is_mixed, met)
        }
        (Stored::Hash(one), Stored::Hash(other)) => records(one, other),
        (Stored::Text(one), Stored::Text(other)) if key.starts_with("asynq:servers:") => {
            record(QUEUES, one, other)
        }
        (Stored::Sorted(one), Stored::Sorted(other)) if rest == "lease" => {
            leases(queue, one, other, known, met)
        }
        (Stored::Sorted(_), Stored::Sorted(_)) if rest == "scheduled" || rest == "retry" => Ok(()),
        (one, other) if one == other => Ok(()),
        (one, other) => Err(format!("Go has {one:?}, ours {other:?}")),
    }
}

fn expiry(key: &str, go: Option<i64>, ours: Option<i64>, known: &Known, met: &mut Met) -> Result<(), String> {
    let near = |one: i64, other: i64| (one - other).abs() <= SLACK_MILLIS;
    match (go, ours) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) if is_daily(key) && known.counters.contains(key) => Ok(()),
        (Some(one), Some(other))
            if is_daily(key)
                && near(one, NINETY_DAYS_MILLIS + known.ahead)
                && near(other, NINETY_DAYS_MILLIS) =>
        {
            if !near(one, other) {
                met.note(Difference::CounterExpiry);
            }
            Ok(())
        }
        (Some(one), Some(other)) if near(one, other) => Ok(()),
        // The last one that was recorded, by Go too, may be long ago.
        (None, Some(other))
            if key.starts_with("asynq:scheduler_history:") && other <= NINETY_DAYS_MILLIS + SLACK_MILLIS =>
        {
            met.note(Difference::HistoryExpiry);
            Ok(())
        }
        _ => Err(format!("it expires in {go:?} ms for Go, in {ours:?} ms for ours")),
    }
}

/// The fields that are maps.
const HEADERS: u64 = 15;
const QUEUES: u64 = 5;
const NONE: u64 = 0;

fn record(map: u64, go: &[u8], ours: &[u8]) -> Result<(), String> {
    let [one, other] = [go, ours].map(|bytes| Record::parse(bytes, map).ok_or("not a record"));
    let (one, other) = (one?, other?);
    if one == other {
        return Ok(());
    }
    Err(format!("Go has {one:?}, ours {other:?}"))
}

fn records(go: &BTreeMap<String, Vec<u8>>, ours: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    if !go.keys().eq(ours.keys()) {
        return Err(format!("Go has fields {:?}, ours {:?}", go.keys(), ours.keys()));
    }
    go.iter()
        .try_for_each(|(name, value)| record(NONE, value, &ours[name]))
}

fn task(
    go: &BTreeMap<String, Vec<u8>>,
    ours: &BTreeMap<String, Vec<u8>>,
    is_mixed: bool,
    met: &mut Met,
) -> Result<(), String> {
    for (name, value) in go {
        let Some(other) = ours.get(name) else {
            return Err(format!("only Go has field {name:?}"));
        };
        if name == "msg" {
            record(HEADERS, value, other)?;
        } else if value != other {
            let [one, other] = [value, other].map(|bytes| String::from_utf8_lossy(bytes));
            return Err(format!("field {name:?} is {one:?} for Go, {other:?} for ours"));
        }
    }
    let state = ours.get("state").map_or(&b""[..], Vec::as_slice);
    for (name, value) in ours.iter().filter(|(name, _)| !go.contains_key(*name)) {
        let belongs: &[&[u8]] = match name.as_str() {
            "due" => &[b"scheduled", b"retry"],
            "started" | "cancel" => &[b"active"],
            "lost" => &[b"active", b"pending"],
            _ => return Err(format!("only ours has field {name:?}")),
        };
        if !value.iter().all(u8::is_ascii_digit) || !(is_mixed || belongs.contains(&state)) {
            return Err(format!(
                "ours has field {name:?} in state {}",
                String::from_utf8_lossy(state)
            ));
        }
        met.note(Difference::ExtraFields);
    }
    Ok(())
}

fn leases(
    queue: &str,
    go: &BTreeMap<String, f64>,
    ours: &BTreeMap<String, f64>,
    known: &Known,
    met: &mut Met,
) -> Result<(), String> {
    if !go.keys().eq(ours.keys()) {
        return Err(format!("Go has {go:?}, ours {ours:?}"));
    }
    for (id, score) in ours {
        let nonce = known.nonces.get(&(queue.to_owned(), id.clone())).copied();
        let fraction = (score - score.floor()) * f64::from(1 << 20);
        if go[id] != score.floor() || Some(fraction) != nonce.map(f64::from) {
            return Err(format!(
                "{id} has {} for Go, {score} for ours, nonce {nonce:?}",
                go[id]
            ));
        }
        if fraction > 0.0 {
            met.note(Difference::LeaseNonce);
        }
    }
    Ok(())
}

/// Compares the sets of tasks that wait for a time: it needs the hashes of the tasks.
pub(crate) fn timed(go: &KeySpace, ours: &KeySpace, met: &mut Met) -> Result<(), String> {
    for (key, entry) in ours {
        let Some((rest @ ("scheduled" | "retry"), queue)) = parts(key) else {
            continue;
        };
        let (Stored::Sorted(ours_set), Some(Stored::Sorted(go_set))) =
            (&entry.value, go.get(key).map(|entry| &entry.value))
        else {
            return Err(format!("{key} is not a sorted set"));
        };
        if !go_set.keys().eq(ours_set.keys()) {
            return Err(format!("{key}: Go has {go_set:?}, ours {ours_set:?}"));
        }
        for (id, score) in ours_set {
            let due = field(ours, &format!("asynq:{{{queue}}}:t:{id}"), "due");
            one_timed(go_set[id], *score, due, met)
                .map_err(|what| format!("{rest} {id} of {queue}: {what}"))?;
        }
    }
    Ok(())
}

fn one_timed(go: f64, ours: f64, due: Option<f64>, met: &mut Met) -> Result<(), String> {
    if go == ours {
        return Ok(());
    }
    match due {
        Some(due) if (due / 1e6).floor() == go && (due / 1e6).ceil() == ours => {
            met.note(Difference::ExactTime);
            Ok(())
        }
        _ => Err(format!("{go} for Go, {ours} for ours, due {due:?}")),
    }
}

/// A number in a hash.
pub(crate) fn field(keys: &KeySpace, key: &str, name: &str) -> Option<f64> {
    match &keys.get(key)?.value {
        Stored::Hash(fields) => std::str::from_utf8(fields.get(name)?).ok()?.parse().ok(),
        _ => None,
    }
}
