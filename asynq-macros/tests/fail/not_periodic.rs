use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly")]
struct NightlyReport;

fn main() {
    let scheduler = Scheduler::new(MemoryBroker::new());
    scheduler.register_task::<NightlyReport>().unwrap();
}
