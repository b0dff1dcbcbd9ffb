//! A server on a real Redis: killed workers, a Redis that is killed, tasks that others put there. No test waits for a
//! time to pass that it could be told of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq_fixtures::{RedisOptions, RedisServer, shared_redis_url};
use asynq_server::prelude::*;
use asynq_server::{BrokerError, FixedBackoff, Inspect, Now, QueueName, TaskId};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
/// Nothing here takes this long, on however slow a machine.
const AGES: Duration = Duration::from_secs(60);
/// So rare that what polling would find is found in another way or not at all.
const NEVER: Duration = Duration::from_secs(100_000);

fn queue() -> QueueName {
    QueueName::default_queue()
}

/// A server whose polling is off: what starts was told of.
fn told_only(broker: RedisBroker) -> ServerBuilder {
    Server::builder(broker)
        .concurrency(10)
        .task_check_interval(NEVER)
        .delayed_task_check_interval(NEVER)
}

/// Tells of each task it gets.
fn telling() -> (impl Handler, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |cx: Context, _: RawTask| {
        let _ = sender.send(cx.task_id().to_string());
        async {}
    };
    (handler, receiver)
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(AGES, receiver.recv())
        .await
        .expect("nothing came in a minute")
        .expect("the server ended")
}

/// Waits until a queue is empty.
async fn emptied(broker: &RedisBroker) {
    let empty = async {
        loop {
            if let Ok(Some(info)) = broker.queue_info(&queue()).await
                && info.size() == 0
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(AGES, empty).await.is_err() {
        panic!("not empty: {:?}", broker.queue_info(&queue()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_is_told_of_a_task_that_a_go_client_enqueues() {
    let url = shared_redis_url();
    let (handler, mut told) = telling();
    let server = told_only(RedisBroker::connect(&url).await.unwrap())
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();
    let mut redis = redis_connection(&url).await;
    // Told of at once, or found by the first look, depending on who is faster: only the second task proves anything.
    go_enqueue(&mut redis, "first").await;
    assert_eq!(next(&mut told).await, "first");

    for n in 0..20 {
        let id = format!("task-{n}");
        go_enqueue(&mut redis, &id).await;
        assert_eq!(next(&mut told).await, id);
    }

    server.shutdown().await;
}

/// What Go's client does: publishes the queue, then stores the task by a script.
async fn go_enqueue(redis: &mut redis::aio::MultiplexedConnection, id: &str) {
    const SCRIPT: &str = r"
        if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
        redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3])
        redis.call('LPUSH', KEYS[2], ARGV[2])
        return 1";
    let mut message = vec![0x0a, 1, b't', 0x1a, id.len() as u8];
    message.extend(id.as_bytes());
    message.extend([0x22, 7]);
    message.extend(b"default");
    message.extend([0x28, 25, 0x40, 0x88, 0x0e]);
    let () = redis::cmd("SADD")
        .arg("asynq:queues")
        .arg("default")
        .query_async(redis)
        .await
        .unwrap();
    let stored: i32 = redis::cmd("EVAL")
        .arg(SCRIPT)
        .arg(2)
        .arg(format!("asynq:{{default}}:t:{id}"))
        .arg("asynq:{default}:pending")
        .arg(message)
        .arg(id)
        .arg("1700000000000000000")
        .query_async(redis)
        .await
        .unwrap();
    assert_eq!(stored, 1);
}

async fn redis_connection(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_tasks_start_at_their_time_and_never_early() {
    let broker = RedisBroker::connect(&shared_redis_url()).await.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let clock = broker.clone();
    let server = told_only(broker.clone())
        .handle("t", move |cx: Context, _: RawTask| {
            let _ = tell.send((cx.task_id().clone(), clock.now()));
            async {}
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    let client = Client::new(broker);

    let mut due = BTreeMap::new();
    for millis in [2300, 400, 1, 1250, 999, 400] {
        let task = RawTask::new("t", "").process_in(Duration::from_millis(millis));
        let info = client.enqueue(task).await.unwrap();
        due.insert(info.id().clone(), info.next_process_at.unwrap());
    }

    for _ in 0..due.len() {
        let (id, started) = next(&mut told).await;
        // The server's idea of the time is an estimate; Redis itself decided.
        let early = due[&id].saturating_since(started);
        assert!(early < Duration::from_millis(5), "{early:?} early");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_the_worker() {
    let broker = RedisBroker::connect(&shared_redis_url()).await.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = told_only(broker.clone())
        .handle("t", move |cx: Context, _: RawTask| {
            let tell = tell.clone();
            async move {
                let _ = tell.send("started");
                cx.cancelled().await;
                let _ = tell.send("cancelled");
                Outcome::Archive(TaskError::new("by hand"))
            }
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    let info = Client::new(broker.clone())
        .enqueue(RawTask::new("t", ""))
        .await
        .unwrap();
    assert_eq!(next(&mut told).await, "started");

    broker.cancel(Some(&queue()), info.id()).await.unwrap();

    assert_eq!(next(&mut told).await, "cancelled");
    server.shutdown().await;
    let archived = broker.task(&queue(), info.id()).await.unwrap().unwrap();
    assert_eq!(archived.message.last_error, "by hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_task_and_a_damaged_queue_stop_nothing_else() {
    let url = shared_redis_url();
    let broker = RedisBroker::connect(&url).await.unwrap();
    let mut redis = redis_connection(&url).await;
    let hash = "asynq:{default}:t:bad";
    let () = redis::cmd("HSET")
        .arg(hash)
        .arg(&["msg", "\u{1}junk", "state", "pending"])
        .query_async(&mut redis)
        .await
        .unwrap();
    let () = redis::cmd("LPUSH")
        .arg("asynq:{default}:pending")
        .arg("bad")
        .query_async(&mut redis)
        .await
        .unwrap();
    let () = redis::cmd("SET")
        .arg("asynq:{damaged}:pending")
        .arg("not a list")
        .query_async(&mut redis)
        .await
        .unwrap();
    let (handler, mut told) = telling();
    let server = told_only(broker.clone())
        .queues([("damaged", 100), ("default", 1)])
        .strict_priority(true)
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();

    Client::new(broker.clone())
        .enqueue(RawTask::new("t", "").task_id("good"))
        .await
        .unwrap();

    assert_eq!(next(&mut told).await, "good");
    server.shutdown().await;
    let info = broker.queue_info(&queue()).await.unwrap().unwrap();
    assert_eq!((info.archived, info.pending, info.active), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_killed_worker_run_again_and_none_is_lost() {
    const TASKS: usize = 50;
    let url = shared_redis_url();
    let broker = RedisBroker::connect(&url).await.unwrap();
    let tasks = (0..TASKS).map(|n| RawTask::new("t", "").task_id(n.to_string()).max_retry(1));
    for answer in Client::new(broker.clone()).enqueue_all(tasks).await {
        answer.unwrap();
    }
    let mut worker = WorkerProcess::start(&url);
    let started: BTreeSet<String> = (0..TASKS).map(|_| worker.next_line()).collect();
    assert_eq!(started.len(), TASKS);

    worker.kill();

    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::builder(broker.clone())
        .concurrency(TASKS)
        .retry_policy(FixedBackoff(Duration::ZERO))
        .handle("t", move |cx: Context, _: RawTask| {
            let _ = tell.send((cx.task_id().to_string(), cx.retried()));
            async {}
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    let mut again = BTreeMap::new();
    for _ in 0..TASKS {
        let (id, retried) = next(&mut told).await;
        // Each was started once before; whether that was noted in time before the kill is a race it may lose.
        assert!(retried <= 1, "task {id} was charged {retried} attempts");
        again.insert(id, retried);
    }
    assert_eq!(again.into_keys().collect::<BTreeSet<_>>(), started);
    emptied(&broker).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_its_killed_worker_had_not_started_is_not_charged() {
    let broker = RedisBroker::connect(&shared_redis_url()).await.unwrap();
    Client::new(broker.clone())
        .enqueue(RawTask::new("t", "").max_retry(0))
        .await
        .unwrap();
    let taken = asynq_server::Dequeue::dequeue(&broker, &[queue()], 1, 2 * SECOND)
        .await
        .unwrap();
    assert_eq!(taken.tasks.len(), 1);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::builder(broker.clone())
        .handle("t", move |cx: Context, _: RawTask| {
            let _ = tell.send(cx.retried());
            async {}
        })
        .build()
        .unwrap();

    server.start().await.unwrap();

    assert_eq!(next(&mut told).await, 0);
    emptied(&broker).await;
    server.shutdown().await;
}

/// This test program again, as a worker that starts every task and finishes none.
struct WorkerProcess {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

const WORKER_URL: &str = "ASYNQ_TEST_WORKER_URL";

impl WorkerProcess {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_worker_process", "--exact", "--ignored", "--nocapture"])
            .env(WORKER_URL, url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        WorkerProcess { child, lines }
    }

    /// The id of the next task it starts.
    fn next_line(&mut self) -> String {
        loop {
            let line = self.lines.next().expect("the worker ended").unwrap();
            if let Some((_, id)) = line.split_once("started ") {
                return id.to_owned();
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of another test, which starts and kills it"]
async fn a_worker_process() {
    let url = std::env::var(WORKER_URL).expect("started by another test");
    Server::builder(RedisBroker::connect(&url).await.unwrap())
        .concurrency(50)
        .lease_duration(2 * SECOND)
        .handle("t", |cx: Context, _: RawTask| async move {
            println!("started {}", cx.task_id());
            std::future::pending::<()>().await;
        })
        .run()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_restarted_under_load_loses_no_accepted_task() {
    let mut redis = RedisServer::start_with(RedisOptions {
        append_only: true,
        ..RedisOptions::default()
    });
    let broker = RedisBroker::connect(&redis.url()).await.unwrap();
    let done = Arc::new(Mutex::new(BTreeSet::new()));
    let server = Server::builder(broker.clone())
        .concurrency(20)
        .retry_policy(FixedBackoff(Duration::ZERO))
        .handle("t", {
            let done = done.clone();
            move |cx: Context, _: RawTask| {
                let done = done.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    done.lock().unwrap().insert(cx.task_id().to_string());
                }
            }
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    let accepted = Arc::new(Mutex::new(BTreeSet::new()));
    let stop = Arc::new(AtomicUsize::new(0));
    let producer = tokio::spawn({
        let (client, accepted, stop) = (Client::new(broker.clone()), accepted.clone(), stop.clone());
        async move {
            let mut n = 0;
            while stop.load(Ordering::Relaxed) == 0 {
                n += 1;
                let id = format!("task-{n}");
                if client.enqueue(RawTask::new("t", "").task_id(&*id)).await.is_ok() {
                    accepted.lock().unwrap().insert(id);
                }
            }
        }
    });

    for round in 1..=3 {
        let enough = 200 * round;
        let busy = async {
            while accepted.lock().unwrap().len() < enough {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(AGES, busy)
            .await
            .expect("tasks are accepted again after a restart");
        redis = tokio::task::spawn_blocking(move || {
            redis.kill();
            redis.restart();
            redis
        })
        .await
        .unwrap();
    }
    stop.store(1, Ordering::Relaxed);
    producer.await.unwrap();

    emptied(&broker).await;
    let (accepted, done) = (accepted.lock().unwrap().clone(), done.lock().unwrap().clone());
    let lost: Vec<_> = accepted.difference(&done).collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        accepted.len()
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_restarted_empty_is_served_on() {
    let mut redis = RedisServer::start();
    let broker = RedisBroker::connect(&redis.url()).await.unwrap();
    let (handler, mut told) = telling();
    let server = Server::builder(broker.clone())
        .handle("t", handler)
        .build()
        .unwrap();
    server.start().await.unwrap();
    let client = Client::new(broker.clone());
    client
        .enqueue(RawTask::new("t", "").task_id("before"))
        .await
        .unwrap();
    assert_eq!(next(&mut told).await, "before");

    redis = tokio::task::spawn_blocking(move || {
        redis.restart();
        redis
    })
    .await
    .unwrap();
    client
        .enqueue(RawTask::new("t", "").task_id("after"))
        .await
        .unwrap();

    assert_eq!(next(&mut told).await, "after");
    emptied(&broker).await;
    // The queue is listed again, although this process had listed it before.
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
    server.shutdown().await;
    drop(redis);
}

#[tokio::test]
async fn a_wrong_password_and_a_redis_that_is_not_there_are_told_apart() {
    let redis = RedisServer::start_with(RedisOptions {
        password: Some("secret".into()),
        ..Default::default()
    });
    let wrong = redis.url().replace("secret", "guess");

    let denied = connect(&wrong).await.map(drop).unwrap_err();
    assert!(matches!(denied, BrokerError::Denied { .. }), "{denied:?}");
    assert!(!format!("{denied:?}{denied}").contains("guess"));

    let away = connect("redis://127.0.0.1:1").await.map(drop).unwrap_err();
    assert!(matches!(away, BrokerError::Unavailable { .. }), "{away:?}");
    assert!(connect(&redis.url()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_merged_on_redis() {
    let broker = RedisBroker::connect(&shared_redis_url()).await.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::builder(broker.clone())
        .group_grace_period(SECOND)
        .group_max_size(3)
        .merge_groups(|group, tasks| RawTask::new("merged", format!("{group} {}", tasks.len())))
        .handle("merged", move |_: Context, task: RawTask| {
            let _ = tell.send(String::from_utf8(task.payload.to_vec()).unwrap());
            async {}
        })
        .build()
        .unwrap();
    server.start().await.unwrap();
    let tasks = (0..4).map(|n| RawTask::new("t", "").task_id(n.to_string()).group("g"));
    for answer in Client::new(broker.clone()).enqueue_all(tasks).await {
        answer.unwrap();
    }

    assert_eq!(next(&mut told).await, "g 3");
    assert_eq!(next(&mut told).await, "g 1");
    emptied(&broker).await;
    server.shutdown().await;
    assert!(
        broker
            .task(&queue(), &TaskId::new("0").unwrap())
            .await
            .unwrap()
            .is_none()
    );
}
