//! The Redis broker shows all behaviours of a broker.

use std::sync::Arc;

use asynq_core::conformance::random::{Step, replay};
use asynq_core::conformance::{InspectorSubject, Subject, clock, operate_random::replay as replay_inspected};
use asynq_core::{Clock, ManualClock};
use asynq_redis::RedisBroker;

async fn broker() -> (RedisBroker, Arc<ManualClock>) {
    let clock = clock();
    let broker = RedisBroker::builder(&asynq_fixtures::shared_redis_url())
        .clock(clock.clone() as Arc<dyn Clock>)
        .connect()
        .await
        .expect("the Redis server of the tests");
    (broker, clock)
}

async fn redis() -> Subject {
    let (broker, clock) = broker().await;
    Subject::new(broker, clock)
}

async fn inspected() -> InspectorSubject {
    let (broker, clock) = broker().await;
    InspectorSubject::new(broker, clock)
}

asynq_core::broker_conformance!(redis);
asynq_core::inspector_conformance!(inspected);

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    #[test]
    fn no_sequence_of_operations_loses_a_task(
        steps in proptest::collection::vec(proptest::prelude::any::<Step>(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async { replay(&redis().await, &steps).await });
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
