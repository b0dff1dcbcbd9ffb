//! Several processes on one file, and processes that are killed.
//!
//! This program starts itself: a child is a test of its own that does nothing unless it is told where the file is.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{Claim, Finish, Leased, Settlement};
use asynq_core::{
    Client, Clock, Configure, Dequeue, Inspect, Maintain, QueueName, RawTask, Signals, SystemClock, TaskId,
    TaskState, Timestamp,
};
use asynq_sqlite::sqlx::{self, ConnectOptions, Connection};
use asynq_sqlite::{EnqueueIn, SqliteBroker};
use tokio::task::JoinHandle;

/// Where the file of a child is, and its number.
const FILE: &str = "ASYNQ_TEST_FILE";
const NUMBER: &str = "ASYNQ_TEST_CHILD";
/// How many processes the loop kills. A few in CI; thousands take an hour.
const KILLS: &str = "ASYNQ_TEST_KILLS";
const LEASE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);

fn queue() -> QueueName {
    QueueName::default_queue()
}

/// Starts this program once more, to run one test that is a child's work.
fn child(work: &str, file: &Path, number: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", work, "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .env(NUMBER, number.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Where the file is and which number this child has, if this is one.
fn told() -> Option<(PathBuf, usize)> {
    let file = std::env::var_os(FILE)?;
    let number = std::env::var(NUMBER).ok()?.parse().ok()?;
    Some((file.into(), number))
}

fn done(leased: Leased) -> Finish {
    Finish {
        key: leased.key,
        message: leased.message,
        claim: Claim::Holder,
        settlement: Settlement::Done { result: None },
    }
}

#[tokio::test]
async fn child_that_enqueues_one_task() {
    let Some((file, _)) = told() else { return };
    let broker = SqliteBroker::open(file).await.unwrap();

    Client::new(broker)
        .enqueue(RawTask::new("t", "from afar"))
        .await
        .unwrap();
}

/// Waits for pending tasks as a server does.
struct Watcher {
    signals: Arc<Signals>,
    watching: JoinHandle<()>,
}

impl Watcher {
    /// Told of what there is, from then on it is told of what comes.
    async fn start(broker: &SqliteBroker) -> Self {
        let (signals, cancels) = Signals::new();
        let signals = Arc::new(signals);
        let watching = tokio::spawn({
            let (broker, signals) = (broker.clone(), signals.clone());
            async move {
                // Servers hear of cancellations too.
                let _cancels = cancels;
                let _ = broker.watch(&[queue()], &signals).await;
            }
        });
        let watcher = Watcher { signals, watching };
        watcher.told().await;
        watcher
    }

    async fn told(&self) {
        tokio::time::timeout(PATIENCE, self.signals.pending())
            .await
            .expect("a wake");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

#[tokio::test]
async fn a_server_is_told_of_a_task_that_another_process_enqueued() {
    let file = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&file).await.unwrap();
    let watcher = Watcher::start(&broker).await;

    let mut enqueuer = child("child_that_enqueues_one_task", &file, 0);

    watcher.told().await;
    let taken = broker.dequeue(&[queue()], 1, LEASE).await.unwrap();
    assert_eq!(&taken.tasks[0].message.payload[..], b"from afar");
    assert!(enqueuer.wait().unwrap().success());
    drop(watcher);
}

const WAKES: usize = 25;

/// With its own broker, or as number 1 in transactions of a connection of its own. The payload is when it was committed.
#[tokio::test]
async fn child_that_enqueues_now_and_then() {
    let Some((file, number)) = told() else { return };
    let broker = SqliteBroker::open(&file).await.unwrap();
    let client = Client::new(broker);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut connection = options.connect().await.unwrap();
    for _ in 0..WAKES {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(60..110))).await;
        let task = RawTask::new("t", SystemClock.now().unix_micros().to_string());
        if number == 0 {
            client.enqueue(task).await.unwrap();
        } else {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            client.enqueue_in(&mut transaction, task).await.unwrap();
            transaction.commit().await.unwrap();
        }
    }
}

/// Nothing is polled here: a wake that does not come is waited for in vain.
async fn assert_soon_told(number: usize) {
    let file = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&file).await.unwrap();
    let watcher = Watcher::start(&broker).await;
    let mut enqueuer = child("child_that_enqueues_now_and_then", &file, number);

    let mut waited = Vec::new();
    while waited.len() < WAKES {
        watcher.told().await;
        let now = SystemClock.now();
        for leased in broker.dequeue(&[queue()], 10, LEASE).await.unwrap().tasks {
            let enqueued: i64 = std::str::from_utf8(&leased.message.payload)
                .unwrap()
                .parse()
                .unwrap();
            waited.push(now.saturating_since(Timestamp::from_unix_micros(enqueued)));
        }
    }

    assert!(enqueuer.wait().unwrap().success());
    drop(watcher);
    waited.sort();
    let (median, worst) = (waited[WAKES / 2], waited[WAKES - 1]);
    println!("told after {median:?} (median), {worst:?} (worst of {WAKES})");
    assert!(median < Duration::from_millis(50), "{waited:?}");
    assert!(worst < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn a_server_is_told_within_fifty_milliseconds_of_what_another_process_enqueues() {
    assert_soon_told(0).await;
}

#[tokio::test]
async fn a_server_is_told_within_fifty_milliseconds_of_a_transaction_of_another_process() {
    assert_soon_told(1).await;
}

#[tokio::test]
async fn child_that_moves_to_another_folder() {
    let Some((file, _)) = told() else { return };
    std::env::set_current_dir(file.parent().unwrap()).unwrap();
    let broker = SqliteBroker::open(file.file_name().unwrap()).await.unwrap();
    std::env::set_current_dir("/").unwrap();

    Client::new(broker.clone())
        .enqueue(RawTask::new("t", "x"))
        .await
        .unwrap();
    let info = broker.queue_info(&queue()).await.unwrap();
    assert_eq!(info.unwrap().pending, 1);
}

#[tokio::test]
async fn a_process_that_goes_to_another_folder_keeps_its_file() {
    let file = support::dir_of_this_test().join("tasks.db");

    let mut child = child("child_that_moves_to_another_folder", &file, 0);

    assert!(child.wait().unwrap().success());
}

const TASKS_OF_EACH: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_enqueues_and_works() {
    let Some((file, number)) = told() else { return };
    let broker = SqliteBroker::open(file).await.unwrap();
    let client = Client::new(broker.clone());
    let mut worked = 0;
    for n in 0..TASKS_OF_EACH {
        let id = format!("{number}-{n}");
        client
            .enqueue(RawTask::new("t", "x").task_id(id))
            .await
            .expect("no lock reaches a user");
        let taken = broker
            .dequeue(&[queue()], 2, Duration::from_secs(60))
            .await
            .expect("no lock reaches a user");
        let finishes: Vec<_> = taken.tasks.into_iter().map(done).collect();
        worked += finishes.len();
        broker.finish(&finishes).await.expect("no lock reaches a user");
    }
    assert!(worked > 0);
}

#[tokio::test]
async fn many_processes_share_a_file_and_none_meets_a_lock() {
    let file = support::dir_of_this_test().join("tasks.db");
    let broker = SqliteBroker::open(&file).await.unwrap();

    let children: Vec<Child> = (0..4)
        .map(|number| child("child_that_enqueues_and_works", &file, number))
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }

    let info = broker.queue_info(&queue()).await.unwrap().unwrap();
    assert_eq!(info.processed_total + info.size(), 4 * TASKS_OF_EACH as u64);
    assert_eq!(info.active, 0, "each finished what it took out");
}

/// What a child that is to be killed notes before and after it does something. Each line is one write, so a kill leaves
/// whole lines.
struct Ledger(std::fs::File);

impl Ledger {
    fn open(file: &Path) -> Self {
        let path = file.with_extension("ledger");
        Ledger(OpenOptions::new().append(true).create(true).open(path).unwrap())
    }

    fn note(&mut self, what: &str, ids: impl IntoIterator<Item = String>) {
        let lines: String = ids.into_iter().map(|id| format!("{what} {id}\n")).collect();
        self.0.write_all(lines.as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_is_killed() {
    let Some((file, number)) = told() else { return };
    let mut ledger = Ledger::open(&file);
    let broker = SqliteBroker::open(file).await.unwrap();
    let client = Client::new(broker.clone());
    for batch in 0.. {
        let ids: Vec<String> = (0..7).map(|n| format!("{number}-{batch}-{n}")).collect();
        let tasks = ids
            .iter()
            .map(|id| RawTask::new("t", vec![b'x'; 300]).task_id(id.clone()));
        for answer in client.enqueue_all(tasks).await {
            answer.unwrap();
        }
        ledger.note("accepted", ids);
        recover(&broker).await;
        let taken = broker.dequeue(&[queue()], 6, LEASE).await.unwrap().tasks;
        let line = |leased: &Leased| {
            let (from, until) = (leased.leased_at.unix_micros(), leased.expires_at.unix_micros());
            format!("{} {from} {until}", leased.key.id)
        };
        ledger.note("started", taken.iter().map(line));
        ledger.note("finishing", taken.iter().map(|leased| leased.key.id.to_string()));
        let ids: Vec<String> = taken.iter().map(|leased| leased.key.id.to_string()).collect();
        let finishes: Vec<_> = taken.into_iter().map(done).collect();
        broker.finish(&finishes).await.unwrap();
        ledger.note("finished", ids);
    }
}

/// Gives back what killed processes held.
async fn recover(broker: &SqliteBroker) {
    for expired in broker.expired(&queue(), 100).await.unwrap().tasks {
        let finish = Finish {
            key: expired.key,
            message: expired.message,
            claim: Claim::Expired,
            settlement: Settlement::Requeue { lost: true },
        };
        broker.finish(&[finish]).await.unwrap();
    }
}

/// After so many the next ones get a new file: what is checked stays small.
const KILLS_OF_A_FILE: usize = 50;

#[tokio::test]
async fn killed_processes_lose_no_task_and_damage_no_file() {
    let kills: usize = std::env::var(KILLS).map_or(20, |kills| kills.parse().unwrap());
    let dir = support::dir_of_this_test();
    let mut finished = 0;
    for round in 0..kills.div_ceil(KILLS_OF_A_FILE) {
        let file = dir.join(format!("round-{round}.db"));
        let kills = KILLS_OF_A_FILE.min(kills - round * KILLS_OF_A_FILE);
        for number in (0..kills).step_by(2) {
            kill_two(&file, number).await;
            if number % 10 == 0 {
                check(&file).await;
            }
        }
        finished += check(&file).await;
    }
    assert!(finished > 0, "none was killed while it worked");
}

/// In a random moment of their work: that moment is the point.
async fn kill_two(file: &Path, number: usize) {
    let mut victims = [number, number + 1].map(|number| child("child_that_is_killed", file, number));
    tokio::time::sleep(Duration::from_millis(fastrand::u64(20..300))).await;
    for victim in &mut victims {
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
}

/// Compares what the children noted with what is stored, and says how many tasks they finished.
async fn check(file: &Path) -> usize {
    if !file.exists() {
        // Killed before they came to make it.
        return 0;
    }
    let broker = SqliteBroker::open(file).await.unwrap();
    assert_eq!(support::integrity(file).await, "ok");
    let ledger = std::fs::read_to_string(file.with_extension("ledger")).unwrap_or_default();
    let mut noted: HashMap<&str, HashSet<&str>> = HashMap::new();
    let mut starts: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for line in ledger.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        noted.entry(words[0]).or_default().insert(words[1]);
        if let ["started", id, from, until] = words[..] {
            starts
                .entry(id)
                .or_default()
                .push((from.parse().unwrap(), until.parse().unwrap()));
        }
    }
    let is_noted = |what, id| noted.get(what).is_some_and(|ids| ids.contains(id));
    for id in noted.get("accepted").into_iter().flatten() {
        let stored = broker.task(&queue(), &TaskId::new(id).unwrap()).await.unwrap();
        assert!(stored.is_some() || is_noted("finishing", id), "task {id} is lost");
        if let Some(info) = stored {
            assert!(!is_noted("finished", id), "task {id} is back");
            assert!(matches!(info.state, TaskState::Pending | TaskState::Active));
        }
    }
    for (id, mut starts) in starts {
        starts.sort_unstable();
        for pair in starts.windows(2) {
            assert!(
                pair[1].0 >= pair[0].1,
                "task {id} was started again before its lease ended"
            );
        }
    }
    noted.get("finished").map_or(0, HashSet::len)
}
