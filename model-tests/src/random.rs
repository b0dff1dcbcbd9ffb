//! Random sequences, on several threads.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::operation::{self, Operation};
use crate::stage::{Stage, Stop};

const LONGEST_SEQUENCE: usize = 200;
/// Makes a failing sequence shorter for no longer than this.
const TRIES_TO_SHRINK: u32 = 5_000;
const SHRINK_FOR: Duration = Duration::from_secs(120);

/// How much to compare.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Operations, of all sequences together; the last sequences are finished.
    pub steps: u64,
    /// Sequences at the same time.
    pub jobs: u64,
    /// Of the first sequence; the next one has the next number.
    pub seed: u64,
}

/// Compares random sequences. `progress` is told how many steps have gone well so far.
///
/// # Errors
///
/// The shortest sequence that was found to fail, and how.
pub fn compare(amount: Amount, progress: impl Fn(u64) + Sync) -> Result<(), String> {
    let (next, done) = (AtomicU64::new(amount.seed), AtomicU64::new(0));
    let work = || {
        let stage = RefCell::new(Stage::new().map_err(|stop| stop.to_string())?);
        while done.load(Ordering::Relaxed) < amount.steps {
            let played = play_random(&stage, next.fetch_add(1, Ordering::Relaxed));
            if played.is_err() {
                // The others need not go on.
                done.store(amount.steps, Ordering::Relaxed);
            }
            let steps = played? as u64;
            progress(done.fetch_add(steps, Ordering::Relaxed) + steps);
        }
        Ok(())
    };
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..amount.jobs).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err("a worker panicked".to_owned())))
            .collect()
    });
    results.into_iter().collect()
}

/// Plays the sequence of a seed and says how long it is. Makes it as short as it can if it fails.
fn play_random(stage: &RefCell<Stage>, seed: u64) -> Result<usize, String> {
    let config = Config {
        cases: 1,
        rng_seed: RngSeed::Fixed(seed),
        // Failures are kept as named cases.
        failure_persistence: None,
        max_shrink_iters: TRIES_TO_SHRINK,
        max_shrink_time: u32::try_from(SHRINK_FOR.as_millis()).unwrap_or(u32::MAX),
        ..Config::default()
    };
    let sequence = proptest::collection::vec(operation::any_operation(), 1..=LONGEST_SEQUENCE);
    let steps = Cell::new(0);
    let outcome = TestRunner::new(config).run(&sequence, |operations| {
        steps.set(operations.len());
        let played = stage.borrow_mut().play(&operations);
        played.map_err(|stop| match stop {
            Stop::Redis(_) | Stop::Folder(_) => TestCaseError::reject(stop.to_string()),
            Stop::Differs(_) | Stop::Broker(..) => TestCaseError::fail(stop.to_string()),
        })
    });
    match outcome {
        Ok(()) => Ok(steps.get()),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
        Err(TestError::Fail(reason, operations)) => Err(explain(seed, &reason.to_string(), &operations)),
    }
}

fn explain(seed: u64, what: &str, operations: &[Operation]) -> String {
    let steps: Vec<String> = operations
        .iter()
        .map(|operation| format!("    {operation:?},"))
        .collect();
    format!(
        "the sequence of seed {seed} fails: {what}\n  shortest found, to be kept in model-tests/tests/cases.rs:\n{}",
        steps.join("\n")
    )
}
