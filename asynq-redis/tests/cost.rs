//! How much a server is asked to do for a task. Fewer commands are more tasks per second.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use asynq_core::broker::Settlement;
use asynq_core::{Dequeue, Enqueue};
use asynq_fixtures::RedisServer;

use support::*;

const TASKS: u64 = 100;

/// Commands carried out since the last time, those within scripts too, and round trips among them.
async fn commands(subject: &mut Subject) -> (u64, u64) {
    let stats: String = subject.raw("INFO commandstats").await;
    let _: String = subject.raw("CONFIG RESETSTAT").await;
    let mut all = 0;
    let mut scripts = 0;
    for line in stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")) {
        let (name, rest) = line.split_once(":calls=").unwrap();
        let calls: u64 = rest.split(',').next().unwrap().parse().unwrap();
        if !name.starts_with("info") && !name.starts_with("config") {
            all += calls;
        }
        if name == "evalsha" {
            scripts += calls;
        }
    }
    (all, scripts)
}

#[tokio::test]
async fn a_task_costs_few_commands() {
    let server = RedisServer::start();
    let mut subject = Subject::at(&server.url()).await;
    let names: Vec<String> = (0..TASKS).map(|n| n.to_string()).collect();
    let tasks: Vec<_> = names.iter().map(|name| task(name)).collect();
    // Loads the scripts.
    subject.enqueue(&["first"]).await;
    let first = subject.dequeue_one().await;
    subject.finish(&first, Settlement::Done { result: None }).await;
    commands(&mut subject).await;

    subject.broker.enqueue(&tasks).await.unwrap();
    let (enqueue, enqueue_scripts) = commands(&mut subject).await;
    let leased = subject.dequeue(TASKS as usize).await.tasks;
    let (dequeue, dequeue_scripts) = commands(&mut subject).await;
    let keys: Vec<_> = leased.iter().map(|task| task.key.clone()).collect();
    subject.broker.extend(&keys, LEASE).await.unwrap();
    commands(&mut subject).await;
    subject.broker.extend(&keys, LEASE).await.unwrap();
    let (extend, _) = commands(&mut subject).await;
    let finishes: Vec<_> = leased
        .iter()
        .map(|task| finish(task, Settlement::Done { result: None }))
        .collect();
    subject.broker.finish(&finishes).await.unwrap();
    let (done, done_scripts) = commands(&mut subject).await;
    subject.enqueue(&["alone"]).await;
    commands(&mut subject).await;
    let alone = subject.dequeue_one().await;
    subject.finish(&alone, Settlement::Done { result: None }).await;
    let (one, _) = commands(&mut subject).await;
    let nothing = subject
        .broker
        .dequeue(&[queue("q"), queue("r")], 10, LEASE)
        .await
        .unwrap();
    assert!(nothing.tasks.is_empty());
    let (idle, _) = commands(&mut subject).await;

    println!(
        "commands for {TASKS} tasks: enqueue {enqueue}, dequeue {dequeue}, extend {extend}, done {done}"
    );
    println!("commands to take out and finish one task alone: {one}");
    println!("commands for an empty dequeue of two queues: {idle}");
    assert_eq!((enqueue_scripts, dequeue_scripts, done_scripts), (1, 1, 1));
    let fixed = 10;
    assert!(enqueue <= 3 * TASKS + fixed, "{enqueue}");
    assert!(dequeue <= 3 * TASKS + fixed, "{dequeue}");
    assert!(extend <= 2 * TASKS + fixed, "{extend}");
    assert!(done <= 5 * TASKS + fixed, "{done}");
    assert!(one <= 22, "{one}");
    assert!(idle <= 6, "{idle}");
}
