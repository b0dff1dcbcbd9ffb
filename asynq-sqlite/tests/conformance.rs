//! The SQLite broker shows all behaviours of a broker.

mod support;

use asynq_core::conformance::random::{Step, replay};
use asynq_core::conformance::{InspectorSubject, Subject, clock, operate_random::replay as replay_inspected};

async fn sqlite() -> Subject {
    let clock = clock();
    Subject::new(support::broker(clock.clone()).await, clock)
}

async fn inspected() -> InspectorSubject {
    let clock = clock();
    InspectorSubject::new(support::broker(clock.clone()).await, clock)
}

asynq_core::broker_conformance!(sqlite);
asynq_core::inspector_conformance!(inspected);
asynq_core::broker_conformance_moved_lock_time!(sqlite);

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    #[test]
    fn no_sequence_of_operations_loses_a_task(
        steps in proptest::collection::vec(proptest::prelude::any::<Step>(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async { replay(&sqlite().await, &steps).await });
    }

    #[test]
    fn no_sequence_with_an_inspector_loses_a_task(
        steps in proptest::collection::vec(proptest::prelude::any::<Step>(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .expect("a runtime")
            .block_on(async { replay_inspected(&inspected().await, &steps).await });
    }
}
