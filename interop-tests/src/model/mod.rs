//! Random sequences of operations, by Go and by ours, with equal results.

mod action;
mod change;
mod compare;
mod enqueue;
mod expected;
mod filters;
mod inspect;
mod op;
mod schedule;
mod show;
mod upkeep;
mod work;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::differences::Met;
use crate::go::{Broken, GoProgram};
use op::{Op, Who};
use world::{Bench, Stop, World};

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) sequences: u64,
    pub(crate) operations: BTreeMap<&'static str, u64>,
    pub(crate) go_calls: u64,
    pub(crate) met: Met,
}

/// A sequence that is kept because it once failed, or shows something.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// A defect of ours that makes it fail, as long as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) known: Option<String>,
    pub(crate) ops: Vec<Op>,
}

/// How much to compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) sequences: u64,
    pub(crate) length: usize,
    pub(crate) seed: u64,
    pub(crate) workers: u64,
}

/// Compares random sequences, on several workers. The error tells the shortest sequence that was found to fail.
pub(crate) fn random(program: &GoProgram, amount: Amount) -> Result<Compared, String> {
    let next = AtomicU64::new(0);
    let work = |number: u64| -> Result<Compared, String> {
        let mut bench = Bench::start(program, 1 + 2 * number as i64)?;
        let mut sequences = 0;
        loop {
            let sequence = next.fetch_add(1, Ordering::Relaxed);
            if sequence >= amount.sequences {
                break;
            }
            let seed = amount.seed.wrapping_add(sequence);
            let ops = op::sequence(&mut Rng::with_seed(seed), amount.length);
            if let Err(stop) = run(&mut bench, &ops) {
                next.store(amount.sequences, Ordering::Relaxed);
                return Err(explain(&mut bench, seed, ops, stop));
            }
            sequences += 1;
        }
        Ok(compared(bench, sequences))
    };
    let results: Vec<Result<Compared, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..amount.workers)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err("a worker panicked".to_owned())))
            .collect()
    });
    let mut all = Compared::default();
    for result in results {
        all.add(&result?);
    }
    Ok(all)
}

/// Runs the named sequences of a folder.
pub(crate) fn named(program: &GoProgram, folder: &Path) -> Result<Compared, String> {
    let mut bench = Bench::start(program, 1)?;
    let mut sequences = 0;
    for case in cases(folder)? {
        match (run(&mut bench, &case.ops), case.known) {
            (Ok(()), None) => {}
            (Err(Stop::Differs(_)), Some(known)) => println!("  known to fail, {}: {known}", case.name),
            (Ok(()), Some(_)) => {
                return Err(format!("{} does not fail any more: take out `known`", case.name));
            }
            (Err(stop), _) => return Err(format!("{}: {}", case.name, describe(&stop))),
        }
        sequences += 1;
    }
    Ok(compared(bench, sequences))
}

fn cases(folder: &Path) -> Result<Vec<Case>, Broken> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", folder.display());
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(&error))? {
        let path = entry.map_err(|error| failed(&error))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
        cases.push(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(cases)
}

fn compared(bench: Bench, sequences: u64) -> Compared {
    Compared {
        sequences,
        operations: bench.operations,
        go_calls: bench.go.calls,
        met: bench.met,
    }
}

impl Compared {
    pub(crate) fn add(&mut self, other: &Compared) {
        self.sequences += other.sequences;
        self.go_calls += other.go_calls;
        self.met.add(&other.met);
        for (name, count) in &other.operations {
            *self.operations.entry(name).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.operations.values().sum()
    }
}

/// Servers are shown for ten seconds of Redis' own clock. On a machine so busy that a sequence takes about as long, one that
/// differs says nothing, and is compared again.
fn run(bench: &mut Bench, ops: &[Op]) -> Result<(), Stop> {
    const SLOW: Duration = Duration::from_secs(7);
    const TRIES: usize = 5;
    let mut result = Ok(());
    for _ in 0..TRIES {
        let begun = Instant::now();
        result = run_once(bench, ops);
        if result.is_ok() || begun.elapsed() < SLOW {
            break;
        }
    }
    result
}

fn run_once(bench: &mut Bench, ops: &[Op]) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Broken(error.to_string()))?;
    runtime.block_on(async {
        let is_mixed = ops.iter().any(is_by_go);
        let mut world = World::fresh(bench, is_mixed).await?;
        for (number, op) in ops.iter().enumerate() {
            world.perform(op).await.map_err(|stop| match stop {
                Stop::Differs(what) => Stop::Differs(format!("step {number}, {op:?}:\n    {what}")),
                broken => broken,
            })?;
        }
        Ok(())
    })
}

fn is_by_go(op: &Op) -> bool {
    use Op::{
        Advance, Announce, Change, Dequeue, Enqueue, Extend, Finish, FinishLate, Forward, HideEntries,
        Inspect, LocksEnd, Look, Merge, Pause, Purge, Reclaim, Reconcile, RecordEvent, Recover, Resume, Seal,
        ShowEntries, Withdraw, WriteResult,
    };
    match op {
        Enqueue { who, .. }
        | Dequeue { who, .. }
        | Finish { who, .. }
        | Extend { who, .. }
        | Forward { who, .. }
        | Seal { who, .. }
        | Reclaim { who, .. }
        | Purge { who, .. }
        | Pause { who, .. }
        | Resume { who, .. }
        | Announce { who, .. }
        | Withdraw { who, .. }
        | Inspect { who, .. }
        | ShowEntries { who, .. }
        | HideEntries { who, .. }
        | RecordEvent { who, .. } => *who == Who::Go,
        Advance { .. }
        | Change { .. }
        | FinishLate { .. }
        | WriteResult { .. }
        | Recover { .. }
        | Merge { .. }
        | LocksEnd { .. }
        | Look { .. }
        | Reconcile { .. } => false,
    }
}

fn describe(stop: &Stop) -> String {
    match stop {
        Stop::Differs(what) => what.clone(),
        Stop::Broken(what) => format!("the comparison is broken: {what}"),
    }
}

/// Makes a sequence that fails as short as it can, and tells it.
fn explain(bench: &mut Bench, seed: u64, ops: Vec<Op>, stop: Stop) -> String {
    let (ops, stop) = match stop {
        Stop::Differs(_) => shrink(bench, ops, stop),
        broken @ Stop::Broken(_) => (ops, broken),
    };
    let case = Case {
        name: format!("seed-{seed}"),
        known: None,
        ops,
    };
    let steps: Vec<String> = case.ops.iter().map(|op| format!("    {op:?}")).collect();
    let kept = serde_json::to_string(&case).unwrap_or_default();
    format!(
        "sequence {seed}: {}\n  after\n{}\n  to keep it, put this in interop-tests/cases/:\n{kept}",
        describe(&stop),
        steps.join("\n")
    )
}

/// Takes steps out as long as it still fails: halves first, then single ones.
fn shrink(bench: &mut Bench, mut ops: Vec<Op>, mut stop: Stop) -> (Vec<Op>, Stop) {
    let mut size = ops.len().max(2) / 2;
    loop {
        let mut at = 0;
        let before = ops.len();
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + size).min(ops.len()));
            match run(bench, &fewer) {
                Err(differs @ Stop::Differs(_)) => {
                    ops = fewer;
                    stop = differs;
                }
                _ => at += size,
            }
        }
        if size == 1 && ops.len() == before {
            return (ops, stop);
        }
        size = (size / 2).max(1);
    }
}
