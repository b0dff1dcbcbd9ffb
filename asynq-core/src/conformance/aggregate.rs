//! How groups are sealed, merged and given back.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::{GroupLimits, Receipt, SealedSet};
use crate::error::BrokerError;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

/// Ready at once.
const NOW: GroupLimits = limits(0);

const fn limits(grace: u64) -> GroupLimits {
    GroupLimits {
        grace_period: secs(grace),
        max_delay: None,
        max_size: None,
    }
}

async fn seal(subject: &Subject, limits: GroupLimits) -> Option<SealedSet> {
    subject
        .broker
        .seal(&default_queue(), &group("g"), &limits)
        .await
        .unwrap()
}

fn members(set: &SealedSet) -> Vec<&str> {
    set.tasks.iter().map(|message| message.id.as_str()).collect()
}

async fn finish(subject: &Subject, set: &SealedSet, merged: TestTask) -> Option<Receipt> {
    subject
        .broker
        .finish_set(&set.key, &merged.build())
        .await
        .unwrap()
}

async fn groups(subject: &Subject) -> Vec<String> {
    let groups = subject.broker.groups(&default_queue()).await.unwrap();
    groups.iter().map(|group| group.as_str().to_owned()).collect()
}

/// Members of group `g`, one second apart.
async fn fill(subject: &Subject, ids: &[&str]) {
    for id in ids {
        subject.must_enqueue(task(id).group("g")).await;
        subject.advance(secs(1));
    }
}

pub async fn groups_with_waiting_tasks_are_listed(subject: &Subject) {
    subject
        .must_enqueue_all([
            task("1").group("g"),
            task("2").group("g"),
            task("3").group("h:x}"),
            task("4").group("elsewhere").queue("other"),
        ])
        .await;

    let mut groups = groups(subject).await;
    groups.sort();
    assert_eq!(groups, ["g", "h:x}"]);
    let info = subject.queue_info().await;
    assert_eq!((info.groups, info.aggregating), (2, 3));
}

pub async fn a_group_is_ready_when_no_task_has_come_for_the_grace_period(subject: &Subject) {
    fill(subject, &["1", "2"]).await;
    subject.advance(secs(7));
    assert!(
        seal(subject, limits(10)).await.is_none(),
        "the newest came 8 seconds ago"
    );

    subject.advance(secs(4));

    let set = seal(subject, limits(10))
        .await
        .expect("the newest came 12 seconds ago");
    assert_eq!(members(&set), ["1", "2"]);
}

pub async fn each_task_begins_the_grace_period_anew(subject: &Subject) {
    fill(subject, &["1"]).await;
    subject.advance(secs(11));
    fill(subject, &["2"]).await;

    assert!(seal(subject, limits(10)).await.is_none());
}

pub async fn a_group_is_ready_when_its_oldest_task_has_waited_for_the_longest_delay(subject: &Subject) {
    let limits = GroupLimits {
        max_delay: Some(secs(20)),
        ..limits(10)
    };
    fill(subject, &["1"]).await;
    subject.advance(secs(17));
    fill(subject, &["2"]).await;
    assert!(
        seal(subject, limits).await.is_none(),
        "the oldest came 19 seconds ago"
    );

    subject.advance(secs(3));

    let set = seal(subject, limits)
        .await
        .expect("the oldest came 22 seconds ago");
    assert_eq!(members(&set), ["1", "2"]);
}

pub async fn a_group_is_ready_at_its_size(subject: &Subject) {
    let limits = GroupLimits {
        max_size: Some(3),
        ..limits(60)
    };
    fill(subject, &["1", "2"]).await;
    assert!(seal(subject, limits).await.is_none());

    fill(subject, &["3"]).await;

    assert_eq!(members(&seal(subject, limits).await.unwrap()), ["1", "2", "3"]);
}

pub async fn a_set_never_holds_more_than_the_size_and_takes_the_oldest(subject: &Subject) {
    let limits = GroupLimits {
        max_size: Some(2),
        ..limits(0)
    };
    fill(subject, &["1", "2", "3", "4", "5"]).await;

    let mut sizes = Vec::new();
    while let Some(set) = seal(subject, limits).await {
        sizes.push(members(&set).join(" "));
    }

    assert_eq!(sizes, ["1 2", "3 4", "5"]);
}

pub async fn what_does_not_fit_into_a_set_stays_in_the_group(subject: &Subject) {
    let limits = GroupLimits {
        max_size: Some(2),
        ..limits(60)
    };
    fill(subject, &["1", "2", "3"]).await;

    seal(subject, limits).await.unwrap();

    assert_eq!(groups(subject).await, ["g"]);
    assert_eq!(subject.queue_info().await.aggregating, 1);
    assert!(seal(subject, limits).await.is_none());
}

