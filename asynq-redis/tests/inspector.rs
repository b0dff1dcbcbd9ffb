//! What the inspector leaves in Redis is what Go asynq's would, apart from its defects.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::time::Duration;

use asynq_core::broker::{Action, Aggregate, GroupLimits, NewTask, Placement, Settlement};
use asynq_core::{Change, Enqueue, Filter, GroupName, Inspect, Inspector, Page, TaskList, When};
use asynq_fixtures::{RedisOptions, RedisServer};
use asynq_redis::RedisBroker;

use support::*;

const LOCK: &str = "asynq:{q}:unique:t:5d41402abc4b2a76b9719d911017c592";

fn inspector(subject: &Subject) -> Inspector {
    Inspector::new(subject.broker.clone())
}

fn in_a_minute(id: &str) -> NewTask {
    NewTask {
        placement: Placement::Later(When::In(Duration::from_secs(60))),
        ..task(id)
    }
}

fn grouped(id: &str) -> NewTask {
    let mut new = task(id);
    new.message.group = Some(GroupName::new("g").unwrap());
    new
}

fn unique(id: &str) -> NewTask {
    NewTask {
        unique_ttl: Some(Duration::from_secs(600)),
        ..task(id)
    }
}

async fn enqueue(subject: &Subject, tasks: impl IntoIterator<Item = NewTask>) {
    let tasks: Vec<NewTask> = tasks.into_iter().collect();
    subject.broker.enqueue(&tasks).await.unwrap();
}

#[tokio::test]
async fn a_task_that_is_run() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [in_a_minute("a"), grouped("b"), task("c")]).await;
    subject.clock.advance(Duration::from_secs(5));

    inspector(&subject).run_task(&queue("q"), &id("a")).await.unwrap();
    inspector(&subject).run_task(&queue("q"), &id("b")).await.unwrap();

    // Unlike in Go it is known since when they are pending.
    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:pending: b a c
             asynq:{q}:t:a: msg pending_since=1700000005000000000 state=pending
             asynq:{q}:t:b: group=g msg pending_since=1700000005000000000 state=pending
             asynq:{q}:t:c: msg pending_since=1700000000000000000 state=pending",
        )
        .await;
}

#[tokio::test]
async fn a_task_that_is_archived() {
    let mut subject = Subject::new().await;
    enqueue(
        &subject,
        [task("a"), in_a_minute("b"), grouped("c"), grouped("d")],
    )
    .await;

    for name in ["a", "b", "c"] {
        inspector(&subject)
            .archive_task(&queue("q"), &id(name))
            .await
            .unwrap();
    }

    subject
        .expect(
            "asynq:queues: q
             asynq:{q}:archived: a=1700000000 b=1700000000 c=1700000000
             asynq:{q}:g:g: d=1700000000
             asynq:{q}:groups: g
             asynq:{q}:t:a: msg pending_since=1700000000000000000 state=archived
             asynq:{q}:t:b: msg state=archived
             asynq:{q}:t:c: group=g msg state=archived
             asynq:{q}:t:d: group=g msg state=aggregating",
        )
        .await;
}

#[tokio::test]
async fn a_task_that_is_deleted() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [unique("a"), grouped("b")]).await;

    for name in ["a", "b"] {
        inspector(&subject)
            .delete_task(&queue("q"), &id(name))
            .await
            .unwrap();
    }

    subject.expect("asynq:queues: q").await;
}

#[tokio::test]
async fn a_lock_of_another_task_is_not_released() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [unique("a")]).await;
    let _: () = subject.raw(&format!("SET {LOCK} other")).await;

    inspector(&subject)
        .delete_task(&queue("q"), &id("a"))
        .await
        .unwrap();

    let holder: String = subject.raw(&format!("GET {LOCK}")).await;
    assert_eq!(holder, "other");
}

#[tokio::test]
async fn an_id_without_a_task_is_dropped_by_a_bulk() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [task("a"), task("b")]).await;
    let _: () = subject.raw("DEL asynq:{q}:t:a").await;
    let _: () = subject.raw("ZADD asynq:{q}:g:g 1700000000 ghost").await;
    let _: () = subject.raw("SADD asynq:{q}:groups g").await;

    for list in [TaskList::Pending, TaskList::Group(GroupName::new("g").unwrap())] {
        let bulk = inspector(&subject).delete_all(&queue("q"), list);
        bulk.finish().await.unwrap();
    }

    subject.expect("asynq:queues: q").await;
}

