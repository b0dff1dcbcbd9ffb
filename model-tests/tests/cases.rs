//! Sequences that have failed once, and what they showed.

use std::time::Duration;

use asynq_core::Action;
use asynq_core::broker::Settlement;

use asynq_model_tests::{New, Operation, replay};

fn must_pass(operations: &[Operation]) {
    if let Err(what) = replay(operations) {
        panic!("{what}");
    }
}

fn new(id: u8) -> New {
    New {
        queue: 0,
        id,
        payload: 0,
        delay: None,
        group: None,
        unique: None,
        retention: 0,
    }
}

/// A task that was put back stands before all others when it is pending. Once it is taken out again, the one that was
/// taken out before it is the older one.
#[test]
fn a_task_that_was_put_back_is_listed_behind_one_that_was_taken_out_before_it() {
    let take = || Operation::Dequeue {
        queues: vec![0],
        max: 1,
    };
    let put_back = Operation::Finish {
        finishes: vec![(0, Settlement::Requeue { lost: false })],
    };

    must_pass(&[
        Operation::Enqueue(vec![new(0), new(1)]),
        take(),
        take(),
        put_back,
        Operation::Advance(Duration::from_millis(1)),
        take(),
    ]);
}

/// Finishes that delete share a statement. The answer to an earlier holder is its own, not that of the present one.
#[test]
fn an_earlier_holder_in_the_same_call_is_refused() {
    let done = || Settlement::Done { result: None };
    let take = || Operation::Dequeue {
        queues: vec![0],
        max: 1,
    };

    must_pass(&[
        Operation::Enqueue(vec![new(0)]),
        take(),
        Operation::Finish {
            finishes: vec![(0, Settlement::Requeue { lost: false })],
        },
        take(),
        Operation::Finish {
            finishes: vec![(0, done()), (1, done()), (1, done())],
        },
    ]);
}

/// A lease ends on Redis at its whole second plus a fraction that is drawn, and elsewhere to the microsecond.
#[test]
fn a_lease_is_told_to_have_ended_when_it_has() {
    let mut operations = vec![
        Operation::Enqueue(vec![new(0)]),
        Operation::Dequeue {
            queues: vec![0],
            max: 1,
        },
        Operation::Advance(Duration::from_secs(29)),
    ];
    for _ in 0..40 {
        operations.push(Operation::Advance(Duration::from_millis(50)));
        operations.push(Operation::Expired { queue: 0, limit: 1 });
    }

    must_pass(&operations);
}

/// Redis counts locks in real time, so the test plays its part.
#[test]
fn a_lock_ends_by_the_moved_clock() {
    let unique = |id| New {
        unique: Some(30),
        ..new(id)
    };

    must_pass(&[
        Operation::Enqueue(vec![unique(0)]),
        Operation::Advance(Duration::from_millis(29_999)),
        Operation::Enqueue(vec![unique(1)]),
        Operation::Advance(Duration::from_millis(1)),
        Operation::Enqueue(vec![unique(1), unique(2)]),
    ]);
}

/// Memory and SQLite put it back in its group.
#[test]
fn a_task_of_a_group_that_was_run_by_hand_and_snoozed_is_run_by_itself() {
    must_pass(&[
        Operation::Enqueue(vec![New {
            group: Some(0),
            ..new(0)
        }]),
        Operation::Apply {
            queue: 0,
            action: Action::Run,
            ids: vec![0],
        },
        Operation::Dequeue {
            queues: vec![0],
            max: 1,
        },
        Operation::Finish {
            finishes: vec![(
                0,
                Settlement::Snooze {
                    delay: Duration::ZERO,
                },
            )],
        },
        Operation::Forward { queue: 0 },
    ]);
}
