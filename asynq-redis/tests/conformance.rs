//! The Redis broker shows all behaviours of a broker.

use asynq_core::Clock;
use asynq_core::conformance::random::{Step, replay};
use asynq_core::conformance::{Subject, clock};
use asynq_redis::RedisBroker;

async fn redis() -> Subject {
    let clock = clock();
    let broker = RedisBroker::builder(&asynq_fixtures::shared_redis_url())
        .clock(clock.clone() as std::sync::Arc<dyn Clock>)
        .connect()
        .await
        .expect("the Redis server of the tests");
    Subject::new(broker, clock)
}

asynq_core::broker_conformance!(redis);

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
