//! A payload that Go's `json.Marshal` wrote: `fixtures/go_payload.json`, of a struct with every form it has.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::time::Duration;

use asynq_core::{JsonCodec, RawTask, Task, go_json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const GO: &str = include_str!("fixtures/go_payload.json");

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    name: String,
    tags: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Payload {
    #[serde(flatten)]
    inner: Inner,
    #[serde(with = "go_json::bytes")]
    data: Vec<u8>,
    #[serde(with = "go_json::bytes")]
    empty: Vec<u8>,
    at: jiff::Timestamp,
    local: jiff::Timestamp,
    #[serde(with = "go_json::duration")]
    wait: Duration,
    min: i64,
    max: u64,
    ratio: f64,
    huge: f64,
    labels: BTreeMap<String, u32>,
    by_id: BTreeMap<i64, String>,
    nothing: Option<String>,
    #[serde(deserialize_with = "go_json::or_default")]
    nil_slice: Vec<i64>,
    text: String,
    raw: Value,
    #[serde(default)]
    omitted: String,
    any: Value,
    #[serde(rename = "Untagged")]
    untagged: bool,
}

impl Task for Payload {
    const TYPE: &'static str = "go";
    type Codec = JsonCodec;
}

#[test]
fn a_payload_of_go_is_read_in_full() {
    let at: jiff::Timestamp = "2026-02-03T04:05:06.789Z".parse().unwrap();

    let payload: Payload = RawTask::new("go", GO).decode().unwrap();

    let expected = Payload {
        inner: Inner {
            name: "ann".into(),
            tags: vec!["a".into(), "b".into()],
        },
        data: vec![0, 1, 2, 253, 254, 255, 62],
        empty: vec![],
        at,
        local: at,
        wait: Duration::from_millis(1500),
        min: i64::MIN,
        max: u64::MAX,
        ratio: 0.1,
        huge: 1e21,
        labels: BTreeMap::from([("a".into(), 1), ("b".into(), 2)]),
        by_id: BTreeMap::from([(7, "seven".into())]),
        nothing: None,
        nil_slice: vec![],
        text: "<a href=\"x\">&\u{2028}é😀\u{0}\u{fffd}".into(),
        raw: json!({"k": [1]}),
        omitted: String::new(),
        any: json!(3),
        untagged: false,
    };
    assert_eq!(payload, expected);
}

#[test]
fn what_is_written_for_go_is_read_back() {
    let payload: Payload = RawTask::new("go", GO).decode().unwrap();

    let again = Payload::decode(&payload.encode().unwrap()).unwrap();

    assert_eq!(again, payload);
}

#[test]
fn bytes_that_are_no_base64_are_named() {
    let bad = GO.replace("AAEC/f7/Pg==", "%%%");

    let error = RawTask::new("go", bad)
        .decode::<Payload>()
        .unwrap_err()
        .to_string();

    assert!(error.contains("go_payload::Payload"), "{error}");
    assert!(error.contains("expected bytes as base64 text"), "{error}");
}
