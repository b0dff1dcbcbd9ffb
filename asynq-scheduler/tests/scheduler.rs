//! What a scheduler promises, over the memory broker with moved time.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

#[path = "support/flaky.rs"]
mod flaky;
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use asynq_core::broker::Settlement;
use asynq_core::{Configure, MemoryBroker, Page, ScheduleStore, TaskOptions};
use asynq_scheduler::{Entry, Missed, RegisterError, Scheduler, StartError};

use flaky::Flaky;
use support::*;

fn every(seconds: u32) -> Entry {
    Entry::new(format!("@every {seconds}s"), task("t"))
}

/// A scheduler that runs, with these entries.
fn started(broker: &MemoryBroker, entries: impl IntoIterator<Item = Entry>) -> Scheduler {
    let scheduler = Scheduler::new(broker.clone());
    for entry in entries {
        scheduler.register_entry(entry).unwrap();
    }
    scheduler.start().unwrap();
    scheduler
}

#[tokio::test(start_paused = true)]
async fn each_tick_is_enqueued_on_time() {
    let broker = broker();
    let _scheduler = started(&broker, [Entry::new("* * * * *", task("t"))]);

    pass_until(&broker, 39).await;
    assert_eq!(ticks(&broker).await, Vec::<i64>::new());
    pass_until(&broker, 41).await;
    assert_eq!(ticks(&broker).await, [40]);
    pass_until(&broker, 221).await;
    assert_eq!(ticks(&broker).await, [40, 100, 160, 220]);
}

