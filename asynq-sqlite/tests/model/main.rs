//! One plain model, and brokers that must behave as it does: random operations by users, servers and time are carried out
//! on all of them, and after every step everything that can be seen is compared.
//!
//! `ASYNQ_MODEL_STEPS` sets how many steps are taken, 20,000 unless set. A sequence that fails is shrunk by proptest;
//! keep it as a test of its own in `cases.rs`.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod cases;
mod operation;
mod reference;
#[path = "../support/mod.rs"]
mod support;
mod system;

use std::sync::Arc;
use std::time::Duration;

use asynq_core::{Broker, ManualClock, MemoryBroker};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use operation::{Operation, START};
use reference::Model;
use system::System;

const STEPS_OF_A_CASE: usize = 100;

async fn memory(clock: Arc<ManualClock>) -> Arc<dyn Broker> {
    Arc::new(MemoryBroker::with_clock(clock))
}

async fn sqlite(clock: Arc<ManualClock>) -> Arc<dyn Broker> {
    Arc::new(support::broker(clock).await)
}

/// Carries out the operations on the model and on each broker.
async fn run(operations: &[Operation]) {
    let mut model = Model::default();
    let mut systems = Vec::new();
    for name in ["memory", "sqlite"] {
        let clock = Arc::new(ManualClock::at(START));
        let broker = match name {
            "memory" => memory(clock.clone()).await,
            _ => sqlite(clock.clone()).await,
        };
        systems.push(System::new(name, broker, clock));
    }
    for (step, operation) in operations.iter().enumerate() {
        if operation.needs_own_moment() {
            let moment = Operation::Advance(Duration::from_micros(1));
            model.carry_out(&moment);
            for system in &mut systems {
                system.carry_out(&moment).await;
            }
        }
        let expected = model.carry_out(operation);
        for system in &mut systems {
            let answer = system.carry_out(operation).await;
            assert_eq!(
                answer,
                expected,
                "answer of {} to step {step}: {operation:?}",
                system.name()
            );
            assert_eq!(
                system.view().await,
                model.view(),
                "what {} shows after step {step}: {operation:?}",
                system.name()
            );
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future);
}

#[test]
fn every_broker_behaves_as_the_model() {
    let steps: usize = std::env::var("ASYNQ_MODEL_STEPS").map_or(20_000, |steps| steps.parse().unwrap());
    let cases = u32::try_from(steps.div_ceil(STEPS_OF_A_CASE)).unwrap();
    let mut config = Config::with_cases(cases);
    // Failures are kept as named cases.
    config.failure_persistence = None;
    config.max_shrink_time = 20_000;
    config.max_shrink_iters = 400;
    let operations = proptest::collection::vec(operation::any_operation(), STEPS_OF_A_CASE);

    let outcome = TestRunner::new(config).run(&operations, |operations| {
        // Files are deleted with the thread that made them.
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| block_on(run(&operations))).join();
            ran.map_err(|panic| TestCaseError::fail(text_of(&*panic)))
        })
    });

    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