#[tokio::test]
async fn pending_tasks_in_the_middle_are_taken_out_in_place() {
    let mut subject = Subject::new().await;
    let names: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    enqueue(&subject, names.iter().map(|name| task(name))).await;
    let ids = ["0", "1", "4", "7", "8"].map(id);

    let results = inspector(&subject)
        .apply_to(&queue("q"), Action::Delete, &ids)
        .await;

    assert!(results.unwrap().iter().all(Result::is_ok));
    let left: Vec<String> = subject.raw("LRANGE asynq:{q}:pending 0 -1").await;
    assert_eq!(left, ["6", "5", "3", "2"]);
}

#[tokio::test]
async fn a_task_whose_payload_and_time_are_changed() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [unique("a")]).await;
    let change = Change {
        payload: Some("bye".into()),
        process_at: Some(When::In(Duration::from_millis(1500))),
        ..Change::default()
    };

    inspector(&subject)
        .change_task(&queue("q"), &id("a"), &change)
        .await
        .unwrap();

    let lock = "asynq:{q}:unique:t:bfa99df33b137bc8fb5f5407d7e58da8";
    subject
        .expect(&format!(
            "asynq:queues: q
             asynq:{{q}}:scheduled: a=1700000002
             asynq:{{q}}:t:a: due=1700000001500000 msg state=scheduled unique_key={lock}
             {lock}: a"
        ))
        .await;
    let ttl: i64 = subject.raw(&format!("PTTL {lock}")).await;
    assert!((590_000..=600_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_task_that_is_moved_keeps_fields_that_nobody_knows() {
    let mut subject = Subject::new().await;
    let mut new = in_a_minute("a");
    new.message.unknown_fields = bytes::Bytes::from_static(&[0x9a, 0x06, 0x01, b'x']);
    enqueue(&subject, [new.clone()]).await;
    let _: () = subject.raw("HSET asynq:{q}:t:a newer field").await;

    inspector(&subject)
        .move_task(&queue("q"), &id("a"), &queue("r"))
        .await
        .unwrap();

    subject
        .expect(
            "asynq:queues: q r
             asynq:{r}:scheduled: a=1700000060
             asynq:{r}:t:a: msg newer=field state=scheduled",
        )
        .await;
    let moved = inspector(&subject).task(&queue("r"), &id("a")).await.unwrap();
    assert_eq!(moved.message.unknown_fields, new.message.unknown_fields);
}

#[tokio::test]
async fn nothing_of_a_queue_is_left_when_it_is_deleted() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [task("done")]).await;
    let leased = subject.dequeue_one().await;
    subject.finish(&leased, Settlement::Done { result: None }).await;
    enqueue(&subject, [unique("a"), in_a_minute("b"), grouped("c")]).await;
    subject.broker.pause(&queue("q")).await.unwrap();
    // What Go asynq leaves behind: tasks in no list, a group without a name, locks of nobody.
    let _: () = subject.raw("HSET asynq:{q}:t:lost msg x state archived").await;
    let _: () = subject.raw("ZADD asynq:{q}:g:hidden 1700000000 x").await;
    let _: () = subject.raw("SET asynq:{q}:unique:t:of-nobody gone").await;
    let _: () = subject.raw("SET asynq:{qq}:pending another-queue").await;

    let progress = inspector(&subject).force_delete_queue(&queue("q")).finish().await;

    assert_eq!(progress.unwrap().done, 5);
    subject.expect("asynq:{qq}:pending: another-queue").await;
}

#[tokio::test]
async fn a_queue_with_a_task_in_no_list_is_not_deleted_without_force() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [task("a")]).await;
    inspector(&subject)
        .delete_task(&queue("q"), &id("a"))
        .await
        .unwrap();
    let _: () = subject.raw("HSET asynq:{q}:t:lost msg x state archived").await;

    let refused = inspector(&subject).delete_queue(&queue("q")).finish().await;

    assert!(refused.is_err());
    let left: u64 = subject.raw("EXISTS asynq:{q}:t:lost").await;
    assert_eq!(left, 1);
}

#[tokio::test]
async fn merging_a_set_of_a_queue_that_was_deleted_meanwhile_does_not_list_the_queue_again() {
    let mut subject = Subject::new().await;
    enqueue(&subject, [grouped("a")]).await;
    let limits = GroupLimits {
        grace_period: Duration::ZERO,
        max_delay: None,
        max_size: None,
    };
    let sealed = subject
        .broker
        .seal(&queue("q"), &GroupName::new("g").unwrap(), &limits)
        .await
        .unwrap()
        .unwrap();
    let deletion = inspector(&subject).force_delete_queue(&queue("q")).finish().await;
    deletion.unwrap();

    let merged = subject.broker.finish_set(&sealed.key, &task("merged")).await;

    assert_eq!(merged.unwrap(), None);
    subject.expect("").await;
}

