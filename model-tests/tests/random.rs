//! Random sequences. `ASYNQ_MODEL_STEPS` sets how many steps are taken; `cargo xtask model` has progress and seeds.

use asynq_model_tests::{Amount, compare};

#[test]
fn every_broker_behaves_as_the_model() {
    let steps = std::env::var("ASYNQ_MODEL_STEPS").map_or(2_000, |steps| steps.parse().expect("a number"));
    let amount = Amount {
        steps,
        jobs: 2,
        seed: 1,
    };

    if let Err(what) = compare(amount, drop) {
        panic!("{what}");
    }
}