#[tokio::test(start_paused = true)]
async fn of_ten_schedulers_one_enqueues_each_tick() {
    let broker = broker();
    let _schedulers: Vec<Scheduler> = (0..10).map(|_| started(&broker, [every(1)])).collect();

    pass_until(&broker, 60).await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    assert_eq!(ticks(&broker).await, (1..=60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn ticks_whose_tasks_are_done_at_once_are_enqueued_once() {
    let broker = broker();
    let _schedulers: Vec<Scheduler> = (0..5).map(|_| started(&broker, [every(1)])).collect();
    let done = Settlement::Done { result: None };

    let mut number = 0;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        number += settle_all(&broker, &done).await;
    }

    assert!((29..=31).contains(&number), "{number} runs in 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_goes_is_replaced_by_the_others() {
    let broker = broker();
    let first = started(&broker, [every(1)]);
    let _second = started(&broker, [every(1)]);

    pass_until(&broker, 3).await;
    first.shutdown().await;
    tokio::time::sleep(Duration::from_millis(6_500)).await;

    assert_eq!(ticks(&broker).await, (1..=9).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn archived_runs_do_not_block_later_ones() {
    let broker = broker();
    let options = TaskOptions::new().retention(Duration::from_secs(3600));
    let _scheduler = started(&broker, [every(10).options(options)]);
    let archived = Settlement::Archive { error: "boom".into() };
    let kept = Settlement::Done { result: None };

    pass(1).await;
    for settlement in [&archived, &kept, &archived] {
        pass(10).await;
        assert_eq!(settle_all(&broker, settlement).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_are_made_up_for_as_the_entry_says() {
    for (missed, expected) in [
        (Missed::Skip, vec![40, 640]),
        (Missed::RunOnce, vec![40, 580, 640]),
        (Missed::RunAll { limit: 3 }, vec![40, 460, 520, 580, 640]),
    ] {
        let broker = broker();
        let entry = || Entry::new("* * * * *", task("t")).missed(missed);
        let first = started(&broker, [entry()]);
        pass_until(&broker, 50).await;
        first.shutdown().await;

        pass_until(&broker, 610).await;
        let _second = started(&broker, [entry()]);
        pass_until(&broker, 650).await;

        assert_eq!(ticks(&broker).await, expected, "{missed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_missed_even_if_the_entry_has_never_fired() {
    let broker = broker();
    started(&broker, [Entry::new("0 * * * *", task("t"))]);
    pass(1).await;
    let first = started(&broker, [Entry::new("0 23 * * *", task("t"))]);
    pass(1).await;
    first.shutdown().await;

    pass(3600).await;
    let _second = started(&broker, [Entry::new("0 23 * * *", task("t"))]);
    pass(1).await;

    assert!(ticks(&broker).await.contains(&2800));
}

#[tokio::test(start_paused = true)]
async fn a_new_entry_does_not_make_up_for_the_past() {
    let broker = broker();
    let _scheduler = started(&broker, [every(60).missed(Missed::RunAll { limit: 99 })]);

    pass(1).await;

    assert!(ticks(&broker).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_down_delays_ticks_and_loses_none() {
    let flaky = Flaky::new(broker());
    let notes = Notes::default();
    let failed = notes.clone();
    let scheduler = flaky
        .scheduler()
        .missed(Missed::RunAll { limit: 100 })
        .error_handler(move |tick, error| failed.add(format!("{} {error}", tick.spec)))
        .build();
    scheduler
        .register("@every 10s", task("t"), TaskOptions::new())
        .unwrap();
    flaky.is_down.store(true, Ordering::SeqCst);
    scheduler.start().unwrap();
    pass_until(&flaky.broker, 15).await;
    flaky.is_down.store(false, Ordering::SeqCst);
    pass_until(&flaky.broker, 25).await;
    flaky.is_down.store(true, Ordering::SeqCst);
    pass_until(&flaky.broker, 66).await;
    flaky.is_down.store(false, Ordering::SeqCst);

    pass_until(&flaky.broker, 75).await;

    // Ten seconds after the start the broker had not yet been told of the entry, but the scheduler knew.
    assert_eq!(ticks(&flaky.broker).await, [10, 20, 30, 40, 50, 60, 70]);
    assert_eq!(
        notes.all().len(),
        1,
        "told once while it fails: {:?}",
        notes.all()
    );
    assert!(
        flaky.refused.load(Ordering::SeqCst) < 60,
        "pauses between attempts"
    );
}

#[tokio::test(start_paused = true)]
async fn ticks_while_the_broker_is_down_are_treated_as_the_entry_says() {
    for (missed, made_up_for) in [
        (Missed::Skip, vec![]),
        (Missed::RunOnce, vec![80]),
        (Missed::RunAll { limit: 3 }, vec![60, 70, 80]),
    ] {
        let flaky = Flaky::new(broker());
        let scheduler = flaky.scheduler().grace(Duration::from_secs(5)).build();
        scheduler.register_entry(every(10).missed(missed)).unwrap();
        scheduler.start().unwrap();
        pass_until(&flaky.broker, 25).await;
        flaky.is_down.store(true, Ordering::SeqCst);
        pass_until(&flaky.broker, 86).await;
        flaky.is_down.store(false, Ordering::SeqCst);

        pass_until(&flaky.broker, 95).await;

        let expected = [vec![10, 20], made_up_for, vec![90]].concat();
        assert_eq!(ticks(&flaky.broker).await, expected, "{missed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_whose_answer_is_lost_is_enqueued_once() {
    let flaky = Flaky::new(broker());
    let scheduler = flaky.scheduler().build();
    scheduler.register_entry(every(10)).unwrap();
    scheduler.start().unwrap();
    flaky.loses_answers.store(true, Ordering::SeqCst);
    pass_until(&flaky.broker, 12).await;
    flaky.loses_answers.store(false, Ordering::SeqCst);

    pass_until(&flaky.broker, 25).await;

    assert_eq!(ticks(&flaky.broker).await, [10, 20]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_runs_already_is_skipped_when_it_is_unique_and_the_handler_told() {
    let broker = broker();
    let notes = Notes::default();
    let refused = notes.clone();
    let scheduler = Scheduler::builder(broker.clone())
        .error_handler(move |_, error| refused.add(format!("duplicate: {}", error.is_duplicate())))
        .build();
    let unique = TaskOptions::new().unique(Duration::from_secs(25));
    scheduler.register("@every 10s", task("t"), unique).unwrap();
    scheduler.start().unwrap();

    pass_until(&broker, 45).await;

    assert_eq!(ticks(&broker).await, [10, 40]);
    assert_eq!(notes.all(), ["duplicate: true", "duplicate: true"]);
}

#[tokio::test(start_paused = true)]
async fn hooks_are_called_and_may_panic() {
    let broker = broker();
    let notes = Notes::default();
    let (before, after) = (notes.clone(), notes.clone());
    let scheduler = Scheduler::builder(broker.clone())
        .pre_enqueue(move |tick| {
            before.add(format!("pre {} {}", tick.spec, tick.task.task_type));
            panic!("pre");
        })
        .post_enqueue(move |_, answer| {
            after.add(format!("post {}", answer.unwrap().message.task_type));
            panic!("post");
        })
        .build();
    scheduler
        .register("@every 10s", task("t"), TaskOptions::new())
        .unwrap();
    scheduler.start().unwrap();

    pass_until(&broker, 25).await;

    assert_eq!(ticks(&broker).await, [10, 20]);
    let expected = ["pre @every 10s t", "post t"];
    assert_eq!(notes.all(), [expected, expected].concat());
}

#[tokio::test(start_paused = true)]
async fn an_error_handler_may_panic_with_anything_and_ticks_go_on() {
    /// Thrown, and throws again when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }

    let flaky = Flaky::new(broker());
    let notes = Notes::default();
    let failed = notes.clone();
    let scheduler = flaky
        .scheduler()
        .error_handler(move |tick, _| {
            failed.add(tick.spec);
            std::panic::panic_any(Bomb);
        })
        .build();
    scheduler.register_entry(every(10)).unwrap();
    scheduler.start().unwrap();
    pass(1).await;
    flaky.is_down.store(true, Ordering::SeqCst);
    pass_until(&flaky.broker, 14).await;
    flaky.is_down.store(false, Ordering::SeqCst);

    pass_until(&flaky.broker, 25).await;

    assert_eq!(notes.all(), ["@every 10s"]);
    assert_eq!(ticks(&flaky.broker).await, [10, 20]);
}

#[tokio::test(start_paused = true)]
async fn entries_come_and_go_while_it_runs() {
    let broker = broker();
    let scheduler = started(&broker, []);
    pass(1).await;

    let id = scheduler.register_entry(every(10)).unwrap();
    pass_until(&broker, 21).await;
    scheduler.unregister(&id).unwrap();
    pass_until(&broker, 100).await;

    assert_eq!(ticks(&broker).await, [10, 20]);
    assert!(scheduler.unregister(&id).is_err());
}

#[tokio::test(start_paused = true)]
async fn two_entries_that_are_the_same_need_names() {
    let scheduler = Scheduler::new(broker());
    let id = scheduler.register_entry(every(10)).unwrap();

    let error = scheduler.register_entry(every(10)).unwrap_err();

    assert!(matches!(error, RegisterError::Exists(same) if same == id));
    assert_eq!(
        scheduler.register_entry(every(10).name("b")).unwrap().as_str(),
        "b"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_enqueued_cannot_be_registered() {
    let scheduler = Scheduler::new(broker());
    let error = |entry: Entry| scheduler.register_entry(entry).unwrap_err();
    let with = |options| every(10).options(options);

    assert!(matches!(
        error(Entry::new("61 * * * *", task("t"))),
        RegisterError::Spec { .. }
    ));
    assert!(matches!(
        error(Entry::new("@daily", task(" "))),
        RegisterError::Task(_)
    ));
    let too_short = TaskOptions::new().timeout(Duration::from_millis(5));
    assert!(matches!(error(with(too_short)), RegisterError::Task(_)));
    let fixed = TaskOptions::new().task_id("mine");
    assert!(matches!(error(with(fixed)), RegisterError::TaskId(_)));
    assert!(matches!(error(every(10).name(" ")), RegisterError::Name(_)));
}

#[tokio::test(start_paused = true)]
async fn specs_are_read_in_the_zone_of_the_scheduler_unless_they_name_one() {
    let broker = broker();
    let scheduler = Scheduler::builder(broker.clone())
        .location("Asia/Tokyo".parse().unwrap())
        .build();
    let register = |spec: &str| scheduler.register(spec, task(spec), TaskOptions::new()).unwrap();
    let (tokyo, utc) = (register("0 9 * * *"), register("TZ=UTC 0 9 * * *"));
    scheduler.start().unwrap();
    pass(1).await;

    let next = |id| asynq_core::Timestamp::from(scheduler.next_run(id).unwrap()).unix_seconds();

    assert_eq!(next(&tokyo), 1_700_006_400); // midnight UTC
    assert_eq!(next(&utc), 1_700_006_400 + 9 * 3600);
}

#[tokio::test(start_paused = true)]
async fn with_copies_each_scheduler_enqueues_its_own_as_in_go() {
    let broker = broker();
    let entry = || every(10).one_copy_per_scheduler();
    let _first = started(&broker, [entry()]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _second = started(&broker, [entry()]);

    pass_until(&broker, 24).await;

    assert_eq!(pending(&broker, "default").await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn entries_are_shown_at_once_and_their_runs_noted() {
    let broker = broker();
    let scheduler = Scheduler::new(broker.clone());
    let options = TaskOptions::new().queue("low").max_retry(2);
    let id = scheduler.register("@every 10s", task("t"), options).unwrap();
    scheduler.start().unwrap();
    pass(1).await;

    let shown = broker.schedule_entries().await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].id.as_str(), shown[0].spec.as_str()),
        (id.as_str(), "@every 10s")
    );
    assert_eq!(shown[0].options, ["Queue(\"low\")", "MaxRetry(2)"]);
    assert_eq!(shown[0].next_enqueue_at.unwrap().unix_seconds(), START + 10);
    assert_eq!(shown[0].previous_enqueue_at, None);

    pass_until(&broker, 25).await;
    let shown = broker.schedule_entries().await.unwrap();
    assert_eq!(shown[0].previous_enqueue_at.unwrap().unix_seconds(), START + 20);
    let events = broker.schedule_events(id.as_str(), Page::first(9)).await.unwrap();
    let noted: Vec<_> = events.iter().map(|event| event.task_id.clone()).collect();
    let enqueued = pending(&broker, "low").await;
    assert_eq!(
        noted,
        enqueued
            .iter()
            .rev()
            .map(|task| task.id().clone())
            .collect::<Vec<_>>()
    );

    scheduler.shutdown().await;
    assert!(broker.schedule_entries().await.unwrap().is_empty());
    assert_eq!(
        broker
            .schedule_events(id.as_str(), Page::first(9))
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_is_started_once() {
    let scheduler = Scheduler::new(broker());

    scheduler.start().unwrap();
    assert!(matches!(scheduler.start(), Err(StartError::Running)));
    scheduler.shutdown().await;
    assert!(matches!(scheduler.start(), Err(StartError::Closed)));
    let late = scheduler.register_entry(every(1));
    assert!(matches!(late, Err(RegisterError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn it_shuts_down_although_the_broker_is_down() {
    let flaky = Flaky::new(broker());
    let scheduler = flaky.scheduler().build();
    scheduler.register_entry(every(10)).unwrap();
    scheduler.start().unwrap();
    pass(1).await;
    flaky.is_down.store(true, Ordering::SeqCst);
    pass_until(&flaky.broker, 300).await;

    let asked = tokio::time::timeout(Duration::from_secs(1), scheduler.shutdown()).await;

    assert!(asked.is_ok(), "it waits for the broker");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_never_fires_does_no_harm() {
    let broker = broker();
    let never = Entry::new("0 0 31 2 *", task("never"));
    let _scheduler = started(&broker, [never, every(10)]);

    pass_until(&broker, 15).await;

    assert_eq!(ticks(&broker).await, [10]);
}
