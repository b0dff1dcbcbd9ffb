//! The Redis broker shows all behaviours of a broker.

use std::sync::Arc;

use asynq_core::conformance::random::{Step, replay};
use asynq_core::conformance::{ScheduleSubject, Subject, clock};
use asynq_core::{Clock, ManualClock};
use asynq_redis::RedisBroker;

async fn connect(clock: &Arc<ManualClock>) -> RedisBroker {
    RedisBroker::builder(&asynq_fixtures::shared_redis_url())
        .clock(clock.clone() as Arc<dyn Clock>)
        .connect()
        .await
        .expect("the Redis server of the tests")
}

async fn redis() -> Subject {
    let clock = clock();
    Subject::new(connect(&clock).await, clock)
}

async fn redis_with_schedules() -> ScheduleSubject {
    let clock = clock();
    ScheduleSubject::new(connect(&clock).await, clock)
}

asynq_core::broker_conformance!(redis);
asynq_core::schedule_conformance!(redis_with_schedules);

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    #[test]
    fn no_sequence_of_operations_loses_a_task(
        steps in proptest::collection::vec(proptest::prelude::any::<Step>(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async { replay(&redis().await, &steps).await });
    }
}