pub async fn sealed_tasks_are_aggregating_but_not_in_the_group(subject: &Subject) {
    fill(subject, &["1", "2"]).await;

    let set = seal(subject, NOW).await.unwrap();

    assert_within_a_second(set.deadline, subject.now().saturating_add(secs(120)));
    assert_eq!((&set.key.queue, &set.key.group), (&default_queue(), &group("g")));
    assert!(groups(subject).await.is_empty());
    assert_eq!(subject.state("1").await, Some(TaskState::Aggregating));
    assert!(seal(subject, NOW).await.is_none(), "sealed once");
}

pub async fn an_unknown_group_is_never_ready(subject: &Subject) {
    assert!(seal(subject, NOW).await.is_none());
    assert!(groups(subject).await.is_empty());
}

pub async fn sealed_tasks_come_with_everything_they_were_sent_with(subject: &Subject) {
    let sent = task("1").group("g").payload(&b"\x00\xff"[..]).with(|message| {
        message.headers.insert("key".into(), "value".into());
    });
    let message = sent.clone().build().message;
    subject.must_enqueue(sent).await;

    assert_eq!(seal(subject, NOW).await.unwrap().tasks, [message]);
}

pub async fn a_task_that_comes_after_the_sealing_waits_for_the_next_set(subject: &Subject) {
    fill(subject, &["1"]).await;
    let first = seal(subject, NOW).await.unwrap();
    fill(subject, &["2"]).await;

    let second = seal(subject, NOW).await.unwrap();

    assert_eq!((members(&first), members(&second)), (vec!["1"], vec!["2"]));
    assert_ne!(first.key.id, second.key.id);
}

pub async fn finishing_a_set_replaces_its_tasks_by_the_merged_one(subject: &Subject) {
    fill(subject, &["1", "2"]).await;
    let set = seal(subject, NOW).await.unwrap();

    let receipt = finish(subject, &set, task("merged").payload("1+2")).await;

    assert_eq!(receipt, Some(accepted(TaskState::Pending, Some(subject.now()))));
    assert_eq!((subject.task("1").await, subject.task("2").await), (None, None));
    assert_eq!(&subject.take().await.message.payload[..], b"1+2");
    assert_eq!(subject.queue_info().await.size(), 1);
}

pub async fn finishing_a_set_counts_nothing(subject: &Subject) {
    fill(subject, &["1", "2"]).await;
    let set = seal(subject, NOW).await.unwrap();

    finish(subject, &set, task("merged")).await;

    let info = subject.queue_info().await;
    assert_eq!((info.processed, info.failed), (0, 0));
}

pub async fn the_merged_task_may_be_scheduled(subject: &Subject) {
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();

    finish(subject, &set, task("merged").delayed(secs(60))).await;

    assert_eq!(subject.state("merged").await, Some(TaskState::Scheduled));
}

pub async fn finishing_a_set_leaves_the_rest_of_the_group(subject: &Subject) {
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();
    fill(subject, &["2"]).await;

    finish(subject, &set, task("merged")).await;

    assert_eq!(groups(subject).await, ["g"]);
    assert_eq!(subject.state("2").await, Some(TaskState::Aggregating));
}

pub async fn finishing_a_set_releases_the_locks_of_its_tasks(subject: &Subject) {
    let member = task("1").group("g").payload("u").unique(secs(3600));
    subject.must_enqueue(member).await;
    let set = seal(subject, NOW).await.unwrap();
    let duplicate = subject.enqueue(task("2").payload("u").unique(secs(3600))).await;
    assert_eq!(duplicate, Receipt::Duplicate { holder: id("1") });

    finish(subject, &set, task("merged")).await;

    subject
        .must_enqueue(task("2").payload("u").unique(secs(3600)))
        .await;
}

pub async fn a_set_is_finished_once(subject: &Subject) {
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();
    finish(subject, &set, task("merged")).await;

    assert_eq!(finish(subject, &set, task("again")).await, None);

    assert_eq!(subject.task("again").await, None);
    assert_eq!(subject.state("merged").await, Some(TaskState::Pending));
}

