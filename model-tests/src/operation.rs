//! What may be done, and what is answered.

#![allow(missing_docs, reason = "the methods of brokers of the same names say it")]

use std::time::Duration;

use asynq_core::broker::{Applied, Receipt, Settlement};
use asynq_core::{Action, TaskState, Timestamp};
use proptest::prelude::*;

pub(crate) const START: Timestamp = Timestamp::from_unix_micros(1_700_000_000_250_000);
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const QUEUES: usize = 2;

/// One step. Leases and sets are named by when they were given; numbers beyond wrap around.
#[derive(Debug, Clone)]
pub enum Operation {
    Enqueue(Vec<New>),
    Dequeue {
        queues: Vec<usize>,
        max: usize,
    },
    Finish {
        finishes: Vec<(usize, Settlement)>,
    },
    Extend {
        lease: usize,
    },
    WriteResult {
        lease: usize,
        result: u8,
    },
    Forward {
        queue: usize,
    },
    Expired {
        queue: usize,
        limit: usize,
    },
    /// Finds expired leases and settles their tasks in that right.
    Recover {
        queue: usize,
        settlement: Settlement,
    },
    Purge {
        queue: usize,
        limit: usize,
    },
    Seal {
        queue: usize,
        group: u8,
        grace: u64,
        max_delay: Option<u64>,
        max_size: Option<usize>,
    },
    FinishSet {
        set: usize,
        merged: New,
    },
    Reclaim {
        queue: usize,
    },
    Reconcile {
        queue: usize,
    },
    Pause {
        queue: usize,
    },
    Resume {
        queue: usize,
    },
    Cancel {
        queue: Option<usize>,
        id: u8,
    },
    /// By an inspector.
    Apply {
        queue: usize,
        action: Action,
        ids: Vec<u8>,
    },
    Advance(Duration),
}

impl Operation {
    /// Leases are listed oldest first. Which of two that were given, or extended, in the same microsecond is older is
    /// nobody's business, so no two are.
    pub(crate) fn needs_own_moment(&self) -> bool {
        matches!(self, Operation::Dequeue { .. } | Operation::Extend { .. })
    }
}

#[derive(Debug, Clone)]
pub struct New {
    pub queue: usize,
    pub id: u8,
    pub payload: u8,
    pub delay: Option<u64>,
    pub group: Option<u8>,
    pub unique: Option<u64>,
    pub retention: u64,
}

/// What is answered, without what each broker draws for itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Nothing,
    Receipts(Vec<Receipt>),
    Taken(Vec<Taken>),
    Settled(Vec<bool>),
    Extended(Option<(Timestamp, bool)>),
    Yes(bool),
    Forwarded {
        moved: usize,
        next_due: Option<Timestamp>,
        more: bool,
    },
    /// Ids, whether they were started, how often they were lost; when the next lease ends.
    Expired(Vec<(String, bool, u32)>, Option<Timestamp>),
    Purged {
        completed: usize,
        archived: usize,
        more: bool,
    },
    Sealed(Option<(Vec<String>, Timestamp)>),
    Merged(Option<Receipt>),
    Count(usize),
    Applied(Vec<Applied>),
}

/// A task that was taken out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    pub(crate) queue: usize,
    pub(crate) id: String,
    pub(crate) leased_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What is seen of a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) state: TaskState,
    pub(crate) payload: Option<u8>,
    pub(crate) next: Option<Timestamp>,
    pub(crate) result: Option<u8>,
    pub(crate) is_orphaned: bool,
    pub(crate) retried: u32,
    pub(crate) error: String,
    pub(crate) failed_at: Option<Timestamp>,
    pub(crate) completed_at: Option<Timestamp>,
}

/// What is seen of a queue: its lists in the order of [`TaskState::ALL`], aggregating ones by group.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct View {
    pub(crate) lists: Vec<Vec<Shown>>,
    pub(crate) groups: Vec<String>,
    pub(crate) number_of_groups: u64,
    pub(crate) counts: Vec<u64>,
    /// Processed and failed, today and ever.
    pub(crate) attempts: [u64; 4],
    pub(crate) is_paused: bool,
    pub(crate) oldest: Option<Timestamp>,
}