/// Entries and events as a Go scheduler writes them.
#[tokio::test]
async fn the_schedule_of_a_go_scheduler_is_shown() {
    let mut subject = Subject::new().await;
    let hex = |text: &str| -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    };
    let entry = hex(
        "0a026531120940657665727920316d1a01742201702a0c517565756528226c6f77222932060880e2cfaa063a0b088092b8c398feffffff01",
    );
    for (scheduler, expires) in [("here", START + 20), ("gone", START - 1)] {
        let key = format!("asynq:schedulers:{{{scheduler}}}");
        let _: () = subject
            .raw(&format!("ZADD asynq:schedulers {expires} {key}"))
            .await;
        redis::cmd("LPUSH")
            .arg(&key)
            .arg(&entry)
            .exec_async(&mut subject.raw)
            .await
            .unwrap();
    }
    for n in 0..3 {
        let event = [hex("0a01"), vec![b'a' + n], hex("12080880e2cfaa061005")].concat();
        redis::cmd("ZADD")
            .arg("asynq:scheduler_history:e1")
            .arg(START + i64::from(n))
            .arg(event)
            .exec_async(&mut subject.raw)
            .await
            .unwrap();
    }
    let before = subject.raw::<u64>("ZCARD asynq:schedulers").await;

    let entries = inspector(&subject).schedule_entries().await.unwrap();
    let events = inspector(&subject)
        .schedule_events("e1", Page { offset: 1, limit: 2 })
        .await;

    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].id.as_str(), entries[0].spec.as_str()),
        ("e1", "@every 1m")
    );
    let ids: Vec<String> = events
        .unwrap()
        .iter()
        .map(|event| event.task_id.to_string())
        .collect();
    assert_eq!(ids, ["b", "a"]);
    assert_eq!(
        subject.raw::<u64>("ZCARD asynq:schedulers").await,
        before,
        "nothing is deleted"
    );
}

#[tokio::test]
async fn a_user_who_may_only_read_can_look_at_everything() {
    let server = RedisServer::start_with(RedisOptions::default());
    let mut subject = Subject::at(&server.url()).await;
    enqueue(&subject, [task("a"), in_a_minute("b"), grouped("c")]).await;
    let _: () = subject
        .raw("ACL SETUSER viewer on >secret %R~asynq:* +@read +@connection +eval_ro +evalsha_ro +script|load +info +time")
        .await;
    let url = server.url().replace("redis://", "redis://viewer:secret@");
    let broker = RedisBroker::connect(&url).await.unwrap();
    let viewer = Inspector::new(broker);
    let q = queue("q");

    assert_eq!(viewer.queues().await.unwrap(), std::slice::from_ref(&q));
    assert_eq!(viewer.queue_info(&q).await.unwrap().size(), 3);
    assert!(viewer.memory_usage(&q).await.unwrap() > 0);
    viewer.history(&q, 7).await.unwrap();
    viewer.groups(&q).await.unwrap();
    viewer.servers().await.unwrap();
    viewer.schedule_entries().await.unwrap();
    viewer.task(&q, &id("a")).await.unwrap();
    viewer
        .list(&q, &TaskList::Scheduled, Page::first(9))
        .await
        .unwrap();
    let search = viewer
        .search(&q, TaskList::Pending)
        .matching(Filter::new().payload("hello"));
    assert_eq!(search.collect().await.unwrap().len(), 1);

    let refused = viewer.delete_task(&q, &id("a")).await.unwrap_err();
    assert!(refused.to_string().contains("refused access"), "{refused}");
}

#[tokio::test]
async fn a_user_who_may_not_send_scripts_that_only_read_can_look_too() {
    let server = RedisServer::start_with(RedisOptions::default());
    let mut subject = Subject::at(&server.url()).await;
    enqueue(&subject, [task("a"), task("b")]).await;
    let _: () = subject
        .raw("ACL SETUSER operator on >secret ~asynq:* +@all -evalsha_ro -eval_ro")
        .await;
    let url = server.url().replace("redis://", "redis://operator:secret@");
    let operator = Inspector::new(RedisBroker::connect(&url).await.unwrap());

    let search = operator.search(&queue("q"), TaskList::Pending).collect().await;

    assert_eq!(search.unwrap().len(), 2);
}
