//! Entries that come, go and change while a scheduler runs.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::{BoxError, Configure, MemoryBroker, RawTask, TaskOptions};
use asynq_scheduler::{ConfigProvider, Entry, PeriodicError, PeriodicTasks, Scheduler};

use support::*;

type List = Arc<Mutex<Vec<(&'static str, &'static str, Option<&'static str>)>>>;

/// A provider of what is in a list: spec, task type and name. A spec of `panic` or `error` is what it does.
fn provider(list: &List) -> impl ConfigProvider {
    let list = list.clone();
    move || {
        let list = list.lock().unwrap().clone();
        async move {
            let mut entries = Vec::new();
            for (spec, task_type, name) in list {
                match spec {
                    "panic" => panic!("provider"),
                    "error" => return Err::<_, BoxError>("no database".into()),
                    _ => {}
                }
                let entry = Entry::new(spec, task(task_type));
                entries.push(match name {
                    Some(name) => entry.name(name),
                    None => entry,
                });
            }
            Ok(entries)
        }
    }
}

async fn started(broker: &MemoryBroker, list: &List) -> PeriodicTasks {
    let tasks = PeriodicTasks::new(Scheduler::new(broker.clone()), provider(list))
        .sync_interval(Duration::from_secs(5));
    tasks.start().await.unwrap();
    tasks
}

fn list(entries: &[(&'static str, &'static str)]) -> List {
    let entries = entries.iter().map(|(spec, task_type)| (*spec, *task_type, None));
    Arc::new(Mutex::new(entries.collect()))
}

fn set(list: &List, entries: &[(&'static str, &'static str, Option<&'static str>)]) {
    *list.lock().unwrap() = entries.to_vec();
}

/// The types and ticks of the pending tasks.
async fn runs(broker: &MemoryBroker) -> Vec<(String, i64)> {
    let tasks = pending(broker, "default").await;
    tasks
        .iter()
        .map(|task| (task.message.task_type.to_string(), tick(task)))
        .collect()
}

async fn ticks_of(broker: &MemoryBroker, task_type: &str) -> Vec<i64> {
    let runs = runs(broker).await;
    runs.into_iter()
        .filter(|(of, _)| of == task_type)
        .map(|(_, tick)| tick)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn entries_are_added_and_removed_and_the_others_keep_their_timing() {
    let broker = broker();
    let list = list(&[("@every 10s", "a")]);
    let tasks = started(&broker, &list).await;
    let before = tasks.scheduler().entries_shown();
    pass(7).await;

    set(&list, &[("@every 10s", "a", None), ("@every 4s", "b", None)]);
    pass_until(&broker, 21).await;
    assert_eq!(tasks.scheduler().entries_shown()[0].id, before[0].id);
    set(&list, &[("@every 10s", "a", None)]);
    pass_until(&broker, 61).await;

    assert_eq!(ticks_of(&broker, "a").await, [10, 20, 30, 40, 50, 60]);
    assert_eq!(ticks_of(&broker, "b").await, [12, 16, 20, 24]);
}

#[tokio::test(start_paused = true)]
async fn a_named_entry_that_changes_goes_on_from_its_last_tick() {
    let broker = broker();
    let list: List = Arc::new(Mutex::new(vec![("@every 10s", "a", Some("n"))]));
    let _tasks = started(&broker, &list).await;
    pass_until(&broker, 11).await;

    set(&list, &[("@every 20s", "b", Some("n"))]);
    pass_until(&broker, 61).await;

    assert_eq!(ticks_of(&broker, "a").await, [10]);
    assert_eq!(ticks_of(&broker, "b").await, [20, 40, 60]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_makes_no_sense_stops_no_other_and_takes_away_nothing() {
    let broker = broker();
    let list = list(&[("@every 10s", "a"), ("@every 10s", "b"), ("nonsense", "c")]);
    let _tasks = started(&broker, &list).await;
    pass_until(&broker, 12).await;

    // `a` was changed to something wrong, `b` removed, `d` is new.
    set(&list, &[("@every x", "a", None), ("@every 10s", "d", None)]);
    pass_until(&broker, 31).await;

    assert_eq!(ticks_of(&broker, "a").await, [10, 20, 30]);
    assert_eq!(ticks_of(&broker, "b").await, [10]);
    assert_eq!(ticks_of(&broker, "d").await, [20, 30]);

    // Mended: the old one goes.
    set(&list, &[("@every 15s", "a", None)]);
    pass_until(&broker, 61).await;
    assert_eq!(ticks_of(&broker, "a").await, [10, 20, 30, 40, 55]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_or_panics_changes_nothing() {
    let broker = broker();
    let list = list(&[("@every 10s", "a")]);
    let _tasks = started(&broker, &list).await;

    set(&list, &[("error", "", None)]);
    pass_until(&broker, 21).await;
    set(&list, &[("panic", "", None)]);
    pass_until(&broker, 41).await;
    set(&list, &[]);
    pass_until(&broker, 61).await;

    assert_eq!(ticks_of(&broker, "a").await, [10, 20, 30, 40]);
}

/// Panics without giving a future; written by hand, since `async_trait` makes one first.
struct Hasty;

impl ConfigProvider for Hasty {
    fn configs<'a, 'b>(&'a self) -> Pin<Box<dyn Future<Output = Result<Vec<Entry>, BoxError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        panic!("at once")
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_before_it_gives_a_future_has_failed() {
    let tasks = PeriodicTasks::new(Scheduler::new(broker()), Hasty);

    let error = tasks.start().await.unwrap_err();

    assert!(matches!(error, PeriodicError::Provider(_)), "{error}");
}

/// Knows when something has changed, but not how to say it.
struct Watching<P>(P);

#[async_trait]
impl<P: ConfigProvider> ConfigProvider for Watching<P> {
    async fn configs(&self) -> Result<Vec<Entry>, BoxError> {
        self.0.configs().await
    }

    async fn changed(&self) {
        panic!("watch");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_while_it_watches_is_asked_all_the_same() {
    let broker = broker();
    let list = list(&[("@every 10s", "a")]);
    let tasks = PeriodicTasks::new(Scheduler::new(broker.clone()), Watching(provider(&list)))
        .sync_interval(Duration::from_secs(5));
    tasks.start().await.unwrap();
    pass_until(&broker, 11).await;

    set(&list, &[("@every 10s", "b", None)]);
    pass_until(&broker, 31).await;

    assert_eq!(ticks_of(&broker, "a").await, [10]);
    assert_eq!(ticks_of(&broker, "b").await, [20, 30]);
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_for_long_is_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let logged = |text: &str| log.text().matches(text).count();
    let broker = broker();
    let list = list(&[("nonsense", "a"), ("@every 10s", "b"), ("@every 10s", "b")]);
    let _tasks = started(&broker, &list).await;
    pass_until(&broker, 61).await;
    assert_eq!(logged("makes no sense and is left out"), 1);
    assert_eq!(logged("two periodic tasks are the same"), 1);

    set(&list, &[("error", "", None)]);
    pass_until(&broker, 121).await;
    assert_eq!(logged("no database"), 1, "{}", log.text());

    set(&list, &[("rubbish", "a", None)]);
    pass_until(&broker, 181).await;
    assert_eq!(logged("makes no sense and is left out"), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_are_the_same_one_runs_and_can_be_removed() {
    let broker = broker();
    let list = list(&[("@every 10s", "a"), ("@every 10s", "a")]);
    let _tasks = started(&broker, &list).await;
    pass_until(&broker, 11).await;
    assert_eq!(ticks_of(&broker, "a").await, [10]);

    set(&list, &[]);
    pass_until(&broker, 61).await;

    assert_eq!(ticks_of(&broker, "a").await, [10]);
}

#[tokio::test(start_paused = true)]
async fn without_a_first_list_nothing_is_started() {
    let list = list(&[("error", "")]);
    let tasks = PeriodicTasks::new(Scheduler::new(broker()), provider(&list));

    let error = tasks.start().await.unwrap_err();

    assert!(matches!(error, PeriodicError::Provider(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn it_stops_with_its_scheduler() {
    let broker = broker();
    let list = list(&[("@every 10s", "a")]);
    let tasks = started(&broker, &list).await;
    pass_until(&broker, 11).await;

    tasks.shutdown().await;
    tasks.shutdown().await;
    pass_until(&broker, 61).await;

    assert_eq!(ticks_of(&broker, "a").await, [10]);
}

#[tokio::test(start_paused = true)]
async fn any_closure_provides_and_other_entries_stay() {
    let broker = broker();
    let scheduler = Scheduler::new(broker.clone());
    let low = TaskOptions::new().queue("low");
    scheduler
        .register("@every 10s", RawTask::new("static", ""), low)
        .unwrap();
    let tasks = PeriodicTasks::new(scheduler, || async {
        Ok::<_, BoxError>(vec![Entry::new("@every 10s", task("a"))])
    });
    tasks.start().await.unwrap();

    pass_until(&broker, 11).await;

    assert_eq!(ticks_of(&broker, "a").await, [10]);
    assert_eq!(pending(&broker, "low").await.len(), 1);
}
