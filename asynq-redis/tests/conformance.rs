//! The Redis broker shows all behaviours of a broker.

use asynq_core::Clock;
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
