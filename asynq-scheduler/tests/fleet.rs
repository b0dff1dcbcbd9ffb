//! Many scheduler processes on one Redis or one SQLite file, killed and started at random: each tick is enqueued exactly
//! once.
//!
//! ```text
//! FLEET_SECONDS=60 cargo test -p asynq-scheduler --test fleet -- --ignored --nocapture --test-threads=1 a_long
//! ```

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

#[path = "support/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use asynq_core::broker::{Claim, Finish, Settlement};
use asynq_core::{Broker, QueueName, RawTask, Timestamp};
use asynq_scheduler::{Entry, Missed, Scheduler};
use asynq_server::connect;

use place::Place;

const URL: &str = "ASYNQ_FLEET_URL";
const SPECS: [&str; 2] = ["@every 1s", "* * * * *"];
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_schedulers_killed_at_random_enqueue_each_tick_once_on_redis() {
    run("Redis", Place::redis(), 4, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_schedulers_killed_at_random_enqueue_each_tick_once_on_sqlite() {
    run("SQLite", Place::sqlite(), 4, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute or as long as FLEET_SECONDS says"]
async fn a_long_life_of_ten_schedulers_killed_at_random_on_redis() {
    run("Redis", Place::redis(), 10, fleet_time()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute or as long as FLEET_SECONDS says"]
async fn a_long_life_of_ten_schedulers_killed_at_random_on_sqlite() {
    run("SQLite", Place::sqlite(), 10, fleet_time()).await;
}

fn fleet_time() -> Duration {
    std::env::var("FLEET_SECONDS").map_or(MINUTE, |text| Duration::from_secs(text.parse().unwrap()))
}

/// What the processes of the fleet run: this test binary once more.
#[test]
#[ignore = "is run by the other tests"]
fn one_of_the_fleet() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let scheduler = Scheduler::builder(connect(&url).await.unwrap())
            .missed(Missed::RunAll { limit: 1000 })
            .build();
        for spec in SPECS {
            scheduler
                .register_entry(Entry::new(spec, RawTask::new(spec, "")))
                .unwrap();
        }
        scheduler.run().await.unwrap();
    });
}

async fn run(name: &str, place: Place, size: usize, time: Duration) {
    let broker = connect(&place.url).await.unwrap();
    let mut fleet: Vec<Member> = (0..size).map(|_| Member::start(&place.url)).collect();
    let mut ledger = Ledger::default();
    let mut kills = 0;
    let end = Instant::now() + time;
    while Instant::now() < end {
        // Tasks are done and gone at once, so that nothing but the last tick tells that there was one.
        ledger.take(&broker).await;
        if any_number().is_multiple_of(20) {
            let at = any_number() % fleet.len();
            fleet[at] = Member::start(&place.url);
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Whoever is left has a moment for what is due, and another for doing it twice.
    let last = broker.now();
    let mut settled = Instant::now() + Duration::from_secs(10);
    while Instant::now() < settled {
        ledger.take(&broker).await;
        if ledger.has(last) {
            settled = settled.min(Instant::now() + Duration::from_millis(1500));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(fleet);

    println!(
        "{name}: {size} schedulers, {kills} kills in {time:?}: {}",
        ledger.summary()
    );
    assert!(kills > 0);
    ledger.check(last, time);
}

/// A scheduler process, killed without a word when dropped.
struct Member(Child);

impl Member {
    fn start(url: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "one_of_the_fleet"])
            .env(URL, url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Member(child)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let ended = self.0.try_wait().unwrap();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        if !std::thread::panicking() {
            assert_eq!(ended, None, "a scheduler ended by itself");
        }
    }
}

/// What was enqueued.
#[derive(Default)]
struct Ledger {
    /// How often each tick was, by the type of its task.
    ticks: BTreeMap<String, BTreeMap<i64, usize>>,
    /// By how much the latest came after its time, as far as can be seen from outside.
    latest: Duration,
}

impl Ledger {
    async fn take(&mut self, broker: &Arc<dyn Broker>) {
        let queues = [QueueName::default_queue()];
        let dequeued = broker.dequeue(&queues, 1000, Duration::from_secs(30)).await;
        let mut finishes = Vec::new();
        for leased in dequeued.unwrap().tasks {
            let (_, tick) = leased.key.id.as_str().rsplit_once(':').unwrap();
            let tick: i64 = tick.parse().unwrap();
            let late = leased
                .leased_at
                .saturating_since(Timestamp::from_unix_seconds(tick));
            self.latest = self.latest.max(late);
            let ticks = self
                .ticks
                .entry(leased.message.task_type.to_string())
                .or_default();
            *ticks.entry(tick).or_default() += 1;
            finishes.push(Finish {
                key: leased.key,
                message: leased.message,
                claim: Claim::Holder,
                settlement: Settlement::Done { result: None },
            });
        }
        broker.finish(&finishes).await.unwrap();
    }

    /// Whether a tick after a moment has been seen.
    fn has(&self, moment: Timestamp) -> bool {
        let ticks = self.ticks.get(SPECS[0]);
        ticks.is_some_and(|ticks| ticks.keys().any(|tick| *tick > moment.unix_seconds()))
    }

    fn check(&self, last: Timestamp, time: Duration) {
        assert!(self.ticks.contains_key(SPECS[0]));
        assert!(time < MINUTE || self.ticks.contains_key(SPECS[1]));
        for (spec, ticks) in &self.ticks {
            let period = if spec.starts_with('@') { 1 } else { 60 };
            let first = *ticks.keys().next().unwrap();
            for tick in (first..=last.unix_seconds()).step_by(period) {
                let seconds = tick - first;
                assert_eq!(ticks.get(&tick), Some(&1), "{spec} at {tick}, {seconds} s in");
            }
            assert!(ticks.values().all(|times| *times == 1), "{spec}: {ticks:?}");
        }
    }

    fn summary(&self) -> String {
        let spec = |(spec, ticks): (&String, &BTreeMap<i64, usize>)| {
            let most = ticks.values().max().unwrap();
            format!("{spec:?}: {} ticks, at most {most} time(s) each; ", ticks.len())
        };
        let specs: String = self.ticks.iter().map(spec).collect();
        format!("{specs}the latest after {:?}", self.latest)
    }
}

/// Any number; a new hasher is seeded at random.
fn any_number() -> usize {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as usize
}
