//! What is shown of schedulers.

use asynq_core::TaskId;
use asynq_core::broker::{ScheduleEntry, ScheduleEvent};
use bytes::Bytes;
use prost::Message;

use super::value::{WireTimestamp, from_wire_time, not_zero_time, or_zero_time, to_wire_time};

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

/// What a scheduler will enqueue, from its stored form.
pub(crate) fn decode_schedule_entry(bytes: Bytes) -> Result<ScheduleEntry, prost::DecodeError> {
    let wire = WireScheduleEntry::decode(bytes)?;
    Ok(ScheduleEntry {
        id: wire.id,
        spec: wire.spec,
        task_type: wire.task_type,
        payload: wire.task_payload,
        options: wire.enqueue_options,
        next_enqueue_at: not_zero_time(wire.next_enqueue_time),
        previous_enqueue_at: not_zero_time(wire.prev_enqueue_time),
    })
}

/// What a scheduler enqueued, from its stored form.
pub(crate) fn decode_schedule_event(bytes: Bytes) -> Result<ScheduleEvent, prost::DecodeError> {
    let wire = WireScheduleEvent::decode(bytes)?;
    Ok(ScheduleEvent {
        task_id: TaskId::from_stored(wire.task_id),
        enqueued_at: from_wire_time(wire.enqueue_time),
    })
}

/// The stored form of what a scheduler will enqueue.
pub(crate) fn encode_schedule_entry(entry: &ScheduleEntry) -> Vec<u8> {
    WireScheduleEntry {
        id: entry.id.clone(),
        spec: entry.spec.clone(),
        task_type: entry.task_type.clone(),
        task_payload: entry.payload.clone(),
        enqueue_options: entry.options.clone(),
        next_enqueue_time: Some(or_zero_time(entry.next_enqueue_at)),
        prev_enqueue_time: Some(or_zero_time(entry.previous_enqueue_at)),
    }
    .encode_to_vec()
}

/// The stored form of what a scheduler enqueued.
pub(crate) fn encode_schedule_event(event: &ScheduleEvent) -> Vec<u8> {
    WireScheduleEvent {
        task_id: event.task_id.to_string(),
        enqueue_time: Some(to_wire_time(event.enqueued_at)),
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use asynq_core::Timestamp;

    use super::super::tests::hex;
    use super::*;

    #[test]
    fn schedule_records_are_those_of_go() {
        let entry = hex(
            "0a026531120940657665727920316d1a01742201702a0c517565756528226c6f77222932060880e2cfaa06\
             3a0b088092b8c398feffffff01",
        );
        let event = hex("0a016912080880e2cfaa061005");

        let stored = entry;
        let entry = decode_schedule_entry(stored.clone()).unwrap();
        assert_eq!(encode_schedule_entry(&entry), stored);
        assert_eq!((entry.id.as_str(), entry.spec.as_str()), ("e1", "@every 1m"));
        assert_eq!((entry.task_type.as_str(), &entry.payload[..]), ("t", &b"p"[..]));
        assert_eq!(entry.options, [r#"Queue("low")"#]);
        assert_eq!(
            entry.next_enqueue_at,
            Some(Timestamp::from_unix_seconds(1_700_000_000))
        );
        assert_eq!(entry.previous_enqueue_at, None);
        let event = decode_schedule_event(event).unwrap();
        assert_eq!(event.task_id, "i");
        assert_eq!(event.enqueued_at, Timestamp::from_unix_seconds(1_700_000_000));
        // Go's nanoseconds are cut to microseconds.
        assert_eq!(encode_schedule_event(&event), hex("0a016912060880e2cfaa06"));
    }
}
