//! How a server starts, runs tasks, stops and shuts down. Time is paused and moves by itself when nothing else happens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asynq_server::broker::{Presence, ServerInfo};
use asynq_server::prelude::*;
use asynq_server::{Inspect, QueueName, StartError};
use support::{TestBroker, server, task, telling};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_task_is_run_and_deleted() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();

    broker.client().enqueue(task("1")).await.unwrap();

    assert_eq!(told.recv().await.unwrap(), "1");
    broker.until("1", None).await;
    let info = broker.info().await;
    assert_eq!((info.processed, info.failed, info.size()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_task_enqueued_while_the_server_is_idle_starts_at_once() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;

    let enqueued = Instant::now();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    assert_eq!(enqueued.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_task_starts_at_its_exact_time() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;

    let enqueued = Instant::now();
    broker
        .client()
        .enqueue(task("1").process_in(Duration::from_millis(2300)))
        .await
        .unwrap();
    told.recv().await.unwrap();

    let late = enqueued
        .elapsed()
        .checked_sub(Duration::from_millis(2300))
        .expect("not early");
    assert!(late < Duration::from_millis(10), "{late:?} late");
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_polls_seldom_while_the_broker_tells_it_of_tasks() {
    let broker = TestBroker::default();
    let (handler, _told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(5 * SECOND).await;

    let before = broker.dequeues.load(Ordering::Relaxed);
    tokio::time::sleep(100 * SECOND).await;

    let polls = broker.dequeues.load(Ordering::Relaxed) - before;
    assert!((10..=40).contains(&polls), "{polls} polls in 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_server_polls_when_the_broker_cannot_tell_it_of_tasks() {
    let broker = TestBroker::default();
    broker.fail("watch");
    let (handler, mut told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;

    let enqueued = Instant::now();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    assert!(
        enqueued.elapsed() <= Duration::from_millis(1500),
        "{:?}",
        enqueued.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_at_once_than_there_are_slots() {
    let broker = TestBroker::default();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (now, most) = (now.clone(), most.clone());
        move |_: Context, _: RawTask| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                now.fetch_sub(1, Ordering::SeqCst);
            }
        }
    };
    for n in 0..50 {
        broker.client().enqueue(task(&n.to_string())).await.unwrap();
    }
    let server = server(&broker)
        .concurrency(7)
        .handle("t", handler)
        .build()
        .unwrap();

    server.start().await.unwrap();
    while broker.info().await.size() > 0 {
        tokio::time::sleep(SECOND).await;
    }

    assert_eq!(most.load(Ordering::SeqCst), 7);
}

#[tokio::test(start_paused = true)]
async fn with_strict_priority_the_first_queue_is_emptied_first() {
    let broker = TestBroker::default();
    let client = broker.client();
    for n in 0..5 {
        client
            .enqueue(task(&format!("low{n}")).queue("low"))
            .await
            .unwrap();
        client
            .enqueue(task(&format!("high{n}")).queue("high"))
            .await
            .unwrap();
    }
    let (handler, mut told) = telling();
    let server = server(&broker)
        .queues([("low", 1), ("high", 9)])
        .strict_priority(true)
        .handle("t", handler)
        .build()
        .unwrap();

    server.start().await.unwrap();

    for expected in (0..5)
        .map(|n| format!("high{n}"))
        .chain((0..5).map(|n| format!("low{n}")))
    {
        assert_eq!(told.recv().await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fails_does_not_stop_the_others() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let server = server(&broker)
        .queues([("bad", 9), ("default", 1)])
        .strict_priority(true)
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(60 * SECOND).await;

    let enqueued = Instant::now();
    broker.client().enqueue(task("1")).await.unwrap();

    assert_eq!(told.recv().await.unwrap(), "1");
    assert!(enqueued.elapsed() < SECOND);
    let dequeues = broker.dequeues.load(Ordering::Relaxed);
    assert!(dequeues < 200, "{dequeues} dequeues in a minute: a hot loop");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_not_asked_in_a_hot_loop_and_tasks_are_taken_when_it_is_back() {
    let broker = TestBroker::default();
    for operation in ["dequeue", "forward", "watch"] {
        broker.fail(operation);
    }
    let (handler, mut told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;

    let dequeues = broker.dequeues.load(Ordering::Relaxed);
    assert!((20..200).contains(&dequeues), "{dequeues} dequeues in a minute");
    for operation in ["dequeue", "forward", "watch"] {
        broker.mend(operation);
    }
    let back = Instant::now();

    assert_eq!(told.recv().await.unwrap(), "1");
    assert!(back.elapsed() <= 2 * SECOND, "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_cannot_be_stored_are_stored_later_and_the_task_is_not_run_again() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let server = server(&broker)
        .concurrency(3)
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker.fail("finish");

    broker.client().enqueue(task("1")).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "1");
    // Longer than the lease: it is kept while the outcome waits.
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(broker.task("1").await.unwrap().state, TaskState::Active);
    broker.mend("finish");

    broker.until("1", None).await;
    assert!(told.try_recv().is_err(), "run twice");
    assert_eq!(broker.info().await.processed, 1);
}

#[tokio::test(start_paused = true)]
async fn no_new_tasks_are_taken_while_too_many_outcomes_wait() {
    let broker = TestBroker::default();
    let started = Arc::new(AtomicUsize::new(0));
    let handler = {
        let started = started.clone();
        move |_: Context, _: RawTask| {
            started.fetch_add(1, Ordering::SeqCst);
            async {}
        }
    };
    let tasks = (0..3000).map(|n| task(&n.to_string()));
    for answer in broker.client().enqueue_all(tasks).await {
        answer.unwrap();
    }
    broker.fail("finish");
    let server = server(&broker)
        .concurrency(10)
        .handle("t", handler)
        .build()
        .unwrap();

    server.start().await.unwrap();
    tokio::time::sleep(20 * SECOND).await;
    let waiting = started.load(Ordering::SeqCst);
    assert!((1000..1100).contains(&waiting), "{waiting}");
    broker.mend("finish");

    while broker.info().await.size() > 0 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(started.load(Ordering::SeqCst), 3000);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_running_tasks_and_stores_their_outcomes() {
    let broker = TestBroker::default();
    let (started, mut told) = mpsc::unbounded_channel();
    let handler = move |_: Context, _: RawTask| {
        let started = started.clone();
        async move {
            let _ = started.send(());
            tokio::time::sleep(5 * SECOND).await;
        }
    };
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    server.shutdown().await;

    assert!(broker.task("1").await.is_none());
    assert_eq!(broker.info().await.processed, 1);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_not_done_at_the_shutdown_timeout_are_stopped_and_put_back_uncharged() {
    let broker = TestBroker::default();
    let dropped = Arc::new(AtomicUsize::new(0));
    struct CountDrop(Arc<AtomicUsize>);
    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (started, mut told) = mpsc::unbounded_channel();
    let handler = {
        let dropped = dropped.clone();
        move |_: Context, _: RawTask| {
            let (started, guard) = (started.clone(), CountDrop(dropped.clone()));
            async move {
                let _guard = guard;
                let _ = started.send(());
                tokio::time::sleep(1000 * SECOND).await;
            }
        }
    };
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    let begun = Instant::now();
    server.shutdown().await;

    assert!(
        (8 * SECOND..11 * SECOND).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let info = broker.task("1").await.unwrap();
    assert_eq!((info.state, info.message.retried), (TaskState::Pending, 0));
    assert_eq!(broker.info().await.processed, 0);
}

#[tokio::test(start_paused = true)]
async fn handlers_hear_of_the_shutdown_when_it_begins() {
    let broker = TestBroker::default();
    let (started, mut told) = mpsc::unbounded_channel();
    let handler = move |cx: Context, _: RawTask| {
        let started = started.clone();
        async move {
            let _ = started.send(());
            cx.shutting_down().await;
            Outcome::Snooze(60 * SECOND)
        }
    };
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    let begun = Instant::now();
    server.shutdown().await;

    assert!(begun.elapsed() < SECOND);
    assert_eq!(broker.task("1").await.unwrap().state, TaskState::Scheduled);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_in_time_when_the_broker_is_away() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    broker.fail("finish");
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    let begun = Instant::now();
    server.shutdown().await;

    assert!(begun.elapsed() <= 10 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_server_takes_no_tasks_and_finishes_those_it_has() {
    let broker = TestBroker::default();
    let release = Arc::new(Notify::new());
    let (started, mut told) = mpsc::unbounded_channel();
    let handler = {
        let release = release.clone();
        move |_: Context, _: RawTask| {
            let (release, started) = (release.clone(), started.clone());
            async move {
                let _ = started.send(());
                release.notified().await;
            }
        }
    };
    let server = server(&broker)
        .concurrency(5)
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    server.stop();
    broker.client().enqueue(task("2")).await.unwrap();
    tokio::time::sleep(20 * SECOND).await;
    release.notify_one();

    broker.until("1", None).await;
    assert_eq!(broker.task("2").await.unwrap().state, TaskState::Pending);
    assert_eq!(shown(&broker).await[0].status, "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_server_starts_once() {
    let broker = TestBroker::default();
    let (handler, _told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();

    server.start().await.unwrap();
    assert_eq!(server.start().await, Err(StartError::Running));
    server.shutdown().await;
    assert_eq!(server.start().await, Err(StartError::Closed));
    server.shutdown().await;
    assert!(server.ping().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_started_can_be_shut_down() {
    let broker = TestBroker::default();
    let (handler, _told) = telling();
    let server = server(&broker).handle("t", handler).build().unwrap();

    server.shutdown().await;

    assert_eq!(server.start().await, Err(StartError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_running_server_is_shown_with_its_tasks_and_withdrawn_at_the_end() {
    let broker = TestBroker::default();
    let (started, mut told) = mpsc::unbounded_channel();
    let handler = move |_: Context, _: RawTask| {
        let started = started.clone();
        async move {
            let _ = started.send(());
            tokio::time::sleep(7 * SECOND).await;
        }
    };
    let server = server(&broker)
        .queues([("default", 3), ("low", 1)])
        .concurrency(4)
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker
        .client()
        .enqueue(RawTask::new("t", vec![b'x'; 5000]).task_id("1"))
        .await
        .unwrap();
    told.recv().await.unwrap();
    tokio::time::sleep(6 * SECOND).await;

    let servers = broker.servers().await.unwrap();
    let (server_info, workers) = &servers[0];
    assert_eq!((server_info.concurrency, server_info.active_workers), (4, 1));
    assert_eq!(server_info.queues[&QueueName::default_queue()], 3);
    assert_eq!(server_info.status, "active");
    assert_eq!(workers[0].task_id, "1");
    assert_eq!(workers[0].payload.len(), 1024);

    server.shutdown().await;
    assert!(shown(&broker).await.is_empty());
}

async fn shown(broker: &TestBroker) -> Vec<ServerInfo> {
    broker
        .servers()
        .await
        .unwrap()
        .into_iter()
        .map(|(server, _)| server)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_health_check_hears_of_a_broker_that_is_away() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let (handler, _told) = telling();
    let server = server(&broker)
        .health_check(move |error| {
            let _ = tell.send(error.is_none());
            panic!("a health check that panics is called again");
        })
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();

    assert!(told.recv().await.unwrap());
    broker.fail("ping");
    assert!(!told.recv().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_resumed_queue_is_served_at_once() {
    let broker = TestBroker::default();
    let (handler, mut told) = telling();
    let queue = QueueName::default_queue();
    broker.client().enqueue(task("1")).await.unwrap();
    broker.pause(&queue).await.unwrap();
    let server = server(&broker).handle("t", handler).build().unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(20 * SECOND).await;
    assert!(told.try_recv().is_err());

    broker.resume(&queue).await.unwrap();
    let resumed = Instant::now();

    told.recv().await.unwrap();
    assert_eq!(resumed.elapsed(), Duration::ZERO);
}
