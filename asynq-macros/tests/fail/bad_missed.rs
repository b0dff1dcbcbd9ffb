use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "0 3 * * *", missed = "all")]
struct NightlyReport;

fn main() {}
