//! Schedulers on brokers that are not in this process: beside a server, and while the broker cannot be reached.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

#[path = "support/place.rs"]
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use asynq_core::{Broker, Context, Page, QueueName, RawTask, TaskOptions, TaskState, Timestamp};
use asynq_scheduler::{Entry, Missed, Scheduler};
use asynq_server::{Server, SqliteBroker, connect};
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::sync::mpsc;

use place::{Keeper, Place};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_scheduler_and_a_server_share_what_a_redis_url_names() {
    share(&Place::redis().url).await;
}

#[tokio::test]
async fn a_scheduler_and_a_server_share_what_an_sqlite_url_names() {
    share(&Place::sqlite().url).await;
}

async fn share(url: &str) {
    let (told, mut tell) = mpsc::unbounded_channel();
    let broker = connect(url).await.unwrap();
    let scheduler = Scheduler::new(broker.clone());
    let task = RawTask::new("t", "");
    let id = scheduler.register("@every 1s", task, TaskOptions::new()).unwrap();
    let server = Server::builder(broker.clone())
        .handle("t", move |cx: Context, _: RawTask| {
            told.send(cx.task_id().to_string()).unwrap();
            async {}
        })
        .build()
        .unwrap();

    scheduler.start().unwrap();
    server.start().await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        runs.push(
            tokio::time::timeout(PATIENCE, tell.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }

    assert_eq!(broker.schedule_entries().await.unwrap()[0].id, id.as_str());
    scheduler.shutdown().await;
    server.shutdown().await;
    let events = broker.schedule_events(id.as_str(), Page::first(9)).await.unwrap();
    let noted: Vec<String> = events.iter().map(|event| event.task_id.to_string()).collect();
    assert!(
        runs.iter().all(|run| noted.contains(run)),
        "{runs:?} in {noted:?}"
    );
}

/// Short, so that most ticks of an outage are missed ones.
const GRACE: Duration = Duration::from_millis(400);
const OUTAGE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn ticks_while_redis_is_away_are_treated_as_each_entry_says() {
    let mut place = Place::redis();
    let brokers = [
        connect(&place.url).await.unwrap(),
        connect(&place.url).await.unwrap(),
    ];
    let _schedulers = brokers.clone().map(scheduler);
    let broker = &brokers[0];
    until_ticked_after(broker, broker.now()).await;
    let Keeper::Redis(server) = &mut place.keeper else {
        unreachable!()
    };

    server.kill();
    let began = broker.now();
    tokio::time::sleep(OUTAGE).await;
    let ended = broker.now();
    server.restart();

    until_ticked_after(broker, ended).await;
    check(&ticks(broker).await, began, ended);
}

#[tokio::test]
async fn ticks_while_an_sqlite_file_is_locked_are_treated_as_each_entry_says() {
    let place = Place::sqlite();
    let brokers = [impatient(&place.url).await, impatient(&place.url).await];
    let _schedulers = brokers.clone().map(scheduler);
    let broker = &brokers[0];
    until_ticked_after(broker, broker.now()).await;
    let options: sqlx::sqlite::SqliteConnectOptions = place.url.parse().unwrap();
    let mut other: SqliteConnection = options.connect().await.unwrap();

    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let began = broker.now();
    tokio::time::sleep(OUTAGE).await;
    let ended = broker.now();
    other.execute("ROLLBACK").await.unwrap();

    until_ticked_after(broker, ended).await;
    check(&ticks(broker).await, began, ended);
    other.close().await.unwrap();
}

/// A broker that does not wait for the lock until the outage is over.
async fn impatient(url: &str) -> Arc<dyn Broker> {
    let builder = SqliteBroker::builder(url).busy_timeout(Duration::from_millis(50));
    builder.open().await.unwrap().into()
}

const ENTRIES: [(&str, Missed); 3] = [
    ("skip", Missed::Skip),
    ("once", Missed::RunOnce),
    ("all", Missed::RunAll { limit: 1000 }),
];

fn scheduler(broker: Arc<dyn Broker>) -> Scheduler {
    let scheduler = Scheduler::builder(broker).grace(GRACE).build();
    for (name, missed) in ENTRIES {
        let entry = Entry::new("@every 1s", RawTask::new(name, ""));
        scheduler.register_entry(entry.missed(missed)).unwrap();
    }
    scheduler.start().unwrap();
    scheduler
}

/// The ticks of each entry, in seconds since 1970.
async fn ticks(broker: &Arc<dyn Broker>) -> BTreeMap<String, BTreeSet<i64>> {
    let queue = QueueName::default_queue();
    let listed = broker
        .tasks(&queue, TaskState::Pending, None, Page::first(1000))
        .await;
    let mut ticks: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for task in listed.unwrap_or_default() {
        let (_, tick) = task.id().as_str().rsplit_once(':').unwrap();
        let task_type = task.message.task_type.to_string();
        ticks.entry(task_type).or_default().insert(tick.parse().unwrap());
    }
    ticks
}

async fn until_ticked_after(broker: &Arc<dyn Broker>, moment: Timestamp) {
    let ticked = async {
        loop {
            let ticks = ticks(broker).await;
            let is_after =
                |ticks: &BTreeSet<i64>| ticks.last().is_some_and(|last| *last > moment.unix_seconds());
            if ticks.len() == ENTRIES.len() && ticks.values().all(is_after) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ticked).await.expect("ticks go on");
}

fn check(ticks: &BTreeMap<String, BTreeSet<i64>>, began: Timestamp, ended: Timestamp) {
    let late_at_the_end = ended.saturating_sub(GRACE).unix_seconds();
    let missed: Vec<i64> = (began.unix_seconds() + 1..=late_at_the_end).collect();
    let made_up_for = |name: &str| missed.iter().filter(|tick| ticks[name].contains(tick)).count();
    assert!(missed.len() >= 3, "{missed:?}");
    assert_eq!(made_up_for("skip"), 0, "{missed:?} {ticks:?}");
    assert!(made_up_for("once") <= 1, "{missed:?} {ticks:?}");
    assert_eq!(made_up_for("all"), missed.len(), "{missed:?} {ticks:?}");
    let (first, last) = (ticks["all"].first().unwrap(), ticks["all"].last().unwrap());
    assert_eq!(ticks["all"].len() as i64, last - first + 1, "without a gap");
}
