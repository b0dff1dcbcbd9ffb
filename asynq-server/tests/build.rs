//! What a server refuses to be built with.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use asynq_server::ConfigError;
use asynq_server::prelude::*;

fn builder() -> ServerBuilder {
    Server::builder(MemoryBroker::new()).handle("t", |_: Context, _: RawTask| async {})
}

#[test]
fn the_defaults_are_accepted() {
    assert!(builder().build().is_ok());
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let zero = Duration::ZERO;
    let refused = [
        ("concurrency", builder().concurrency(0)),
        ("concurrency", builder().concurrency(usize::MAX)),
        (
            "lease_duration",
            builder().lease_duration(Duration::from_millis(1999)),
        ),
        ("task_check_interval", builder().task_check_interval(zero)),
        (
            "delayed_task_check_interval",
            builder().delayed_task_check_interval(zero),
        ),
        ("health_check_interval", builder().health_check_interval(zero)),
        ("janitor_interval", builder().janitor_interval(zero)),
        ("janitor_batch_size", builder().janitor_batch_size(501)),
        ("recover_interval", builder().recover_interval(zero)),
        ("reconcile_interval", builder().reconcile_interval(zero)),
        ("heartbeat_interval", builder().heartbeat_interval(zero)),
        (
            "group_grace_period",
            builder().group_grace_period(Duration::from_millis(999)),
        ),
        ("group_max_delay", builder().group_max_delay(zero)),
        ("group_max_size", builder().group_max_size(0)),
        ("queues", builder().queues([("low", 0)])),
        ("queues", builder().queues([("low", 1), ("low", 2)])),
        ("queues", builder().queues::<String>([])),
    ];
    for (option, builder) in refused {
        match builder.build() {
            Err(ConfigError::Value { option: named, .. }) => assert_eq!(named, option),
            other => panic!("{option}: {other:?}", other = other.map(drop)),
        }
    }
}

#[test]
fn bad_names_and_patterns_are_refused() {
    assert!(matches!(
        builder().queues([("}x", 1)]).build(),
        Err(ConfigError::Queue(_))
    ));
    assert!(matches!(
        builder().queues([(" ", 1)]).build(),
        Err(ConfigError::Queue(_))
    ));
    let twice = builder().handle("t", |_: Context, _: RawTask| async {});
    assert!(matches!(twice.build(), Err(ConfigError::Pattern(_))));
    assert!(matches!(
        Server::builder(MemoryBroker::new()).build(),
        Err(ConfigError::NoHandler)
    ));
}

#[tokio::test]
async fn a_url_picks_the_broker() {
    assert!(connect("memory://").await.is_ok());
    for bad in ["", "localhost:6379", "kafka://x"] {
        let error = connect(bad).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("memory://"), "{bad}: {error}");
    }
}
