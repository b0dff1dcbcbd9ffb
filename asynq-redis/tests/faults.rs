//! What happens when the server, the network or other programs misbehave.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use asynq_core::broker::{Extension, Finished, NewTask, Receipt, Settlement};
use asynq_core::{BrokerError, Dequeue, Enqueue, Inspect, Maintain, TaskState};
use asynq_fixtures::{RedisOptions, RedisServer};
use asynq_redis::RedisBroker;

use support::proxy::Proxy;
use support::*;

fn done() -> Settlement {
    Settlement::Done { result: None }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let mut subject = Subject::new().await;
    for round in 0..3 {
        let _: String = subject.raw("SCRIPT FLUSH").await;
        // Two queues: two calls in one round trip.
        let mut other = task("a");
        other.message.queue = queue("other");
        let receipts = subject.broker.enqueue(&[task("a"), other]).await.unwrap();
        assert!(
            receipts
                .iter()
                .all(|receipt| matches!(receipt, Receipt::Accepted { .. })),
            "round {round}"
        );

        let _: String = subject.raw("SCRIPT FLUSH").await;
        let queues = [queue("q"), queue("other")];
        let tasks = subject.broker.dequeue(&queues, 10, LEASE).await.unwrap().tasks;
        assert_eq!(tasks.len(), 2, "round {round}");

        let _: String = subject.raw("SCRIPT FLUSH").await;
        let finishes: Vec<_> = tasks.iter().map(|task| finish(task, done())).collect();
        assert_eq!(
            subject.broker.finish(&finishes).await.unwrap(),
            [Finished::Settled; 2],
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_never_shown() {
    let server = RedisServer::start_with(RedisOptions {
        password: Some("s3cret".to_owned()),
        ..RedisOptions::default()
    });
    let wrong = format!("redis://:wr0ng@127.0.0.1:{}", server.port());

    let error = RedisBroker::connect(&wrong).await.unwrap_err();
    assert!(matches!(error, BrokerError::Denied { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("wr0ng"));

    let without = format!("redis://127.0.0.1:{}", server.port());
    let error = RedisBroker::connect(&without).await.unwrap_err();
    assert!(matches!(error, BrokerError::Denied { .. }), "{error:?}");

    let broker = RedisBroker::connect(&server.url()).await.unwrap();
    assert!(!format!("{broker:?} {:?}", RedisBroker::builder(&server.url())).contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_at_once() {
    let mut server = RedisServer::start();
    let url = server.url();
    server.kill();

    let error = RedisBroker::connect(&url).await.unwrap_err();
    assert!(
        matches!(
            error,
            BrokerError::Unavailable {
                maybe_applied: false,
                ..
            }
        ),
        "{error:?}"
    );

    let broker = RedisBroker::builder(&url)
        .retry_for(Duration::ZERO)
        .connect_lazily()
        .unwrap();
    let error = broker.enqueue(&[task("a")]).await.unwrap_err();
    assert!(
        matches!(
            error,
            BrokerError::Unavailable {
                maybe_applied: false,
                ..
            }
        ),
        "{error:?}"
    );

    server.restart();
    assert!(matches!(
        broker.enqueue(&[task("a")]).await.unwrap()[0],
        Receipt::Accepted { .. }
    ));
}

#[tokio::test]
async fn a_server_that_may_evict_tasks_is_refused() {
    let arguments = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
        .map(String::from)
        .to_vec();
    let server = RedisServer::start_with(RedisOptions {
        arguments,
        ..RedisOptions::default()
    });

    let error = RedisBroker::connect(&server.url()).await.unwrap_err();
    assert!(
        matches!(&error, BrokerError::Config(text) if text.contains("allkeys-lru")),
        "{error:?}"
    );

    RedisBroker::builder(&server.url())
        .allow_eviction(true)
        .connect()
        .await
        .unwrap();
}

#[tokio::test]
async fn nothing_accepted_is_lost_when_the_server_is_killed_under_load() {
    let mut server = RedisServer::start_with(RedisOptions {
        append_only: true,
        ..RedisOptions::default()
    });
    let broker = RedisBroker::builder(&server.url())
        .retry_for(Duration::from_secs(20))
        .connect()
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));

    let producers: Vec<_> = (0..4)
        .map(|producer| {
            let (broker, stop) = (broker.clone(), stop.clone());
            tokio::spawn(async move {
                let mut accepted = 0;
                while !stop.load(Ordering::Relaxed) {
                    let tasks: Vec<NewTask> = (0..7)
                        .map(|n| task(&format!("{producer}-{accepted}-{n}")))
                        .collect();
                    for receipt in broker.enqueue(&tasks).await.unwrap() {
                        assert!(matches!(receipt, Receipt::Accepted { .. }), "{receipt:?}");
                        accepted += 1;
                    }
                }
                accepted
            })
        })
        .collect();
    let pending = || async {
        let info = broker.queue_info(&queue("q")).await;
        info.ok().flatten().map_or(0, |info| info.pending)
    };
    for target in [100, 1000, 2000] {
        eventually("tasks come in", || async { pending().await > target }).await;
        server.kill();
        server.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let mut accepted = 0;
    for producer in producers {
        accepted += producer.await.unwrap();
    }

    assert_eq!(pending().await, accepted);
    let mut taken = 0;
    loop {
        let tasks = broker.dequeue(&[queue("q")], 500, LEASE).await.unwrap().tasks;
        if tasks.is_empty() {
            break;
        }
        taken += tasks.len() as u64;
    }
    assert_eq!(taken, accepted);
}

#[tokio::test]
async fn a_server_that_lost_its_data_gets_scripts_and_queues_again() {
    let mut server = RedisServer::start();
    let broker = RedisBroker::connect(&server.url()).await.unwrap();
    broker.enqueue(&[task("a")]).await.unwrap();
    let leased = broker
        .dequeue(&[queue("q")], 1, LEASE)
        .await
        .unwrap()
        .tasks
        .remove(0);

    server.restart();

    broker.enqueue(&[task("b")]).await.unwrap();
    assert_eq!(broker.queues().await.unwrap(), [queue("q")]);
    assert_eq!(
        broker.finish(&[finish(&leased, done())]).await.unwrap(),
        [Finished::NotOwner]
    );
    assert_eq!(
        broker.extend(&[leased.key], LEASE).await.unwrap(),
        [Extension::Lost]
    );
    assert_eq!(
        ids(&broker.dequeue(&[queue("q")], 9, LEASE).await.unwrap()),
        ["b"]
    );
}

#[tokio::test]
async fn keys_of_the_wrong_type_stop_their_queue_only() {
    for key in [
        "pending",
        "active",
        "lease",
        "scheduled",
        "retry",
        "groups",
        "archived",
        "completed",
    ] {
        let mut subject = Subject::new().await;
        let mut other = task("x");
        other.message.queue = queue("other");
        subject.broker.enqueue(&[task("a"), other]).await.unwrap();
        let _: i64 = subject.raw(&format!("DEL asynq:{{q}}:{key}")).await;
        let _: String = subject.raw(&format!("SET asynq:{{q}}:{key} surprise")).await;
        let before = subject.snapshot().await;

        let queues = [queue("q"), queue("other")];
        let dequeued = subject.broker.dequeue(&queues, 9, LEASE).await.unwrap();

        assert_eq!(dequeued.tasks.last().unwrap().key.queue, queue("other"), "{key}");
        if matches!(key, "pending" | "active" | "lease") {
            let (queue, error) = &dequeued.errors[0];
            assert_eq!(queue.as_str(), "q");
            assert!(
                error.to_string().contains(&format!("asynq:{{q}}:{key}")),
                "{error}"
            );
            let after = subject.snapshot().await;
            let of_queue = |keys: &std::collections::BTreeMap<String, String>| {
                keys.clone()
                    .into_iter()
                    .filter(|(key, _)| key.contains("{q}"))
                    .collect::<Vec<_>>()
            };
            assert_eq!(of_queue(&before), of_queue(&after), "{key}: nothing is half done");
        }
        // Whatever is called, it answers, and says which key it is.
        for result in [
            subject.broker.forward(&queue("q")).await.map(|_| ()),
            subject.broker.purge(&queue("q"), 10).await.map(|_| ()),
            subject.broker.expired(&queue("q"), 10).await.map(|_| ()),
            subject
                .broker
                .reconcile(&queue("q"), asynq_core::broker::ReconcileCursor(3))
                .await
                .map(|_| ()),
        ] {
            if let Err(error) = result {
                assert!(matches!(error, BrokerError::Corrupt { .. }), "{key}: {error:?}");
            }
        }
    }
}

/// A task that fails and is retried, and what is left in the counters.
async fn counters_after_a_failure(counters: [&str; 2]) -> [String; 4] {
    let mut subject = Subject::new().await;
    let [processed, failed] = counters;
    let _: String = subject
        .raw(&format!(
            "MSET asynq:{{q}}:processed {processed} asynq:{{q}}:failed {failed}"
        ))
        .await;
    subject.enqueue(&["a"]).await;
    let leased = subject.dequeue_one().await;
    let retry = Settlement::Retry {
        delay: LEASE,
        error: "no luck".into(),
        is_failure: true,
    };
    subject.finish(&leased, retry).await;
    let mut values = Vec::new();
    for key in ["processed", "failed", "processed:2023-11-14", "failed:2023-11-14"] {
        values.push(subject.raw(&format!("GET asynq:{{q}}:{key}")).await);
    }
    values.try_into().unwrap()
}

#[tokio::test]
async fn a_counter_that_is_not_a_number_stops_neither_tasks_nor_other_counters() {
    assert_eq!(
        counters_after_a_failure(["many", "6"]).await,
        ["many", "6", "1", "1"],
        "the totals belong together"
    );
    assert_eq!(
        counters_after_a_failure(["5", "many"]).await,
        ["6", "many", "1", "1"]
    );
}

#[tokio::test]
async fn the_totals_start_again_at_one_after_the_last_number_as_in_go() {
    let last = i64::MAX.to_string();
    assert_eq!(counters_after_a_failure([&last, "7"]).await, ["1", "1", "1", "1"]);
    let far = (i64::MAX - 700_000).to_string();
    let next = (i64::MAX - 699_999).to_string();
    assert_eq!(
        counters_after_a_failure([&far, "7"]).await,
        [next.as_str(), "8", "1", "1"]
    );
}

#[tokio::test]
async fn an_undecodable_task_is_archived_and_stops_nobody() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a", "bad", "c"]).await;
    let _: i64 = subject.raw("HSET asynq:{q}:t:bad msg garbage").await;

    let dequeued = subject.dequeue(9).await;

    assert_eq!(ids(&dequeued), ["a", "c"]);
    let archived: Vec<String> = subject.raw("ZRANGE asynq:{q}:archived 0 -1").await;
    assert_eq!(archived, ["bad"]);
    let message: String = subject.raw("HGET asynq:{q}:t:bad msg").await;
    assert_eq!(message, "garbage");
    let reason: String = subject.raw("HGET asynq:{q}:t:bad asynq_error").await;
    assert!(reason.contains("not a task message"), "{reason}");
    let active: Vec<String> = subject.raw("LRANGE asynq:{q}:active 0 -1").await;
    assert_eq!(active, ["c", "a"]);
    let info = subject.broker.queue_info(&queue("q")).await.unwrap().unwrap();
    assert_eq!((info.active, info.archived, info.failed), (2, 1, 1));
}

#[tokio::test]
async fn an_undecodable_task_does_not_stop_recovery() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a", "bad"]).await;
    subject.dequeue(2).await;
    let _: i64 = subject.raw("HSET asynq:{q}:t:bad msg garbage").await;
    subject.clock.advance(Duration::from_secs(31));

    let expired = subject.broker.expired(&queue("q"), 10).await.unwrap().tasks;

    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].key.id, id("a"));
    let archived: Vec<String> = subject.raw("ZRANGE asynq:{q}:archived 0 -1").await;
    assert_eq!(archived, ["bad"]);
}

#[tokio::test]
async fn ids_without_a_task_are_dropped() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    let _: i64 = subject.raw("RPUSH asynq:{q}:pending ghost1 stub ghost2").await;
    let _: i64 = subject.raw("HSET asynq:{q}:t:stub state pending").await;
    let _: i64 = subject.raw("ZADD asynq:{q}:scheduled 1 ghost3").await;
    let _: i64 = subject.raw("ZADD asynq:{q}:lease 1 ghost4").await;
    let _: i64 = subject.raw("LPUSH asynq:{q}:active ghost4").await;

    assert_eq!(ids(&subject.dequeue(1).await), ["a"]);
    assert_eq!(subject.broker.forward(&queue("q")).await.unwrap().moved, 0);
    assert!(
        subject
            .broker
            .expired(&queue("q"), 10)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:active: a
             asynq:{q}:lease: a=1700000030
             asynq:{q}:t:a: msg state=active",
        )
        .await;
}

#[tokio::test]
async fn a_full_server_refuses_new_tasks_and_still_runs_those_it_has() {
    let server = RedisServer::start();
    let mut subject = Subject::at(&server.url()).await;
    let message = asynq_core::TaskMessage {
        retention: Duration::from_secs(60),
        ..message("kept")
    };
    subject.enqueue(&["a", "b", "c", "d"]).await;
    subject
        .broker
        .enqueue(&[NewTask {
            message,
            ..task("kept")
        }])
        .await
        .unwrap();
    let _: String = subject.raw("CONFIG SET maxmemory 1").await;

    let error = subject.broker.enqueue(&[task("e")]).await.unwrap_err();
    assert!(matches!(error, BrokerError::Full { .. }), "{error:?}");

    let tasks = subject.dequeue(9).await.tasks;
    assert_eq!(tasks.len(), 5);
    let keys: Vec<_> = tasks.iter().map(|task| task.key.clone()).collect();
    for extension in subject.broker.extend(&keys, LEASE).await.unwrap() {
        assert!(matches!(extension, Extension::Held { .. }));
    }
    let error = "boom".to_owned();
    let settlements = [
        done(),
        Settlement::Retry {
            delay: Duration::from_secs(1),
            error: error.clone(),
            is_failure: true,
        },
        Settlement::Archive { error },
        Settlement::Requeue { lost: false },
        Settlement::Done {
            result: Some(bytes::Bytes::from_static(b"r")),
        },
    ];
    let finishes: Vec<_> = tasks
        .iter()
        .zip(settlements)
        .map(|(task, settlement)| finish(task, settlement))
        .collect();
    assert_eq!(
        subject.broker.finish(&finishes).await.unwrap(),
        [Finished::Settled; 5]
    );
    subject.clock.advance(Duration::from_secs(2));
    assert_eq!(subject.broker.forward(&queue("q")).await.unwrap().moved, 1);
    assert_eq!(subject.dequeue(9).await.tasks.len(), 2);
}

#[tokio::test]
async fn a_task_whose_dequeue_was_not_answered_is_found_again() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let broker = RedisBroker::connect(&format!("redis://127.0.0.1:{}", proxy.port))
        .await
        .unwrap();
    broker.enqueue(&[task("a"), task("b")]).await.unwrap();
    // So that the script is known and its answer the one that is lost.
    assert!(
        broker
            .dequeue(&[queue("other")], 1, LEASE)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );

    // A worker of Go asynq does not take away what an earlier attempt left.
    let mut raw = connect(&server.url()).await;
    let hset = redis::cmd("HSET")
        .arg("asynq:{q}:t:a")
        .arg("started")
        .arg(7)
        .exec_async(&mut raw)
        .await;
    hset.unwrap();

    proxy.lose_answer_to("asynq:{q}:paused");
    let error = broker.dequeue(&[queue("q")], 1, LEASE).await.unwrap_err();
    assert!(error.maybe_applied(), "{error:?}");
    assert!(proxy.has_lost());

    let found = broker.dequeue(&[queue("q")], 2, LEASE).await.unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
    assert!(
        broker
            .dequeue(&[queue("q")], 2, LEASE)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    for leased in &found.tasks {
        assert_eq!(
            broker.finish(&[finish(leased, done())]).await.unwrap(),
            [Finished::Settled]
        );
    }
}

#[tokio::test]
async fn tasks_of_a_dequeue_that_was_dropped_are_found_again() {
    let subject = Subject::new().await;
    subject.enqueue(&["a", "b", "c"]).await;
    // So that the script is known.
    subject.broker.dequeue(&[queue("other")], 1, LEASE).await.unwrap();
    let queues = [queue("q")];
    let raw = subject.raw.clone();

    // Sent, carried out, and dropped before its answer is looked at.
    let mut dropped = Box::pin(subject.broker.dequeue(&queues, 2, LEASE));
    assert!(poll_once(&mut dropped).await.is_pending());
    eventually("the server has carried it out", || {
        let mut raw = raw.clone();
        async move {
            let active: i64 = redis::cmd("LLEN")
                .arg("asynq:{q}:active")
                .query_async(&mut raw)
                .await
                .unwrap();
            active == 2
        }
    })
    .await;
    drop(dropped);

    let found = subject.dequeue(9).await;
    assert_eq!(ids(&found), ["a", "b", "c"]);
    assert!(subject.dequeue(9).await.tasks.is_empty());
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

#[tokio::test]
async fn a_task_whose_enqueue_was_not_answered_is_accepted_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let broker = RedisBroker::connect(&format!("redis://127.0.0.1:{}", proxy.port))
        .await
        .unwrap();
    broker.enqueue(&[task("before")]).await.unwrap();
    let unique = NewTask {
        unique_ttl: Some(Duration::from_secs(60)),
        ..task("a")
    };

    proxy.lose_answer_to("asynq:{q}:t:a");
    let receipts = broker.enqueue(std::slice::from_ref(&unique)).await.unwrap();

    assert!(proxy.has_lost());
    assert!(
        matches!(
            receipts[0],
            Receipt::Accepted {
                state: TaskState::Pending,
                ..
            }
        ),
        "{receipts:?}"
    );
    assert_eq!(broker.queue_info(&queue("q")).await.unwrap().unwrap().pending, 2);
    let again = broker.enqueue(&[unique]).await.unwrap();
    assert_eq!(
        again,
        [Receipt::IdTaken {
            state: Some(TaskState::Pending)
        }]
    );
}

#[tokio::test]
async fn a_finish_whose_answer_was_lost_is_not_repeated() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let broker = RedisBroker::connect(&format!("redis://127.0.0.1:{}", proxy.port))
        .await
        .unwrap();
    broker.enqueue(&[task("a"), task("b")]).await.unwrap();
    let tasks = broker.dequeue(&[queue("q")], 2, LEASE).await.unwrap().tasks;
    broker.finish(&[finish(&tasks[0], done())]).await.unwrap();

    proxy.lose_answer_to("asynq:{q}:t:b");
    let error = broker.finish(&[finish(&tasks[1], done())]).await.unwrap_err();

    assert!(error.maybe_applied(), "{error:?}");
    assert_eq!(
        broker.finish(&[finish(&tasks[1], done())]).await.unwrap(),
        [Finished::NotOwner]
    );
    assert_eq!(
        broker.queue_info(&queue("q")).await.unwrap().unwrap().processed,
        2
    );
}

