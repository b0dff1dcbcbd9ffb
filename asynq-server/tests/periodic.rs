//! Tasks that say themselves when they are enqueued: a scheduler enqueues them at their ticks, a server runs them. Time is
//! moved.
#![cfg(all(feature = "macros", feature = "scheduler"))]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq_server::prelude::*;
use asynq_server::scheduler::{Entry, RegisterError};
use asynq_server::{JsonCodec, Missed, Now, Periodic, Schedule, Timestamp, TokioClock};
use serde::{Deserialize, Serialize};

/// Tuesday, 14 November 2023, 22:13:20 UTC; an hour later in Paris.
const START: i64 = 1_700_000_000;
const HOUR: u64 = 3_600;

/// What ran, and when, in seconds after [`START`].
#[derive(Clone)]
struct Log {
    broker: MemoryBroker,
    lines: Arc<Mutex<Vec<(String, i64)>>>,
}

impl Log {
    fn add(&self, what: impl Into<String>) {
        let at = self.broker.now().unix_seconds() - START;
        self.lines.lock().unwrap().push((what.into(), at));
    }

    /// The times at which this ran.
    fn of(&self, what: &str) -> Vec<i64> {
        let lines = self.lines.lock().unwrap();
        let these = lines.iter().filter(|(line, _)| line == what);
        these.map(|(_, at)| *at).collect()
    }
}

#[derive(Serialize, Deserialize, Task)]
#[task(
    name = "report:nightly",
    queue = "low",
    retention = "1h",
    timeout = "10m",
    cron = "0 3 * * *",
    tz = "Europe/Paris"
)]
struct NightlyReport;

#[task]
async fn nightly_report(_: NightlyReport, State(log): State<Log>, cx: Context) {
    log.add(format!("report {} {}", cx.queue(), cx.task_id()));
}

#[task(name = "feed:poll", cron = "*/20 * * * *", missed = "skip", derive(Default))]
async fn poll(url: String, #[serde(default)] depth: u32, State(log): State<Log>) {
    log.add(format!("poll {url:?} {depth}"));
}

#[derive(Default, Serialize, Deserialize, Task)]
#[task(name = "cache:refresh")]
struct Refresh {
    all: bool,
}

#[task(cron = "@every 30m")]
async fn refresh(refresh: Refresh, State(log): State<Log>) {
    log.add(format!("refresh {}", refresh.all));
}

/// Without macros.
#[derive(Serialize, Deserialize)]
struct Tidy {
    days: u32,
}

impl Periodic for Tidy {
    fn schedule() -> Schedule {
        Schedule::new("@hourly", || Tidy { days: 7 })
    }
}

impl Task for Tidy {
    const TYPE: &'static str = "tidy";
    type Codec = JsonCodec;

    fn periodic() -> Option<Schedule> {
        Some(Self::schedule())
    }
}

async fn tidy(tidy: Tidy, State(log): State<Log>) {
    log.add(format!("tidy {}", tidy.days));
}

/// Enqueued by nobody.
#[task(name = "image:resize")]
async fn resize(url: String) {
    drop(url);
}

fn handlers(list: asynq_server::Handlers<Log>) -> asynq_server::Handlers<Log> {
    tasks![nightly_report, poll, refresh, handler_fn(tidy), resize](list)
}

fn program() -> (MemoryBroker, Log, Server) {
    let clock = TokioClock::starting_at(Timestamp::from_unix_seconds(START));
    let broker = MemoryBroker::with_clock(Arc::new(clock));
    let log = Log {
        broker: broker.clone(),
        lines: Arc::default(),
    };
    let server = Server::builder(broker.clone())
        .queues([("default", 1), ("low", 1)])
        .state(log.clone())
        .handlers(handlers)
        .build()
        .unwrap();
    (broker, log, server)
}

#[tokio::test(start_paused = true)]
async fn tasks_that_say_when_are_enqueued_then_and_run() {
    let (broker, log, server) = program();
    let scheduler = Scheduler::new(broker);
    scheduler.register_all(server.schedules()).unwrap();

    scheduler.start().unwrap();
    server.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(4 * HOUR)).await;
    scheduler.shutdown().await;
    server.shutdown().await;

    let three_in_paris = 13_600; // 02:00 UTC
    let tick = START + three_in_paris;
    assert_eq!(
        log.of(&format!("report low sched:report:nightly:{tick}")),
        [three_in_paris]
    );
    assert_eq!(log.of("poll \"\" 0")[..3], [400, 1600, 2800]); // 22:20, 22:40, 23:00
    assert_eq!(log.of("poll \"\" 0").len(), 12);
    assert_eq!(log.of("refresh false")[..2], [1000, 2800]); // 22:30, 23:00
    assert_eq!(log.of("tidy 7"), [2800, 6400, 10_000, 13_600]);
}

