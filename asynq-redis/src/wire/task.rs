//! Tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use asynq_core::{GroupName, QueueName, TaskId, TaskMessage, Timestamp};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::decode_varint;

use super::value::{not_empty, to_i32, to_u32};

#[derive(Clone, PartialEq, Message)]
struct WireTask {
    #[prost(string, tag = "1")]
    task_type: String,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(string, tag = "4")]
    queue: String,
    #[prost(int32, tag = "5")]
    retry: i32,
    #[prost(int32, tag = "6")]
    retried: i32,
    #[prost(string, tag = "7")]
    error_msg: String,
    #[prost(int64, tag = "8")]
    timeout: i64,
    #[prost(int64, tag = "9")]
    deadline: i64,
    #[prost(string, tag = "10")]
    unique_key: String,
    #[prost(int64, tag = "11")]
    last_failed_at: i64,
    #[prost(int64, tag = "12")]
    retention: i64,
    #[prost(int64, tag = "13")]
    completed_at: i64,
    #[prost(string, tag = "14")]
    group_key: String,
    #[prost(btree_map = "string, string", tag = "15")]
    headers: BTreeMap<String, String>,
}

/// Fields with a higher number were added by a newer version of asynq.
const LAST_TASK_FIELD: u64 = 15;

/// Why stored bytes are not a task that can be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeTaskError {
    #[error("not a task message: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("its type is blank")]
    BlankType,
    #[error("it is the message of task {0:?}")]
    OtherTask(String),
    #[error("it is the message of queue {0:?}")]
    OtherQueue(String),
}

/// The stored form of a task.
pub(crate) fn encode_task(message: &TaskMessage) -> Bytes {
    let wire = to_wire(message);
    let mut bytes = BytesMut::with_capacity(wire.encoded_len() + message.unknown_fields.len());
    wire.encode_raw(&mut bytes);
    bytes.extend_from_slice(&message.unknown_fields);
    bytes.freeze()
}

/// The task from its stored form, which was found under this queue and id.
pub(crate) fn decode_task(
    bytes: Bytes,
    queue: &QueueName,
    id: &TaskId,
) -> Result<TaskMessage, DecodeTaskError> {
    let unknown_fields = unknown_fields(&bytes)?;
    let wire = WireTask::decode(bytes)?;
    if wire.task_type.trim().is_empty() {
        return Err(DecodeTaskError::BlankType);
    }
    if *id != *wire.id.as_str() {
        return Err(DecodeTaskError::OtherTask(wire.id));
    }
    if *queue != *wire.queue.as_str() {
        return Err(DecodeTaskError::OtherQueue(wire.queue));
    }
    Ok(from_wire(wire, queue.clone(), id.clone(), unknown_fields))
}

fn to_wire(message: &TaskMessage) -> WireTask {
    WireTask {
        task_type: message.task_type.as_ref().to_owned(),
        payload: message.payload.clone(),
        id: message.id.as_str().to_owned(),
        queue: message.queue.as_str().to_owned(),
        retry: to_i32(message.max_retry),
        retried: to_i32(message.retried),
        error_msg: message.last_error.clone(),
        timeout: message.timeout.map_or(0, whole_seconds),
        deadline: message.deadline.map_or(0, Timestamp::unix_seconds),
        unique_key: message.unique_key.clone().unwrap_or_default(),
        last_failed_at: message.last_failed_at.map_or(0, Timestamp::unix_seconds),
        retention: whole_seconds(message.retention),
        completed_at: message.completed_at.map_or(0, Timestamp::unix_seconds),
        group_key: message
            .group
            .as_ref()
            .map_or_else(String::new, |group| group.as_str().to_owned()),
        headers: message.headers.clone(),
    }
}

