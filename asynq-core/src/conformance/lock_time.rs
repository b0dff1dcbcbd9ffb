//! When a uniqueness lock expires. Only for brokers whose locks expire by the manual clock.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::Receipt;

use super::Subject;
use super::kit::*;

pub async fn a_lock_holds_until_its_ttl_and_not_longer(subject: &Subject) {
    subject.must_enqueue(task("a").unique(secs(10))).await;

    subject.advance(millis(9_999));
    let before = subject.enqueue(task("b").unique(secs(10))).await;
    subject.advance(millis(1));
    let after = subject.enqueue(task("b").unique(secs(10))).await;

    assert_eq!(before, Receipt::Duplicate { holder: id("a") });
    assert!(is_accepted(&after), "{after:?}");
}

pub async fn the_ttl_of_a_delayed_task_counts_from_when_it_is_due(subject: &Subject) {
    subject
        .must_enqueue(task("a").delayed(secs(100)).unique(secs(10)))
        .await;

    subject.advance(secs(109));
    let before = subject.enqueue(task("b").unique(secs(10))).await;
    subject.advance(secs(1));
    let after = subject.enqueue(task("b").unique(secs(10))).await;

    assert_eq!(before, Receipt::Duplicate { holder: id("a") });
    assert!(is_accepted(&after), "{after:?}");
}

pub async fn a_task_whose_lock_expired_does_not_release_that_of_its_successor(subject: &Subject) {
    let first = subject.enqueue_and_take(task("a").unique(secs(10))).await;
    subject.advance(secs(10));
    subject.must_enqueue(task("b").unique(secs(10))).await;

    subject.settle(&first, done()).await;

    let receipt = subject.enqueue(task("c").unique(secs(10))).await;
    assert_eq!(receipt, Receipt::Duplicate { holder: id("b") });
}

pub async fn the_lock_of_an_archived_task_expires(subject: &Subject) {
    let leased = subject.enqueue_and_take(task("a").unique(secs(10))).await;
    subject.settle(&leased, archive()).await;

    subject.advance(secs(10));

    subject.must_enqueue(task("b").unique(secs(10))).await;
}
