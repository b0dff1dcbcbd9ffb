//! Operations, and sequences of them at random.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::action::Action;

/// Who performs an operation on the second database. On the first it is always Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Who {
    Ours,
    /// Go works on what ours has stored, as in a mixed fleet.
    Go,
}

/// In sequences that were kept when the inspector was always Go's.
fn go() -> Who {
    Who::Go
}

/// One step. Numbers stand for one of a few queues, ids, groups…, or for one of those there are, modulo their number: so a
/// sequence stays meaningful when steps are taken out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Advance {
        micros: i64,
    },
    Enqueue {
        task: NewTask,
        who: Who,
    },
    Dequeue {
        queues: Vec<u8>,
        max: u8,
        who: Who,
    },
    Finish {
        pick: u16,
        how: How,
        who: Who,
    },
    /// By a worker that has lost its task, or has finished it before.
    FinishLate {
        pick: u16,
        how: How,
    },
    Extend {
        picks: Vec<u16>,
        who: Who,
    },
    WriteResult {
        pick: u16,
        result: String,
    },
    Forward {
        queue: u8,
        who: Who,
    },
    Recover {
        queue: u8,
        how: How,
    },
    Seal {
        queue: u8,
        group: u8,
        limits: Limits,
        who: Who,
    },
    Merge {
        pick: u16,
        task: NewTask,
    },
    Reclaim {
        queue: u8,
        who: Who,
    },
    Purge {
        queue: u8,
        who: Who,
    },
    Pause {
        queue: u8,
        who: Who,
    },
    Resume {
        queue: u8,
        who: Who,
    },
    /// The locks of a type and payload come to the end of their time.
    LocksEnd {
        queue: u8,
        kind: u8,
        payload: u8,
    },
    Announce {
        server: u8,
        workers: Vec<u16>,
        who: Who,
    },
    Withdraw {
        server: u8,
        who: Who,
    },
    Look {
        queue: u8,
    },
    /// Ours looks for damage. There is none.
    Reconcile {
        queue: u8,
    },
    Inspect {
        action: Action,
        queue: u8,
        group: u8,
        id: u8,
        #[serde(default = "go")]
        who: Who,
    },
    /// Ours changes a task that waits.
    Change {
        queue: u8,
        id: u8,
        place: NewPlace,
    },
    ShowEntries {
        scheduler: u8,
        entries: Vec<u8>,
        who: Who,
    },
    HideEntries {
        scheduler: u8,
        who: Who,
    },
    RecordEvent {
        entry: u8,
        who: Who,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewTask {
    pub(crate) queue: u8,
    pub(crate) id: u8,
    pub(crate) kind: u8,
    pub(crate) payload: u8,
    pub(crate) headers: u8,
    pub(crate) max_retry: u8,
    pub(crate) timeout: Option<u16>,
    pub(crate) deadline: Option<u16>,
    pub(crate) retention: Option<u16>,
    pub(crate) unique: Option<u16>,
    pub(crate) group: Option<u8>,
    /// Microseconds from now.
    pub(crate) at: Option<i64>,
}

/// What of a task is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewPlace {
    /// Seconds from now.
    pub(crate) at: Option<i64>,
    pub(crate) max_retry: Option<u8>,
    pub(crate) queue: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum How {
    Done {
        result: Option<String>,
    },
    Drop,
    Retry {
        delay: i64,
        error: String,
        is_failure: bool,
    },
    Archive {
        error: String,
    },
    Requeue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) grace: u16,
    pub(crate) max_delay: Option<u16>,
    pub(crate) max_size: Option<u8>,
}

const SECOND: i64 = 1_000_000;

/// Sequences of one kind: with Go on both databases now and then, or with times within seconds. Not both, since Go is early
/// for the latter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) is_mixed: bool,
    pub(crate) has_fractions: bool,
    /// Many tasks at a time, most of which wait for the same moments.
    pub(crate) is_crowded: bool,
}

/// A sequence of this length.
pub(crate) fn sequence(rng: &mut Rng, length: usize) -> Vec<Op> {
    let (is_mixed, has_fractions) = match rng.u8(0..3) {
        0 => (false, true),
        1 => (false, false),
        _ => (true, false),
    };
    let style = Style {
        is_mixed,
        has_fractions,
        is_crowded: rng.u8(0..4) == 0,
    };
    (0..length).map(|_| op(rng, style)).collect()
}