pub async fn a_merged_task_whose_id_is_taken_leaves_the_set(subject: &Subject) {
    subject.must_enqueue(task("busy").payload("mine")).await;
    fill(subject, &["1", "2"]).await;
    let set = seal(subject, NOW).await.unwrap();

    let refused = finish(subject, &set, task("busy").payload("merged")).await;

    let pending = Some(TaskState::Pending);
    assert_eq!(refused, Some(Receipt::IdTaken { state: pending }));
    assert_eq!(&subject.stored("busy").await.message.payload[..], b"mine");
    assert_eq!(subject.state("1").await, Some(TaskState::Aggregating));
    let accepted = finish(subject, &set, task("free")).await;
    assert!(
        accepted.is_some_and(|receipt| is_accepted(&receipt)),
        "the set can be finished still"
    );
}

pub async fn a_merged_task_that_is_a_duplicate_leaves_the_set(subject: &Subject) {
    subject
        .must_enqueue(task("holder").payload("u").unique(secs(3600)))
        .await;
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();

    let refused = finish(subject, &set, task("merged").payload("u").unique(secs(3600))).await;

    assert_eq!(refused, Some(Receipt::Duplicate { holder: id("holder") }));
    assert_eq!(subject.task("merged").await, None);
    assert_eq!(subject.state("1").await, Some(TaskState::Aggregating));
}

pub async fn a_merged_task_for_another_queue_is_an_error(subject: &Subject) {
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();
    let merged = task("merged").queue("other").build();

    let error = subject.broker.finish_set(&set.key, &merged).await.unwrap_err();

    assert!(matches!(error, BrokerError::Config(_)), "{error:?}");
    assert_eq!(subject.state("1").await, Some(TaskState::Aggregating));
    assert!(finish(subject, &set, task("merged")).await.is_some());
}

pub async fn a_set_past_its_deadline_goes_back_to_its_group(subject: &Subject) {
    fill(subject, &["1", "2"]).await;
    seal(subject, NOW).await.unwrap();

    subject.advance(secs(118));
    assert_eq!(subject.broker.reclaim(&default_queue()).await.unwrap(), 0);
    assert!(groups(subject).await.is_empty());

    subject.advance(secs(4));
    assert_eq!(subject.broker.reclaim(&default_queue()).await.unwrap(), 1);
    assert_eq!(groups(subject).await, ["g"]);
    assert_eq!(subject.queue_info().await.aggregating, 2);
    assert_eq!(members(&seal(subject, NOW).await.unwrap()), ["1", "2"]);
}

pub async fn reclaimed_tasks_are_older_than_those_that_came_meanwhile(subject: &Subject) {
    fill(subject, &["1", "2"]).await;
    seal(subject, NOW).await.unwrap();
    fill(subject, &["3"]).await;
    subject.advance(secs(122));

    subject.broker.reclaim(&default_queue()).await.unwrap();

    assert_eq!(members(&seal(subject, NOW).await.unwrap()), ["1", "2", "3"]);
}

pub async fn a_reclaimed_task_takes_its_old_place(subject: &Subject) {
    let one = GroupLimits {
        max_size: Some(1),
        ..limits(0)
    };
    fill(subject, &["1", "2"]).await;
    assert_eq!(members(&seal(subject, one).await.unwrap()), ["1"]);
    subject.advance(secs(122));

    subject.broker.reclaim(&default_queue()).await.unwrap();

    assert_eq!(members(&seal(subject, NOW).await.unwrap()), ["1", "2"]);
}

pub async fn a_set_that_went_back_cannot_be_finished(subject: &Subject) {
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();
    subject.advance(secs(122));
    subject.broker.reclaim(&default_queue()).await.unwrap();

    assert_eq!(finish(subject, &set, task("merged")).await, None);

    assert_eq!(subject.task("merged").await, None);
    assert_eq!(subject.state("1").await, Some(TaskState::Aggregating));
}

pub async fn a_late_set_is_finished_while_it_has_not_gone_back(subject: &Subject) {
    fill(subject, &["1"]).await;
    let set = seal(subject, NOW).await.unwrap();
    subject.advance(secs(122));

    assert!(finish(subject, &set, task("merged")).await.is_some());

    assert_eq!(subject.broker.reclaim(&default_queue()).await.unwrap(), 0);
    assert_eq!(subject.task("1").await, None);
}

pub async fn the_same_group_in_two_queues_is_two_groups(subject: &Subject) {
    subject
        .must_enqueue_all([task("1").group("g"), task("1").group("g").queue("other")])
        .await;

    let set = seal(subject, NOW).await.unwrap();
    finish(subject, &set, task("merged")).await;

    assert_eq!(
        subject.broker.groups(&queue("other")).await.unwrap(),
        [group("g")]
    );
    assert!(
        subject
            .broker
            .task(&queue("other"), &id("1"))
            .await
            .unwrap()
            .is_some()
    );
}
