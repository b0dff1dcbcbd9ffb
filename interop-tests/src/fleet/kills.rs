//! Servers of both kinds on the same queues, killed at random: nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use asynq_core::TaskState;
use asynq_redis::RedisBroker;
use fastrand::Rng;
use serde_json::{Value, json};

use super::process::{AnyClient, Kind, Ledger, Port, ServerProcess, count, task};
use super::{Sailed, inspectors};
use crate::go::GoProgram;

const CONCURRENCY: usize = 5;
/// A task of a killed Go worker comes back at the latest 30 s after its lease of 30 s; Go looks once a minute.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) async fn check(
    program: &GoProgram,
    database: i64,
    tasks: usize,
    seed: u64,
    sailed: &mut Sailed,
) -> Result<(), String> {
    let port = Port {
        program: program.clone(),
        database,
        queues: r#"{"default":3,"low":1}"#,
        concurrency: CONCURRENCY,
        merges: false,
        retry_seconds: 1,
    };
    port.flush()?;
    let broker = port.broker().await?;
    let mut ledger = Ledger::new();
    let mut fleet = Vec::new();
    for kind in [Kind::Go, Kind::Ours, Kind::Go, Kind::Ours] {
        fleet.push(ServerProcess::start(&port, kind, &ledger.sender)?);
    }
    let producers = [
        tokio::spawn(produce(port.clone(), Kind::Go, tasks / 2, seed)),
        tokio::spawn(produce(port.clone(), Kind::Ours, tasks - tasks / 2, seed ^ 1)),
    ];
    let mut rng = Rng::with_seed(seed);
    let mut kills = BTreeMap::new();
    let begun = Instant::now();
    let enough = tasks * 9 / 10;
    while done(&mut ledger).len() < enough {
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "only {} of {tasks} tasks were done",
                done(&mut ledger).len()
            ));
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(100..700))).await;
        let victim = rng.usize(0..fleet.len());
        let kind = fleet[victim].kind;
        fleet[victim].kill();
        *kills.entry(format!("{kind:?}")).or_insert(0) += 1;
        fleet[victim] = ServerProcess::start(&port, kind, &ledger.sender)?;
    }
    let mut accepted = BTreeSet::new();
    for producer in producers {
        accepted.extend(producer.await.map_err(|error| error.to_string())??);
    }
    println!(
        "  {} tasks accepted, servers killed: {kills:?}; waiting for the rest",
        accepted.len()
    );
    wait_until_empty(&broker, &mut ledger).await?;
    for server in fleet {
        server.stop()?;
    }
    sailed.kills = kills.values().sum();
    audit(&accepted, &mut ledger, &broker, sailed).await?;
    sailed.answers += inspectors::compare(&port, 100).await?;
    Ok(())
}

/// The ids that were accepted.
async fn produce(port: Port, kind: Kind, tasks: usize, seed: u64) -> Result<Vec<String>, String> {
    let mut client = AnyClient::connect(&port, kind).await?;
    let mut rng = Rng::with_seed(seed);
    let mut accepted = Vec::with_capacity(tasks);
    for number in 0..tasks {
        let task = random_task(&mut rng, &format!("{kind:?}-{number}"));
        let (id, _) = client
            .enqueue(&task)
            .await?
            .map_err(|error| format!("{} was refused: {error}", task["id"]))?;
        accepted.push(id);
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(accepted)
}

fn random_task(rng: &mut Rng, id: &str) -> Value {
    let fail_times = u32::from(rng.u8(0..20) == 0);
    let script = json!({"do": "ok", "sleep_ms": rng.u32(0..25), "fail_times": fail_times, "n": id});
    let mut task = task(id, &script);
    task["queue"] = if rng.bool() { "default" } else { "low" }.into();
    match rng.u8(0..10) {
        0 => task["retention"] = 3_600_000_000_i64.into(),
        1 => task["unique"] = 3_600_000_000_i64.into(),
        2 => task["process_in"] = rng.i64(500_000..5_000_000).into(),
        3 => task["headers"] = json!({"id": id}),
        _ => {}
    }
    task
}

/// The ids of the tasks that a handler has finished.
fn done(ledger: &mut Ledger) -> BTreeSet<&str> {
    ledger.take_in();
    let ended = ledger
        .reports
        .iter()
        .filter(|report| report.event == "end" && report.error.is_empty());
    ended.map(|report| report.id.as_str()).collect()
}

async fn wait_until_empty(broker: &RedisBroker, ledger: &mut Ledger) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        ledger.take_in();
        let mut left = Vec::new();
        for queue in ["default", "low"] {
            let counts = count(broker, queue).await?;
            let waiting = counts.into_iter().filter(|(state, count)| {
                !matches!(state, TaskState::Completed | TaskState::Archived) && *count > 0
            });
            left.extend(waiting);
        }
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("after {PATIENCE:?} there are still {left:?}"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn audit(
    accepted: &BTreeSet<String>,
    ledger: &mut Ledger,
    broker: &RedisBroker,
    sailed: &mut Sailed,
) -> Result<(), String> {
    for queue in ["default", "low"] {
        let counts = count(broker, queue).await?;
        if let Some((_, archived)) = counts
            .iter()
            .find(|(state, count)| *state == TaskState::Archived && *count > 0)
        {
            return Err(format!("{archived} tasks of queue {queue} were archived"));
        }
    }
    let done: BTreeSet<String> = done(ledger).into_iter().map(str::to_owned).collect();
    let lost: Vec<&String> = accepted.difference(&done).collect();
    if !lost.is_empty() {
        return Err(format!("{} tasks were lost, such as {:?}", lost.len(), lost[0]));
    }
    let unknown: Vec<&String> = done.difference(accepted).collect();
    if !unknown.is_empty() {
        return Err(format!(
            "{} tasks were run that nobody enqueued: {:?}",
            unknown.len(),
            unknown[0]
        ));
    }
    let ends = ledger
        .reports
        .iter()
        .filter(|report| report.event == "end" && report.error.is_empty())
        .count();
    sailed.tasks = accepted.len();
    sailed.repeated = ends - done.len();
    // Those that ran when their server was killed, and those of ours whose outcome was on its way.
    let explained = 2 * CONCURRENCY * sailed.kills;
    if sailed.repeated > explained {
        return Err(format!(
            "{} tasks were done twice, {explained} at most can be explained",
            sailed.repeated
        ));
    }
    Ok(())
}