fn op(rng: &mut Rng, style: Style) -> Op {
    let who = if style.is_mixed && rng.bool() {
        Who::Go
    } else {
        Who::Ours
    };
    let queue = if style.is_crowded { 0 } else { rng.u8(0..2) };
    let choice = match rng.u8(0..10) {
        0..=4 if style.is_crowded => 10,
        0 => 100,
        _ => rng.u8(0..100),
    };
    match choice {
        0..=9 => Op::Advance {
            micros: advance(rng, style),
        },
        10..=35 => Op::Enqueue {
            task: new_task(rng, style, queue),
            who,
        },
        36..=49 => Op::Dequeue {
            queues: if rng.bool() { vec![0, 1] } else { vec![queue] },
            max: rng.u8(1..4),
            who,
        },
        50..=63 => Op::Finish {
            pick: rng.u16(..),
            how: how(rng, style),
            who,
        },
        64..=65 => Op::FinishLate {
            pick: rng.u16(..),
            how: how(rng, style),
        },
        66..=68 => Op::Extend {
            picks: (0..rng.u8(1..4)).map(|_| rng.u16(..)).collect(),
            who,
        },
        69..=70 => Op::WriteResult {
            pick: rng.u16(..),
            result: text(rng),
        },
        71..=76 => Op::Forward { queue, who },
        77..=79 => Op::Recover {
            queue,
            how: recovery(rng, style),
        },
        80..=84 => Op::Seal {
            queue,
            group: rng.u8(0..2),
            limits: Limits {
                grace: [1, 10, 60][rng.usize(0..3)],
                max_delay: rng.bool().then(|| [5, 60][rng.usize(0..2)]),
                max_size: rng.bool().then(|| rng.u8(1..4)),
            },
            who,
        },
        85 if rng.bool() => Op::Reconcile { queue },
        85 => Op::Look { queue },
        86..=87 => Op::Merge {
            pick: rng.u16(..),
            task: new_task(rng, style, queue),
        },
        88..=89 => Op::Reclaim { queue, who },
        90..=92 => Op::Purge { queue, who },
        93 => Op::Pause { queue, who },
        94 => Op::Resume { queue, who },
        95 => Op::LocksEnd {
            queue,
            kind: rng.u8(0..2),
            payload: rng.u8(0..3),
        },
        96 => Op::Announce {
            server: rng.u8(0..2),
            workers: (0..rng.u8(0..3)).map(|_| rng.u16(..)).collect(),
            who,
        },
        97 => Op::Withdraw {
            server: rng.u8(0..2),
            who,
        },
        98 if rng.bool() => Op::Look { queue },
        98 => Op::Change {
            queue,
            id: rng.u8(..),
            place: NewPlace {
                at: rng.bool().then(|| [-5, 0, 2, 30, 100][rng.usize(0..5)]),
                max_retry: rng.bool().then(|| rng.u8(0..4)),
                queue: rng.bool().then(|| rng.u8(0..2)),
            },
        },
        99 => schedule(rng, who),
        _ => Op::Inspect {
            action: Action::draw(rng),
            queue,
            group: rng.u8(0..2),
            id: rng.u8(..),
            who,
        },
    }
}

fn schedule(rng: &mut Rng, who: Who) -> Op {
    match rng.u8(0..4) {
        0 => Op::HideEntries {
            scheduler: rng.u8(0..2),
            who,
        },
        1 => Op::RecordEvent {
            entry: rng.u8(0..3),
            who,
        },
        _ => Op::ShowEntries {
            scheduler: rng.u8(0..2),
            entries: (0..rng.u8(0..4)).collect(),
            who,
        },
    }
}

fn advance(rng: &mut Rng, style: Style) -> i64 {
    let seconds = [1, 1, 5, 20, 31, 70, 130, 4000, 90_000, 7_900_000][rng.usize(0..10)];
    // Ninety days once in a while only: everything is over then.
    let seconds = if seconds > 100_000 && rng.u8(0..4) > 0 {
        3
    } else {
        seconds
    };
    seconds * SECOND + fraction(rng, style)
}

fn fraction(rng: &mut Rng, style: Style) -> i64 {
    if style.has_fractions && rng.bool() {
        rng.i64(0..SECOND)
    } else {
        0
    }
}

fn new_task(rng: &mut Rng, style: Style, queue: u8) -> NewTask {
    let mut sometimes =
        |one_in: u8, values: &[u16]| (rng.u8(0..one_in) == 0).then(|| values[rng.usize(0..values.len())]);
    let timeout = sometimes(3, &[1, 30, 1800]);
    let deadline = sometimes(5, &[60, 3600]);
    let retention = sometimes(3, &[1, 60, 3600]);
    let unique = sometimes(3, &[60, 600, 3600]);
    let (ids, one_in) = if style.is_crowded { (40, 1) } else { (10, 4) };
    NewTask {
        queue,
        id: rng.u8(0..ids),
        kind: rng.u8(0..2),
        payload: rng.u8(0..3),
        headers: rng.u8(0..3),
        max_retry: rng.u8(0..4),
        timeout,
        deadline,
        retention,
        unique,
        group: (rng.u8(0..3) == 0).then(|| rng.u8(0..2)),
        at: (rng.u8(0..one_in) == 0)
            .then(|| [-5, 0, 2, 30, 100][rng.usize(0..5)] * SECOND + fraction(rng, style)),
    }
}

fn how(rng: &mut Rng, style: Style) -> How {
    match rng.u8(0..10) {
        0..=3 => How::Done {
            result: rng.bool().then(|| text(rng)),
        },
        4 => How::Drop,
        5..=6 => retry(rng, style),
        7..=8 => How::Archive { error: text(rng) },
        _ => How::Requeue,
    }
}

fn recovery(rng: &mut Rng, style: Style) -> How {
    match rng.u8(0..4) {
        0..=1 => retry(rng, style),
        2 => How::Archive { error: text(rng) },
        _ => How::Requeue,
    }
}

fn retry(rng: &mut Rng, style: Style) -> How {
    How::Retry {
        delay: [0, 1, 15, 60][rng.usize(0..4)] * SECOND + fraction(rng, style),
        error: text(rng),
        is_failure: rng.u8(0..4) > 0,
    }
}

fn text(rng: &mut Rng) -> String {
    ["", "boom", "größer ≠ kleiner", "a\nb\0c"][rng.usize(0..4)].to_owned()
}
