//! The stored form of what schedulers show: the protobuf records of Go asynq's `asynq.proto`.

use asynq_core::broker::{ScheduleEntry, ScheduleEvent};
use asynq_core::{TaskId, Timestamp};
use bytes::Bytes;
use prost::Message;

use crate::wire::{WireTimestamp, from_wire_time, to_wire_time};

/// What Go takes for no time: the first second of the year 1.
const GO_ZERO_TIME: i64 = -62_135_596_800;

#[derive(Clone, PartialEq, Message)]
struct WireScheduleEntry {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    spec: String,
    #[prost(string, tag = "3")]
    task_type: String,
    #[prost(bytes = "bytes", tag = "4")]
    task_payload: Bytes,
    #[prost(string, repeated, tag = "5")]
    enqueue_options: Vec<String>,
    // Both times are always written: old versions of Go asynq refuse a record without.
    #[prost(message, optional, tag = "6")]
    next_enqueue_time: Option<WireTimestamp>,
    #[prost(message, optional, tag = "7")]
    prev_enqueue_time: Option<WireTimestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct WireScheduleEvent {
    #[prost(string, tag = "1")]
    task_id: String,
    #[prost(message, optional, tag = "2")]
    enqueue_time: Option<WireTimestamp>,
}

/// The stored form of what is shown of an entry.
pub(crate) fn encode_schedule_entry(entry: &ScheduleEntry) -> Vec<u8> {
    WireScheduleEntry {
        id: entry.id.clone(),
        spec: entry.spec.clone(),
        task_type: entry.task_type.clone(),
        task_payload: entry.payload.clone(),
        enqueue_options: entry.options.clone(),
        next_enqueue_time: Some(to_optional_time(entry.next_enqueue_at)),
        prev_enqueue_time: Some(to_optional_time(entry.previous_enqueue_at)),
    }
    .encode_to_vec()
}

/// What is shown of an entry, from its stored form.
pub(crate) fn decode_schedule_entry(bytes: Bytes) -> Result<ScheduleEntry, prost::DecodeError> {
    let wire = WireScheduleEntry::decode(bytes)?;
    Ok(ScheduleEntry {
        id: wire.id,
        spec: wire.spec,
        task_type: wire.task_type,
        payload: wire.task_payload,
        options: wire.enqueue_options,
        next_enqueue_at: from_optional_time(wire.next_enqueue_time),
        previous_enqueue_at: from_optional_time(wire.prev_enqueue_time),
    })
}

/// The stored form of what was enqueued for an entry.
pub(crate) fn encode_schedule_event(event: &ScheduleEvent) -> Vec<u8> {
    WireScheduleEvent {
        task_id: event.task_id.to_string(),
        enqueue_time: Some(to_wire_time(event.enqueued_at)),
    }
    .encode_to_vec()
}

/// What was enqueued for an entry, from its stored form.
pub(crate) fn decode_schedule_event(bytes: Bytes) -> Result<ScheduleEvent, prost::DecodeError> {
    let wire = WireScheduleEvent::decode(bytes)?;
    Ok(ScheduleEvent {
        task_id: TaskId::from_stored(wire.task_id),
        enqueued_at: from_wire_time(wire.enqueue_time),
    })
}

fn to_optional_time(time: Option<Timestamp>) -> WireTimestamp {
    to_wire_time(time.unwrap_or(Timestamp::from_unix_seconds(GO_ZERO_TIME)))
}

fn from_optional_time(time: Option<WireTimestamp>) -> Option<Timestamp> {
    time.map(|time| from_wire_time(Some(time)))
        .filter(|time| time.unix_seconds() != GO_ZERO_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits: Vec<u8> = text
            .bytes()
            .map(|digit| char::from(digit).to_digit(16).unwrap() as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
    }

    #[test]
    fn records_are_those_of_go() {
        let entry = ScheduleEntry {
            id: "e1".to_owned(),
            spec: "@every 1m".to_owned(),
            task_type: "t".to_owned(),
            payload: Bytes::from_static(b"p"),
            options: vec!["Queue(\"low\")".to_owned()],
            next_enqueue_at: Some(Timestamp::from_unix_seconds(1_700_000_000)),
            previous_enqueue_at: None,
        };
        let stored = hex(concat!(
            "0a026531120940657665727920316d1a01742201702a0c517565756528226c6f77222932060880e2cfaa06",
            "3a0b088092b8c398feffffff01"
        ));

        assert_eq!(encode_schedule_entry(&entry), stored);
        assert_eq!(decode_schedule_entry(stored).unwrap(), entry);
        // Go's nanoseconds are cut to microseconds.
        let event = decode_schedule_event(hex("0a016912080880e2cfaa061005")).unwrap();
        assert_eq!(event.task_id, "i");
        assert_eq!(encode_schedule_event(&event), hex("0a016912060880e2cfaa06"));
    }
}