fn new() -> impl Strategy<Value = New> {
    (
        0..QUEUES,
        0_u8..8,
        0_u8..3,
        prop::option::weighted(0.3, prop::sample::select(vec![0, 5, 60])),
        prop::option::weighted(0.3, 0_u8..2),
        prop::option::weighted(0.3, prop::sample::select(vec![30, 100, 3600])),
        prop::sample::select(vec![0, 0, 10, 100]),
    )
        .prop_map(|(queue, id, payload, delay, group, unique, retention)| New {
            queue,
            id,
            payload,
            delay,
            group,
            unique,
            retention,
        })
}

fn settlement() -> impl Strategy<Value = Settlement> {
    let delay = prop::sample::select(vec![0, 5, 60]).prop_map(Duration::from_secs);
    prop_oneof![
        3 => prop::option::of(1_u8..9).prop_map(|result| Settlement::Done { result: result.map(|byte| vec![byte].into()) }),
        1 => Just(Settlement::Drop),
        3 => (delay.clone(), any::<bool>()).prop_map(|(delay, is_failure)| Settlement::Retry {
            delay,
            error: "boom".into(),
            is_failure,
        }),
        1 => delay.prop_map(|delay| Settlement::Snooze { delay }),
        2 => Just(Settlement::Archive { error: "bang".into() }),
        2 => any::<bool>().prop_map(|lost| Settlement::Requeue { lost }),
    ]
}

pub(crate) fn any_operation() -> impl Strategy<Value = Operation> {
    let queue = || 0..QUEUES;
    let number = || 0_usize..1000;
    let action = prop::sample::select(vec![
        Action::Run,
        Action::Run,
        Action::Archive,
        Action::Delete,
        Action::Cancel,
    ]);
    let order = prop::sample::select(vec![vec![0], vec![1], vec![0, 1], vec![1, 0]]);
    let time = prop::sample::select(vec![
        1,
        250,
        1000,
        7000,
        // Just before and just after a lease ends, on Redis too.
        29_600,
        31_000,
        125_000,
        3_600_000,
        91 * 24 * 3_600_000,
    ]);
    prop_oneof![
        12 => prop::collection::vec(new(), 1..4).prop_map(Operation::Enqueue),
        12 => (order, 0_usize..5).prop_map(|(queues, max)| Operation::Dequeue { queues, max }),
        14 => prop::collection::vec((number(), settlement()), 1..4).prop_map(|finishes| Operation::Finish { finishes }),
        4 => number().prop_map(|lease| Operation::Extend { lease }),
        2 => (number(), 1_u8..9).prop_map(|(lease, result)| Operation::WriteResult { lease, result }),
        6 => queue().prop_map(|queue| Operation::Forward { queue }),
        2 => (queue(), 0_usize..4).prop_map(|(queue, limit)| Operation::Expired { queue, limit }),
        3 => (queue(), settlement()).prop_map(|(queue, settlement)| Operation::Recover { queue, settlement }),
        4 => (queue(), 1_usize..4).prop_map(|(queue, limit)| Operation::Purge { queue, limit }),
        5 => (queue(), 0_u8..2, 0_u64..9, prop::option::of(0_u64..30), prop::option::of(0_usize..3)).prop_map(
            |(queue, group, grace, max_delay, max_size)| Operation::Seal { queue, group, grace, max_delay, max_size }
        ),
        3 => (number(), new()).prop_map(|(set, merged)| Operation::FinishSet { set, merged }),
        2 => queue().prop_map(|queue| Operation::Reclaim { queue }),
        1 => queue().prop_map(|queue| Operation::Reconcile { queue }),
        1 => queue().prop_map(|queue| Operation::Pause { queue }),
        2 => queue().prop_map(|queue| Operation::Resume { queue }),
        1 => (prop::option::of(queue()), 0_u8..8).prop_map(|(queue, id)| Operation::Cancel { queue, id }),
        5 => (queue(), action, prop::collection::vec(0_u8..8, 1..4))
            .prop_map(|(queue, action, ids)| Operation::Apply { queue, action, ids }),
        10 => time.prop_map(|millis| Operation::Advance(Duration::from_millis(millis))),
    ]
}
