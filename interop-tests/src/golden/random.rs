//! Tasks at random, with texts that are easily taken for something else.

use std::time::Duration;

use asynq_core::{GroupName, QueueName, TaskId, TaskMessage, Timestamp};
use fastrand::Rng;

const TEXTS: [&str; 6] = ["x", "größer ≠", "a:b}c{d", "\u{1f980}\0\n", "%s %d", "  spaced  "];

pub(super) fn text(rng: &mut Rng) -> &'static str {
    TEXTS[rng.usize(0..TEXTS.len())]
}

pub(super) fn number(rng: &mut Rng) -> u64 {
    [0, 1, 127, 128, 1 << 31, 4_000_000_000][rng.usize(0..6)]
}

/// A time within this century, with microseconds.
pub(super) fn micros(rng: &mut Rng) -> Timestamp {
    Timestamp::from_unix_micros(rng.i64(0..2_000_000_000_000_000))
}

pub(super) fn random_message(rng: &mut Rng) -> TaskMessage {
    let mut time = || (number(rng) > 0).then(|| Timestamp::from_unix_seconds(number(rng).max(1) as i64));
    let (last_failed_at, deadline, completed_at) = (time(), time(), time());
    let queue = QueueName::from_stored(["q", "größer", "a:b", "{x"][rng.usize(0..4)]);
    let task_type = text(rng);
    let payload: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
    let headers = (0..rng.usize(0..4)).map(|_| (text(rng).to_owned(), text(rng).to_owned()));
    let headers = headers.collect();
    TaskMessage {
        id: TaskId::from_stored(text(rng)),
        headers,
        max_retry: (number(rng) as u32).min(i32::MAX as u32),
        retried: rng.u32(0..1000),
        last_error: if rng.bool() {
            text(rng).to_owned()
        } else {
            String::new()
        },
        last_failed_at,
        timeout: Some(number(rng))
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        deadline,
        retention: Duration::from_secs(number(rng)),
        completed_at,
        group: None::<GroupName>,
        unique_key: None,
        unknown_fields: bytes::Bytes::new(),
        queue,
        task_type: task_type.into(),
        payload: payload.into(),
    }
}
