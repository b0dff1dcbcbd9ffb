use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "0 3 * * *", tz = "Europe/Pariss")]
struct NightlyReport;

fn main() {}