#[tokio::test(start_paused = true)]
async fn entries_show_what_the_types_say() {
    let (broker, _, server) = program();
    let scheduler = Scheduler::new(broker);
    let ids = scheduler.register_all(server.schedules()).unwrap();

    let shown = scheduler.entries_shown();

    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["report:nightly", "feed:poll", "cache:refresh", "tidy"]);
    assert_eq!(shown[0].spec, "0 3 * * *");
    assert_eq!(shown[0].task_type, "report:nightly");
    assert_eq!(
        shown[0].options,
        ["Queue(\"low\")", "Timeout(10m0s)", "Retention(1h0m0s)"]
    );
    assert_eq!(&shown[1].payload[..], br#"{"url":"","depth":0}"#);
}

#[test]
fn a_schedule_tells_all_that_was_said() {
    let schedule = NightlyReport::schedule();

    assert_eq!(schedule.task_type(), "report:nightly");
    assert_eq!(schedule.cron(), "0 3 * * *");
    assert_eq!(schedule.zone_name(), Some("Europe/Paris"));
    assert_eq!(schedule.missed_policy(), None);
    assert_eq!(Poll::schedule().missed_policy(), Some(Missed::Skip));
    assert!(Resize::periodic().is_none());
}

macro_rules! handler_at {
    ($function:ident, $type:literal, $spec:literal) => {
        #[task(name = $type, cron = $spec, tz = "Asia/Tokyo")]
        async fn $function() {}
    };
}

handler_at!(wake_up, "wake:up", "0 7 * * mon-fri");

#[test]
fn a_handler_and_its_spec_may_be_written_by_a_macro() {
    let schedules = tasks![wake_up](asynq_server::Handlers::<()>::new()).schedules();

    assert_eq!(schedules[0].cron(), "0 7 * * mon-fri");
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_was_missed_is_made_up_for_as_the_task_says() {
    let (broker, log, server) = program();
    let start = || {
        let scheduler = Scheduler::new(broker.clone());
        scheduler.register_task::<Poll>().unwrap(); // skip
        scheduler.register_task::<Tidy>().unwrap(); // run once, unless told otherwise
        scheduler.start().unwrap();
        scheduler
    };

    let scheduler = start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    scheduler.shutdown().await;
    tokio::time::sleep(Duration::from_secs(2 * HOUR)).await;
    let scheduler = start();
    server.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    scheduler.shutdown().await;
    server.shutdown().await;

    assert_eq!(log.of("poll \"\" 0"), Vec::<i64>::new());
    assert_eq!(log.of("tidy 7").len(), 1);
}

#[test]
fn the_entry_of_a_task_can_say_more() {
    let scheduler = Scheduler::new(MemoryBroker::new());
    let twice = Entry::of::<NightlyReport>().name("once more");

    scheduler.register_task::<NightlyReport>().unwrap();
    scheduler.register_entry(twice).unwrap();
    let same = scheduler.register_task::<NightlyReport>();

    assert!(
        matches!(&same, Err(RegisterError::Exists(id)) if id.as_str() == "report:nightly"),
        "{same:?}"
    );
}

#[test]
fn of_a_list_with_a_mistake_nothing_is_registered() {
    let scheduler = Scheduler::new(MemoryBroker::new());
    let nowhere = Schedule::new("@daily", || Refresh { all: true }).zone("Mars/Base");
    let never = Schedule::new("0 25 * * *", || Refresh { all: true });

    let no_zone = scheduler.register_all([NightlyReport::schedule(), nowhere]);
    let no_spec = scheduler.register_all([NightlyReport::schedule(), never]);
    let twice = scheduler.register_all([NightlyReport::schedule(), NightlyReport::schedule()]);

    assert_eq!(
        no_zone.unwrap_err().to_string(),
        "unknown time zone \"Mars/Base\"; expected a name such as Europe/Paris"
    );
    assert!(matches!(no_spec, Err(RegisterError::Spec { .. })));
    assert!(matches!(twice, Err(RegisterError::Exists(_))));
    assert!(scheduler.entries_shown().is_empty());
}