fn from_wire(wire: WireTask, queue: QueueName, id: TaskId, unknown_fields: Bytes) -> TaskMessage {
    TaskMessage {
        id,
        queue,
        task_type: wire.task_type.into(),
        payload: wire.payload,
        headers: wire.headers,
        max_retry: to_u32(wire.retry),
        retried: to_u32(wire.retried),
        last_error: wire.error_msg,
        last_failed_at: stored_time(wire.last_failed_at),
        timeout: stored_duration(wire.timeout),
        deadline: stored_time(wire.deadline),
        retention: stored_duration(wire.retention).unwrap_or_default(),
        completed_at: stored_time(wire.completed_at),
        group: not_empty(wire.group_key).map(GroupName::from_stored),
        unique_key: not_empty(wire.unique_key),
        unknown_fields,
    }
}

/// The fields of a stored task that this version does not know, as they are.
///
/// prost drops them when it decodes. They are kept because finishing a task rewrites its message, and a newer peer
/// wants them back.
fn unknown_fields(bytes: &Bytes) -> Result<Bytes, prost::DecodeError> {
    let mut rest = bytes.clone();
    let mut unknown = BytesMut::new();
    while rest.has_remaining() {
        let before = rest.clone();
        let tag = decode_varint(&mut rest)?;
        skip_value(tag & 7, &mut rest)?;
        if tag >> 3 > LAST_TASK_FIELD {
            unknown.put_slice(&before[..before.len() - rest.len()]);
        }
    }
    Ok(unknown.freeze())
}

fn skip_value(wire_type: u64, rest: &mut Bytes) -> Result<(), prost::DecodeError> {
    let length = match wire_type {
        0 => decode_varint(rest).map(|_| 0)?,
        1 => 8,
        2 => decode_varint(rest)?,
        5 => 4,
        // Groups are older than proto3, which asynq.proto is written in. Decoding says what is wrong with them.
        _ => rest.remaining() as u64,
    };
    match usize::try_from(length) {
        Ok(length) if length <= rest.remaining() => rest.advance(length),
        // Cut short: decoding says so.
        _ => rest.advance(rest.remaining()),
    }
    Ok(())
}

fn stored_time(seconds: i64) -> Option<Timestamp> {
    (seconds != 0).then(|| Timestamp::from_unix_seconds(seconds))
}

