//! Tells the user's function now and then whether the broker answers. Go: `healthchecker`.

use std::sync::Arc;

use crate::panic::guard_or;
use crate::runtime::Runtime;

pub(crate) async fn run(runtime: Arc<Runtime>) {
    let Some(check) = &runtime.config.health_check else {
        return;
    };
    while runtime.pause(runtime.config.health_check_interval).await {
        let answer = runtime.broker.ping().await;
        guard_or("health check", (), || check(answer.as_ref().err()));
    }
}
