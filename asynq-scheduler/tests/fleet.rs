//! Many scheduler processes on one Redis, killed and started at random: each tick is enqueued exactly once.
//!
//! ```text
//! FLEET_SECONDS=60 cargo test -p asynq-scheduler --test fleet -- --ignored --nocapture a_long
//! ```

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use asynq_core::broker::{Claim, Dequeued, Finish, Settlement};
use asynq_core::{Dequeue, Now, QueueName, RawTask};
use asynq_fixtures::RedisServer;
use asynq_redis::RedisBroker;
use asynq_scheduler::{Entry, Missed, Scheduler};

const URL: &str = "ASYNQ_FLEET_URL";
const SPECS: [&str; 2] = ["@every 1s", "* * * * *"];

/// How often each tick was enqueued, by the type of its task.
type Ledger = BTreeMap<String, BTreeMap<i64, usize>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_schedulers_killed_at_random_enqueue_each_tick_once() {
    run(4, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute or as long as FLEET_SECONDS says"]
async fn a_long_life_of_ten_schedulers_killed_at_random() {
    let seconds = std::env::var("FLEET_SECONDS").map_or(60, |text| text.parse().unwrap());
    run(10, Duration::from_secs(seconds)).await;
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
        let broker = RedisBroker::connect(&url).await.unwrap();
        let scheduler = Scheduler::builder(broker)
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

async fn run(size: usize, time: Duration) {
    let redis = RedisServer::start();
    let broker = RedisBroker::connect(&redis.url()).await.unwrap();
    let mut fleet: Vec<Member> = (0..size).map(|_| Member::start(&redis.url())).collect();
    let mut ledger = Ledger::new();
    let mut kills = 0;
    let end = Instant::now() + time;
    while Instant::now() < end {
        // Tasks are done and gone at once, so that nothing but the last tick tells that there was one.
        take(&broker, &mut ledger).await;
        if any_number().is_multiple_of(20) {
            let at = any_number() % fleet.len();
            fleet[at] = Member::start(&redis.url());
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Whoever is left has a moment for what is due.
    let last = broker.now().unix_seconds();
    let settled = Instant::now() + Duration::from_secs(5);
    while Instant::now() < settled {
        take(&broker, &mut ledger).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(fleet);

    println!(
        "{size} schedulers, {kills} kills in {time:?}: {}",
        summary(&ledger)
    );
    check(&ledger, last);
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
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn take(broker: &RedisBroker, ledger: &mut Ledger) {
    let queues = [QueueName::default_queue()];
    let dequeued: Dequeued = broker
        .dequeue(&queues, 1000, Duration::from_secs(30))
        .await
        .unwrap();
    let mut finishes = Vec::new();
    for leased in dequeued.tasks {
        let (_, tick) = leased.key.id.as_str().rsplit_once(':').unwrap();
        let ticks = ledger.entry(leased.message.task_type.to_string()).or_default();
        *ticks.entry(tick.parse().unwrap()).or_default() += 1;
        finishes.push(Finish {
            key: leased.key,
            message: leased.message,
            claim: Claim::Holder,
            settlement: Settlement::Done { result: None },
        });
    }
    broker.finish(&finishes).await.unwrap();
}

fn check(ledger: &Ledger, last: i64) {
    for (spec, ticks) in ledger {
        let period = if spec.starts_with('@') { 1 } else { 60 };
        let first = *ticks.keys().next().unwrap();
        for tick in (first..=last).step_by(period) {
            assert_eq!(
                ticks.get(&tick),
                Some(&1),
                "{spec} at {tick}, {} s in",
                tick - first
            );
        }
        assert!(ticks.values().all(|times| *times == 1), "{spec}: {ticks:?}");
    }
    assert!(ledger.contains_key(SPECS[0]));
}

fn summary(ledger: &Ledger) -> String {
    let spec = |(spec, ticks): (&String, &BTreeMap<i64, usize>)| {
        let most = ticks.values().max().unwrap();
        format!("{spec:?}: {} ticks, at most {most} time(s) each", ticks.len())
    };
    ledger.iter().map(spec).collect::<Vec<_>>().join("; ")
}

/// Any number; a new hasher is seeded at random.
fn any_number() -> usize {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as usize
}
