//! The stored form of tasks, servers and workers: the protobuf records of Go asynq's `asynq.proto`.

use std::collections::BTreeMap;
use std::time::Duration;

use asynq_core::broker::{ScheduleEntry, ScheduleEvent, ServerId, ServerInfo, WorkerInfo};
use asynq_core::{GroupName, QueueName, TaskId, TaskMessage, Timestamp};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::decode_varint;

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

#[derive(Clone, PartialEq, Message)]
struct WireTimestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct WireServer {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(string, tag = "3")]
    server_id: String,
    #[prost(int32, tag = "4")]
    concurrency: i32,
    #[prost(btree_map = "string, int32", tag = "5")]
    queues: BTreeMap<String, i32>,
    #[prost(bool, tag = "6")]
    strict_priority: bool,
    #[prost(string, tag = "7")]
    status: String,
    // Timestamps are always written: old versions of Go asynq refuse a record without.
    #[prost(message, optional, tag = "8")]
    start_time: Option<WireTimestamp>,
    #[prost(int32, tag = "9")]
    active_worker_count: i32,
}

#[derive(Clone, PartialEq, Message)]
struct WireWorker {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(string, tag = "3")]
    server_id: String,
    #[prost(string, tag = "4")]
    task_id: String,
    #[prost(string, tag = "5")]
    task_type: String,
    #[prost(bytes = "bytes", tag = "6")]
    task_payload: Bytes,
    #[prost(string, tag = "7")]
    queue: String,
    #[prost(message, optional, tag = "8")]
    start_time: Option<WireTimestamp>,
    #[prost(message, optional, tag = "9")]
    deadline: Option<WireTimestamp>,
}

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

/// The stored form of what is shown of a server.
pub(crate) fn encode_server(server: &ServerInfo) -> Vec<u8> {
    let queues = server.queues.iter();
    WireServer {
        host: server.id.host.clone(),
        pid: to_i32(server.id.pid),
        server_id: server.id.id.clone(),
        concurrency: to_i32(server.concurrency),
        queues: queues
            .map(|(queue, priority)| (queue.to_string(), to_i32(*priority)))
            .collect(),
        strict_priority: server.strict_priority,
        status: server.status.clone(),
        start_time: Some(to_wire_time(server.started_at)),
        active_worker_count: to_i32(server.active_workers),
    }
    .encode_to_vec()
}

/// What is shown of a server, from its stored form.
pub(crate) fn decode_server(bytes: &[u8]) -> Result<ServerInfo, prost::DecodeError> {
    let wire = WireServer::decode(bytes)?;
    let queues = wire.queues.into_iter();
    Ok(ServerInfo {
        id: ServerId {
            host: wire.host,
            pid: to_u32(wire.pid),
            id: wire.server_id,
        },
        concurrency: to_u32(wire.concurrency),
        queues: queues
            .map(|(queue, priority)| (QueueName::from_stored(queue), to_u32(priority)))
            .collect(),
        strict_priority: wire.strict_priority,
        status: wire.status,
        started_at: from_wire_time(wire.start_time),
        active_workers: to_u32(wire.active_worker_count),
    })
}

/// The stored form of what is shown of a worker.
pub(crate) fn encode_worker(worker: &WorkerInfo) -> Vec<u8> {
    WireWorker {
        host: worker.server.host.clone(),
        pid: to_i32(worker.server.pid),
        server_id: worker.server.id.clone(),
        task_id: worker.task_id.to_string(),
        task_type: worker.task_type.as_ref().to_owned(),
        task_payload: worker.payload.clone(),
        queue: worker.queue.to_string(),
        start_time: Some(to_wire_time(worker.started_at)),
        deadline: Some(to_wire_time(worker.deadline)),
    }
    .encode_to_vec()
}

/// What is shown of a worker, from its stored form.
pub(crate) fn decode_worker(bytes: Bytes) -> Result<WorkerInfo, prost::DecodeError> {
    let wire = WireWorker::decode(bytes)?;
    Ok(WorkerInfo {
        server: ServerId {
            host: wire.host,
            pid: to_u32(wire.pid),
            id: wire.server_id,
        },
        task_id: TaskId::from_stored(wire.task_id),
        task_type: wire.task_type.into(),
        payload: wire.task_payload,
        queue: QueueName::from_stored(wire.queue),
        started_at: from_wire_time(wire.start_time),
        deadline: from_wire_time(wire.deadline),
    })
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

/// No time is the first second of the year 1, as in Go.
fn or_zero_time(time: Option<Timestamp>) -> WireTimestamp {
    to_wire_time(time.unwrap_or(Timestamp::from_unix_seconds(-62_135_596_800)))
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

fn to_wire_time(time: Timestamp) -> WireTimestamp {
    WireTimestamp {
        seconds: time.unix_seconds(),
        // Less than a second in nanoseconds fits.
        nanos: (time.unix_micros().rem_euclid(1_000_000) * 1_000) as i32,
    }
}

fn from_wire_time(time: Option<WireTimestamp>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::from_unix_micros(
        time.seconds
            .saturating_mul(1_000_000)
            .saturating_add(i64::from(time.nanos) / 1_000),
    )
}

/// Go writes the year 1 for what never was or will be.
fn not_zero_time(time: Option<WireTimestamp>) -> Option<Timestamp> {
    const GO_ZERO_SECONDS: i64 = -62_135_596_800;
    time.filter(|time| time.seconds != GO_ZERO_SECONDS)
        .map(|time| from_wire_time(Some(time)))
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

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn to_u32(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

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

    #[test]
    fn server_and_worker_records_are_those_of_go() {
        let id = ServerId {
            host: "h".to_owned(),
            pid: 7,
            id: "s".to_owned(),
        };
        let started_at = Timestamp::from_unix_seconds(1_700_000_000);
        let server = ServerInfo {
            id: id.clone(),
            concurrency: 10,
            queues: BTreeMap::from([(QueueName::default(), 1)]),
            strict_priority: true,
            status: "active".to_owned(),
            started_at,
            active_workers: 2,
        };
        let worker = WorkerInfo {
            server: id,
            task_id: TaskId::new("i").unwrap(),
            task_type: "t".into(),
            payload: Bytes::from_static(b"p"),
            queue: QueueName::new("q").unwrap(),
            started_at,
            deadline: Timestamp::from_unix_seconds(1_700_001_800),
        };

        let server_bytes = encode_server(&server);
        let worker_bytes = encode_worker(&worker);

        assert_eq!(
            server_bytes,
            hex("0a016810071a0173200a2a0b0a0764656661756c74100130013a0661637469766542060880e2cfaa064802")
        );
        assert_eq!(
            worker_bytes,
            hex("0a016810071a01732201692a01743201703a017142060880e2cfaa064a060888f0cfaa06")
        );
        assert_eq!(decode_server(&server_bytes).unwrap(), server);
        assert_eq!(decode_worker(worker_bytes.into()).unwrap(), worker);
    }

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

    #[test]
    fn the_zero_time_of_go_is_read() {
        let zero = from_wire_time(Some(WireTimestamp {
            seconds: -62_135_596_800,
            nanos: 0,
        }));

        assert_eq!(zero.unix_seconds(), -62_135_596_800);
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
