//! The SQLite broker shows all behaviours of a broker.

mod support;

use asynq_core::conformance::{Subject, clock};

async fn sqlite() -> Subject {
    let clock = clock();
    Subject::new(support::broker(clock.clone()).await, clock)
}

asynq_core::broker_conformance!(sqlite);
asynq_core::broker_conformance_moved_lock_time!(sqlite);
