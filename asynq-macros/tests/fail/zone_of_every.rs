use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "@every 1h", tz = "Europe/Paris")]
struct NightlyReport;

fn main() {}