fn stored_duration(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::hex;
    use super::*;

    fn message(queue: &str, id: &str) -> TaskMessage {
        TaskMessage {
            id: TaskId::new(id).unwrap(),
            queue: QueueName::new(queue).unwrap(),
            task_type: "t".into(),
            payload: Bytes::new(),
            headers: BTreeMap::new(),
            max_retry: 0,
            retried: 0,
            last_error: String::new(),
            last_failed_at: None,
            timeout: None,
            deadline: None,
            retention: Duration::ZERO,
            completed_at: None,
            group: None,
            unique_key: None,
            unknown_fields: Bytes::new(),
        }
    }

    fn welcome() -> TaskMessage {
        TaskMessage {
            task_type: "email:welcome".into(),
            payload: Bytes::from_static(b"{\"user_id\":42}"),
            max_retry: 25,
            timeout: Some(Duration::from_secs(1800)),
            ..message("default", "11111111-2222-3333-4444-555555555555")
        }
    }

    fn with_all_fields() -> TaskMessage {
        TaskMessage {
            payload: Bytes::from_static(&[0xff, 0]),
            headers: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            max_retry: 3,
            retried: 2,
            last_error: "boom".to_owned(),
            last_failed_at: Some(Timestamp::from_unix_seconds(1_700_000_000)),
            timeout: Some(Duration::from_secs(60)),
            deadline: Some(Timestamp::from_unix_seconds(1_700_000_100)),
            retention: Duration::from_secs(3600),
            completed_at: Some(Timestamp::from_unix_seconds(1_700_000_200)),
            group: Some(GroupName::new("g").unwrap()),
            unique_key: Some("asynq:{q}:unique:t:d41d8cd98f00b204e9800998ecf8427e".to_owned()),
            ..message("q", "i")
        }
    }

    /// As a newer version might write it.
    fn field(number: u64, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number << 3 | 2, &mut bytes);
        prost::encoding::encode_varint(value.len() as u64, &mut bytes);
        bytes.extend_from_slice(value);
        bytes
    }

    #[test]
    fn tasks_are_encoded_as_by_go() {
        assert_eq!(
            encode_task(&welcome()),
            hex(
                "0a0d656d61696c3a77656c636f6d65120e7b22757365725f6964223a34327d1a2431313131313131312d3232
                 32322d333333332d343434342d353535353535353535353535220764656661756c74281940880e"
            )
        );
        assert_eq!(
            encode_task(&with_all_fields()),
            hex(
                "0a01741202ff001a0169220171280330023a04626f6f6d403c48e4e2cfaa0652336173796e713a7b717d3a75
                 6e697175653a743a64343164386364393866303062323034653938303039393865636638343237655880e2cf
                 aa0660901c68c8e3cfaa067201677a060a016b120176"
            )
        );
    }

    #[test]
    fn tasks_of_go_are_decoded() {
        for message in [welcome(), with_all_fields()] {
            let decoded = decode_task(encode_task(&message), &message.queue, &message.id).unwrap();
            assert_eq!(decoded, message);
        }
    }

    #[test]
    fn a_negative_timeout_is_none() {
        let bytes = hex("0a01741a016922017140ffffffffffffffffff01");
        let expected = message("q", "i");

        assert_eq!(
            decode_task(bytes, &expected.queue, &expected.id).unwrap(),
            expected
        );
    }

    #[test]
    fn fields_of_a_newer_version_survive_rewriting() {
        let mut bytes = encode_task(&welcome()).to_vec();
        bytes.extend(field(16, b"new"));
        bytes.extend([0x88, 1, 7]);

        let decoded = decode_task(bytes.clone().into(), &welcome().queue, &welcome().id).unwrap();
        let rewritten = encode_task(&TaskMessage {
            retried: 1,
            ..decoded
        });

        assert!(rewritten.ends_with(&[&field(16, b"new")[..], &[0x88, 1, 7]].concat()));
        assert_eq!(rewritten.len(), bytes.len() + 2);
    }

    #[test]
    fn what_is_not_this_task_is_refused() {
        let expected = message("q", "i");
        let decode = |message: &TaskMessage| decode_task(encode_task(message), &expected.queue, &expected.id);

        assert!(matches!(
            decode(&message("q", "j")),
            Err(DecodeTaskError::OtherTask(_))
        ));
        assert!(matches!(
            decode(&message("r", "i")),
            Err(DecodeTaskError::OtherQueue(_))
        ));
        let blank = TaskMessage {
            task_type: " ".into(),
            ..message("q", "i")
        };
        assert!(matches!(decode(&blank), Err(DecodeTaskError::BlankType)));
        let not_utf8 = hex("0a01ff1a0169220171");
        assert!(matches!(
            decode_task(not_utf8, &expected.queue, &expected.id),
            Err(DecodeTaskError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn any_message_survives_the_way_there_and_back(
            task_type in "\\PC{0,20}x",
            payload in prop::collection::vec(any::<u8>(), 0..64),
            headers in prop::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..4),
            numbers in prop::array::uniform3(0..=i32::MAX as u32),
            seconds in prop::array::uniform4(prop::option::of(1..=4_000_000_000_i64)),
            last_error in "\\PC{0,40}",
            unknown in prop::option::of(prop::collection::vec(any::<u8>(), 0..32)),
        ) {
            let time = |at: usize| seconds[at].map(Timestamp::from_unix_seconds);
            let expected = TaskMessage {
                task_type: task_type.into(),
                payload: payload.into(),
                headers,
                max_retry: numbers[0],
                retried: numbers[1],
                last_error,
                last_failed_at: time(0),
                deadline: time(1),
                completed_at: time(2),
                timeout: seconds[3].map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
                retention: Duration::from_secs(numbers[2].into()),
                unknown_fields: unknown.map(|value| field(99, &value).into()).unwrap_or_default(),
                ..message("q", "i")
            };

            let decoded = decode_task(encode_task(&expected), &expected.queue, &expected.id).unwrap();

            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let expected = message("q", "i");
            let _ = decode_task(bytes.into(), &expected.queue, &expected.id);
        }
    }
}