#[tokio::test]
async fn a_server_that_hangs_makes_calls_fail_in_time_and_loses_nothing() {
    let server = RedisServer::start();
    let broker = RedisBroker::builder(&server.url())
        .response_timeout(Duration::from_millis(200))
        .connect_timeout(Duration::from_millis(200))
        .connect()
        .await
        .unwrap();
    broker.enqueue(&[task("a")]).await.unwrap();
    broker.dequeue(&[queue("other")], 1, LEASE).await.unwrap();

    signal(&server, "-STOP");
    let queues = [queue("q")];
    let error = within("an answer or an error", broker.dequeue(&queues, 1, LEASE))
        .await
        .unwrap_err();
    assert!(error.maybe_applied(), "{error:?}");
    signal(&server, "-CONT");

    // The server carries out late what it had been sent; the task is found by its nonce.
    let found = std::cell::RefCell::new(Vec::new());
    eventually("the task is found", || async {
        if let Ok(dequeued) = broker.dequeue(&queues, 1, LEASE).await {
            found.borrow_mut().extend(dequeued.tasks);
        }
        !found.borrow().is_empty()
    })
    .await;
    let leased = found.borrow()[0].clone();
    assert_eq!(
        broker.finish(&[finish(&leased, done())]).await.unwrap(),
        [Finished::Settled]
    );
}

fn signal(server: &RedisServer, signal: &str) {
    let pid = server.pid().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told() {
    let server = RedisServer::start();

    let error = RedisBroker::connect(&format!("{}/5000", server.url()))
        .await
        .unwrap_err();

    assert!(matches!(error, BrokerError::Config(_)), "{error:?}");
}

#[tokio::test]
async fn a_lock_that_is_none_of_its_queue_is_not_released() {
    let mut subject = Subject::new().await;
    subject.enqueue(&["a"]).await;
    let _: String = subject.raw("SET precious a").await;
    let mut leased = subject.dequeue_one().await;
    Arc::make_mut(&mut leased.message).unique_key = Some("precious".to_owned());

    assert_eq!(subject.finish(&leased, done()).await, Finished::Settled);

    let kept: String = subject.raw("GET precious").await;
    assert_eq!(kept, "a");
}
