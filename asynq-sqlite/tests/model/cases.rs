//! Sequences that have failed once, and what they showed.

use std::time::Duration;

use asynq_core::broker::Settlement;

use crate::operation::{New, Operation};
use crate::{block_on, run};

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

    block_on(run(&[
        Operation::Enqueue(vec![new(0), new(1)]),
        take(),
        take(),
        put_back,
        Operation::Advance(Duration::from_millis(1)),
        take(),
    ]));
}

/// Finishes that delete share a statement. The answer to an earlier holder is its own, not that of the present one.
#[test]
fn an_earlier_holder_in_the_same_call_is_refused() {
    let done = || Settlement::Done { result: None };
    let take = || Operation::Dequeue {
        queues: vec![0],
        max: 1,
    };

    block_on(run(&[
        Operation::Enqueue(vec![new(0)]),
        take(),
        Operation::Finish {
            finishes: vec![(0, Settlement::Requeue { lost: false })],
        },
        take(),
        Operation::Finish {
            finishes: vec![(0, done()), (1, done()), (1, done())],
        },
    ]));
}
