//! How an attempt of a task may end, and what becomes of the task then. Time is paused and moves by itself when nothing
//! else happens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq_server::broker::Dequeue;
use asynq_server::prelude::*;
use asynq_server::{
    CancelReason, Failure, FailureKind, FixedBackoff, GroupName, Inspect, QueueName, ResultError, TaskId,
};
use support::{TestBroker, server, task, telling};
use tokio::sync::mpsc;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Runs one task until it is in `state`, or gone.
async fn run<S: Clone + Send + Sync + 'static>(
    builder: ServerBuilder<S>,
    broker: &TestBroker,
    task: impl asynq_server::IntoTask,
    state: Option<TaskState>,
) -> Option<TaskInfo> {
    let server = builder.build().unwrap();
    server.start().await.unwrap();
    let id = broker.client().enqueue(task).await.unwrap().id().to_string();
    let info = broker.until(&id, state).await;
    server.shutdown().await;
    info
}

#[tokio::test(start_paused = true)]
async fn a_task_with_retention_is_kept_with_its_result() {
    let broker = TestBroker::default();
    let builder = server(&broker).handle("t", |_: Context, _: RawTask| async {
        Ok::<_, TaskError>(Json(7))
    });

    let info = run(
        builder,
        &broker,
        task("1").retention(60 * SECOND),
        Some(TaskState::Completed),
    )
    .await
    .unwrap();

    assert_eq!(info.result.as_deref(), Some(&b"7"[..]));
    assert!(info.message.completed_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_completed_task_is_deleted_after_its_retention() {
    let broker = TestBroker::default();
    let builder = server(&broker).handle("t", |_: Context, _: RawTask| async {});
    let server = builder.build().unwrap();
    server.start().await.unwrap();
    broker
        .client()
        .enqueue(task("1").retention(60 * SECOND))
        .await
        .unwrap();
    broker.until("1", Some(TaskState::Completed)).await;
    let completed = Instant::now();

    broker.until("1", None).await;

    let kept = completed.elapsed();
    assert!((58 * SECOND..70 * SECOND).contains(&kept), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_is_retried_until_its_retries_are_used_up_and_then_archived() {
    let broker = TestBroker::default();
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let attempts = attempts.clone();
        move |cx: Context, _: RawTask| {
            attempts
                .lock()
                .unwrap()
                .push((cx.retried(), cx.is_last_attempt()));
            async { Err::<(), _>("no luck") }
        }
    };

    let builder = server(&broker).handle("t", handler);
    let info = run(
        builder,
        &broker,
        task("1").max_retry(2),
        Some(TaskState::Archived),
    )
    .await
    .unwrap();

    assert_eq!(*attempts.lock().unwrap(), [(0, false), (1, false), (2, true)]);
    assert_eq!(info.message.retried, 2);
    assert_eq!(info.message.last_error, "no luck");
    let queue = broker.info().await;
    assert_eq!((queue.processed, queue.failed), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn skip_retry_archives_at_once_and_revoke_deletes() {
    for (error, state) in [
        (TaskError::new("x").skip_retry(), Some(TaskState::Archived)),
        (TaskError::new("x").revoke(), None),
    ] {
        let broker = TestBroker::default();
        let error = Arc::new(Mutex::new(Some(error)));
        let builder = server(&broker).handle("t", move |_: Context, _: RawTask| {
            let error = error.lock().unwrap().take().expect("run once");
            async { Err::<(), _>(error) }
        });

        run(builder, &broker, task("1").retention(60 * SECOND), state).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_snoozed_task_is_run_again_and_not_charged() {
    let broker = TestBroker::default();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let starts = starts.clone();
        move |cx: Context, _: RawTask| {
            let mut starts = starts.lock().unwrap();
            starts.push((cx.retried(), Instant::now()));
            let outcome = if starts.len() < 3 {
                Outcome::Snooze(5 * SECOND)
            } else {
                Outcome::done()
            };
            async move { outcome }
        }
    };

    run(server(&broker).handle("t", handler), &broker, task("1"), None).await;

    let queue = broker.info().await;
    let starts = starts.lock().unwrap();
    assert_eq!(
        starts.iter().map(|(retried, _)| *retried).collect::<Vec<_>>(),
        [0, 0, 0]
    );
    let waited = starts[1].1 - starts[0].1;
    assert!(
        (5 * SECOND..5 * SECOND + Duration::from_millis(50)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(queue.processed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_with_its_text_and_place_and_the_server_goes_on() {
    let broker = TestBroker::default();
    let builder = server(&broker).handle("t", |cx: Context, _: RawTask| async move {
        assert!(*cx.task_id() != "1", "boom");
    });

    let info = run(
        builder,
        &broker,
        task("1").max_retry(0),
        Some(TaskState::Archived),
    )
    .await
    .unwrap();

    let text = info.message.last_error;
    assert!(
        text.starts_with("panic [") && text.contains("attempts.rs:") && text.ends_with("boom"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_handler_is_dropped_does_no_harm() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let broker = TestBroker::default();
    let builder = server(&broker).handle("t", |_: Context, _: RawTask| async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    });

    let archived = Some(TaskState::Archived);
    let info = run(builder, &broker, task("1").timeout(SECOND).max_retry(0), archived)
        .await
        .unwrap();

    assert_eq!(info.message.last_error, "context deadline exceeded");
}

#[tokio::test(start_paused = true)]
async fn a_task_past_its_timeout_is_stopped_and_fails() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    struct Stopped(mpsc::UnboundedSender<Instant>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            let _ = self.0.send(Instant::now());
        }
    }
    let builder = server(&broker).handle("t", move |_: Context, _: RawTask| {
        let stopped = Stopped(tell.clone());
        async move {
            let _stopped = stopped;
            std::future::pending::<()>().await;
        }
    });
    let begun = Instant::now();

    let archived = Some(TaskState::Archived);
    let info = run(
        builder,
        &broker,
        task("1").timeout(3 * SECOND).max_retry(0),
        archived,
    )
    .await
    .unwrap();

    assert_eq!(info.message.last_error, "context deadline exceeded");
    let stopped = told.recv().await.unwrap() - begun;
    assert!((3 * SECOND..4 * SECOND).contains(&stopped), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_past_its_deadline_before_it_starts_fails_without_running_on() {
    let broker = TestBroker::default();
    let builder = server(&broker).handle("t", |_: Context, _: RawTask| std::future::pending::<()>());
    let past = std::time::SystemTime::UNIX_EPOCH + SECOND;

    let archived = Some(TaskState::Archived);
    let info = run(builder, &broker, task("1").deadline(past).max_retry(0), archived)
        .await
        .unwrap();

    assert_eq!(info.message.last_error, "context deadline exceeded");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_is_told_why_and_what_it_returns_within_the_grace_counts() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .handle("t", move |cx: Context, _: RawTask| {
            let tell = tell.clone();
            async move {
                let _ = tell.send(None);
                cx.cancelled().await;
                let _ = tell.send(cx.cancel_reason());
                Err::<(), _>(TaskError::new("stopped by hand").skip_retry())
            }
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), None);

    broker.cancel(None, &TaskId::new("1").unwrap()).await.unwrap();

    assert_eq!(told.recv().await.unwrap(), Some(CancelReason::Requested));
    let info = broker.until("1", Some(TaskState::Archived)).await.unwrap();
    assert_eq!(info.message.last_error, "stopped by hand");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_that_does_not_stop_is_dropped_and_retried() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .retry_policy(FixedBackoff(600 * SECOND))
        .handle("t", move |_: Context, _: RawTask| {
            let _ = tell.send(());
            std::future::pending::<()>()
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();

    broker.cancel(None, &TaskId::new("1").unwrap()).await.unwrap();

    let info = broker.until("1", Some(TaskState::Retry)).await.unwrap();
    assert_eq!(info.message.last_error, "context canceled");
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_with_a_queue_reaches_only_the_task_of_that_queue() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .concurrency(2)
        .queues([("a", 1), ("b", 1)])
        .handle("t", move |cx: Context, _: RawTask| {
            let tell = tell.clone();
            async move {
                let _ = tell.send(format!("start {}", cx.queue()));
                cx.cancelled().await;
                let _ = tell.send(format!("cancel {}", cx.queue()));
            }
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    for queue in ["a", "b"] {
        broker.client().enqueue(task("same").queue(queue)).await.unwrap();
        told.recv().await.unwrap();
    }

    let queue = QueueName::new("b").unwrap();
    broker
        .cancel(Some(&queue), &TaskId::new("same").unwrap())
        .await
        .unwrap();

    assert_eq!(told.recv().await.unwrap(), "cancel b");
    tokio::time::sleep(60 * SECOND).await;
    assert!(told.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_long_task_keeps_its_lease() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let builder = server(&broker)
        .concurrency(3)
        .handle("t", move |_: Context, _: RawTask| {
            let _ = tell.send(());
            tokio::time::sleep(300 * SECOND)
        });

    run(builder, &broker, task("1"), None).await;

    told.recv().await.unwrap();
    assert!(told.try_recv().is_err(), "run twice");
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_lease_cannot_be_kept_is_stopped() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .handle("t", move |cx: Context, _: RawTask| {
            let tell = tell.clone();
            async move {
                let _ = tell.send(None);
                cx.cancelled().await;
                let _ = tell.send(cx.cancel_reason());
                std::future::pending::<()>().await;
            }
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1")).await.unwrap();
    told.recv().await.unwrap();
    let begun = Instant::now();

    broker.fail("extend");

    assert_eq!(told.recv().await.unwrap(), Some(CancelReason::LeaseLost));
    assert!(
        (20 * SECOND..34 * SECOND).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_worker_died_before_it_started_is_run_again_uncharged_even_without_retries() {
    let broker = TestBroker::default();
    broker.client().enqueue(task("1").max_retry(0)).await.unwrap();
    let lost = broker
        .dequeue(&[QueueName::default_queue()], 1, 30 * SECOND)
        .await
        .unwrap();
    assert_eq!(lost.tasks.len(), 1);
    let begun = Instant::now();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .handle("t", move |cx: Context, _: RawTask| {
            let _ = tell.send(cx.retried());
            async {}
        })
        .build()
        .unwrap();

    server.start().await.unwrap();

    assert_eq!(told.recv().await.unwrap(), 0);
    assert!(begun.elapsed() <= 36 * SECOND, "{:?}", begun.elapsed());
    broker.until("1", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_worker_died_while_it_ran_is_charged_and_reported() {
    let broker = TestBroker::default();
    broker.client().enqueue(task("1")).await.unwrap();
    let dead = broker
        .dequeue(&[QueueName::default_queue()], 1, 30 * SECOND)
        .await
        .unwrap();
    broker
        .extend(&[dead.tasks[0].key.clone()], 30 * SECOND)
        .await
        .unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .retry_policy(FixedBackoff(600 * SECOND))
        .error_handler(move |failure: &Failure<'_>| {
            let _ = tell.send((failure.id.to_string(), failure.error.kind()));
        })
        .handle("t", |_: Context, _: RawTask| async {})
        .build()
        .unwrap();

    server.start().await.unwrap();

    let info = broker.until("1", Some(TaskState::Retry)).await.unwrap();
    assert_eq!(info.message.retried, 1);
    assert_eq!(info.message.last_error, "asynq: task lease expired");
    assert_eq!(
        told.recv().await.unwrap(),
        ("1".to_owned(), FailureKind::LeaseLost)
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_kills_its_workers_before_they_confirm_it_is_charged_in_the_end() {
    let broker = TestBroker::default();
    broker.client().enqueue(task("1").max_retry(0)).await.unwrap();
    let server = server(&broker)
        .handle("other", |_: Context, _: RawTask| async {})
        .build()
        .unwrap();
    server.start().await.unwrap();
    server.stop();

    let mut losses = 0;
    while broker.task("1").await.unwrap().state != TaskState::Archived {
        let taken = broker
            .dequeue(&[QueueName::default_queue()], 1, 30 * SECOND)
            .await
            .unwrap();
        losses += taken.tasks.len();
        tokio::time::sleep(SECOND).await;
    }

    assert_eq!(losses, 4);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_handler_is_put_back_uncharged_and_not_in_a_hot_loop() {
    let broker = TestBroker::default();
    let server = server(&broker)
        .handle("other", |_: Context, _: RawTask| async {})
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker.client().enqueue(task("1").max_retry(0)).await.unwrap();

    tokio::time::sleep(60 * SECOND).await;

    let info = broker.task("1").await.unwrap();
    assert_eq!((info.state, info.message.retried), (TaskState::Retry, 0));
    assert_eq!(info.message.last_error, r#"handler not found for task "t""#);
    let queue = broker.info().await;
    assert_eq!((queue.processed, queue.failed), (0, 0));
    let dequeues = broker.dequeues.load(std::sync::atomic::Ordering::Relaxed);
    assert!(dequeues < 60, "{dequeues} dequeues in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_is_archived_with_its_reason() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Resize {
        width: u32,
    }
    impl Task for Resize {
        const TYPE: &'static str = "image:resize";
        type Codec = asynq_server::JsonCodec;
    }
    let broker = TestBroker::default();
    let builder = server(&broker).handle_typed(|_, resize: Resize| async move { assert!(resize.width > 0) });
    let bad = RawTask::new("image:resize", r#"{"width":"wide"}"#).task_id("1");

    let info = run(builder, &broker, bad, Some(TaskState::Archived))
        .await
        .unwrap();

    assert!(
        info.message.last_error.contains("image:resize"),
        "{}",
        info.message.last_error
    );
    assert_eq!(info.message.retried, 0);
}

#[tokio::test(start_paused = true)]
async fn errors_that_are_no_failures_are_retried_uncharged() {
    let broker = TestBroker::default();
    let attempts = Arc::new(Mutex::new(0));
    let handler = {
        let attempts = attempts.clone();
        move |cx: Context, _: RawTask| {
            assert_eq!(cx.retried(), 0);
            let mut attempts = attempts.lock().unwrap();
            *attempts += 1;
            let result = if *attempts < 4 { Err("busy") } else { Ok(()) };
            async move { result }
        }
    };
    let builder = server(&broker)
        .is_failure(|error| error.to_string() != "busy")
        .handle("t", handler);

    run(builder, &broker, task("1").max_retry(1), None).await;

    let queue = broker.info().await;
    assert_eq!((queue.processed, queue.failed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn panics_in_callbacks_do_no_harm() {
    let broker = TestBroker::default();
    let builder = server(&broker)
        .is_failure(|_| panic!("is_failure"))
        .retry_policy(|_: u32, _: &TaskError, _: &RawTask| -> Duration { panic!("retry policy") })
        .error_handler(|_: &Failure<'_>| panic!("error handler"))
        .layer(|cx: Context, task: RawTask, next: Next| async move {
            assert!(cx.retried() > 0, "middleware");
            next.run(cx, task).await
        })
        .handle("t", |_: Context, _: RawTask| async {});

    let info = run(builder, &broker, task("1"), Some(TaskState::Retry))
        .await
        .unwrap();

    assert_eq!(info.message.retried, 1);
    assert!(
        info.message.last_error.ends_with("middleware"),
        "{}",
        info.message.last_error
    );
}

#[tokio::test(start_paused = true)]
async fn the_retry_policy_of_the_handler_comes_before_that_of_the_server() {
    let broker = TestBroker::default();
    let failing = |_: Context, _: RawTask| async { Err::<(), _>("x") };
    let builder = server(&broker).handle("t", with_retry_policy(FixedBackoff(500 * SECOND), failing));
    let begun = std::time::SystemTime::from(asynq_server::Now::now(&broker));

    let info = run(builder, &broker, task("1"), Some(TaskState::Retry))
        .await
        .unwrap();

    let due = std::time::SystemTime::from(info.next_process_at.unwrap());
    assert!((499..=502).contains(&due.duration_since(begun).unwrap().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_result_can_be_stored_while_the_task_runs_if_it_is_kept() {
    let broker = TestBroker::default();
    let builder = server(&broker).handle("t", |cx: Context, _: RawTask| async move {
        match cx.write_result("half way").await {
            Err(ResultError::NotRetained { .. }) => Err(TaskError::new("not kept").skip_retry()),
            other => other.map_err(TaskError::from),
        }
    });
    let info = run(
        builder,
        &broker,
        task("1").retention(60 * SECOND),
        Some(TaskState::Completed),
    )
    .await
    .unwrap();
    assert_eq!(info.result.as_deref(), Some(&b"half way"[..]));

    let builder = server(&broker).handle("t", |cx: Context, _: RawTask| async move {
        cx.write_result("half way")
            .await
            .map_err(|error| TaskError::new(error).skip_retry())
    });
    let info = run(builder, &broker, task("2"), Some(TaskState::Archived))
        .await
        .unwrap();
    assert!(
        info.message.last_error.contains("retention"),
        "{}",
        info.message.last_error
    );
}

#[tokio::test(start_paused = true)]
async fn handlers_share_state() {
    let broker = TestBroker::default();
    let builder =
        server(&broker)
            .state(String::from("shared"))
            .handle("t", |cx: Context, _: RawTask| async move {
                Ok::<_, TaskError>(cx.state::<String>().cloned().unwrap_or_default())
            });

    let info = run(
        builder,
        &broker,
        task("1").retention(SECOND),
        Some(TaskState::Completed),
    )
    .await
    .unwrap();

    assert_eq!(info.result.as_deref(), Some(&b"shared"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_blocking_handler_past_its_deadline_keeps_its_slot_and_what_it_returns_counts() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .handle(
            "t",
            blocking(1, move |cx: Context, _: RawTask| {
                let _ = tell.send(cx.task_id().to_string());
                while *cx.task_id() == "1" && !cx.is_cancelled() {
                    std::thread::yield_now();
                }
                Ok::<_, TaskError>(format!("{:?}", cx.cancel_reason()))
            }),
        )
        .build()
        .unwrap();
    server.start().await.unwrap();
    let client = broker.client();
    client
        .enqueue(task("1").timeout(SECOND).retention(60 * SECOND))
        .await
        .unwrap();
    client.enqueue(task("2")).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "1");
    assert!(told.try_recv().is_err());

    // Paused time stands still while a thread works.
    tokio::time::advance(2 * SECOND).await;

    let info = broker.until("1", Some(TaskState::Completed)).await.unwrap();
    assert_eq!(info.result.as_deref(), Some(&b"Some(DeadlineExceeded)"[..]));
    assert_eq!(told.recv().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_merged_into_one_task() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .group_grace_period(2 * SECOND)
        .group_aggregator(|group: GroupName, tasks: Vec<RawTask>| async move {
            RawTask::new("merged", format!("{group}: {}", tasks.len()))
        })
        .handle("merged", move |cx: Context, task: RawTask| {
            let _ = tell.send((
                cx.queue().to_string(),
                String::from_utf8(task.payload.to_vec()).unwrap(),
            ));
            async {}
        })
        .build()
        .unwrap();
    server.start().await.unwrap();

    for n in 0..5 {
        broker
            .client()
            .enqueue(task(&n.to_string()).group("likes"))
            .await
            .unwrap();
    }

    assert_eq!(
        told.recv().await.unwrap(),
        ("default".to_owned(), "likes: 5".to_owned())
    );
    tokio::time::sleep(SECOND).await;
    assert_eq!(broker.info().await.size(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_merging_fails_is_merged_later() {
    let broker = TestBroker::default();
    let tries = Arc::new(Mutex::new(0));
    let (handler, mut told) = telling();
    let server = server(&broker)
        .group_grace_period(SECOND)
        .group_aggregator(move |_: GroupName, tasks: Vec<RawTask>| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            let n = *tries;
            async move {
                match n {
                    1 => Err(TaskError::new("no")),
                    2 => panic!("no"),
                    _ => Ok(RawTask::new("t", "").task_id(format!("{} of try {n}", tasks.len()))),
                }
            }
        })
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();

    broker.client().enqueue(task("a").group("g")).await.unwrap();
    broker.client().enqueue(task("b").group("g")).await.unwrap();

    assert_eq!(told.recv().await.unwrap(), "2 of try 3");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_blocking_handler_past_its_deadline_is_the_one_that_is_stored() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .handle(
            "t",
            blocking(1, move |cx: Context, _: RawTask| {
                let _ = tell.send(());
                while !cx.is_cancelled() {
                    std::thread::yield_now();
                }
                Err::<(), _>("stopped in row 7")
            }),
        )
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker
        .client()
        .enqueue(task("1").timeout(SECOND).max_retry(0))
        .await
        .unwrap();
    told.recv().await.unwrap();

    tokio::time::advance(2 * SECOND).await;

    let info = broker.until("1", Some(TaskState::Archived)).await.unwrap();
    assert_eq!(info.message.last_error, "stopped in row 7");
}

#[tokio::test(start_paused = true)]
async fn leases_are_kept_although_those_of_another_queue_cannot_be() {
    let broker = TestBroker::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = server(&broker)
        .concurrency(2)
        .queues([("bad lease", 1), ("default", 1)])
        .handle("t", move |cx: Context, _: RawTask| {
            let tell = tell.clone();
            async move {
                tokio::select! {
                    () = cx.cancelled() => {}
                    () = tokio::time::sleep(100 * SECOND) => {}
                }
                let _ = tell.send((cx.queue().to_string(), cx.cancel_reason()));
            }
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    broker
        .client()
        .enqueue(task("1").queue("bad lease"))
        .await
        .unwrap();
    broker.client().enqueue(task("2")).await.unwrap();

    let mut stopped = 0;
    let reason = loop {
        match told.recv().await.unwrap() {
            (queue, reason) if queue == "default" => break reason,
            (_, reason) => {
                assert_eq!(reason, Some(CancelReason::LeaseLost));
                stopped += 1;
            }
        }
    };
    assert_eq!(reason, None);
    assert!(stopped > 0);
}
