use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "0 25 * * *")]
struct NightlyReport;

fn main() {}
