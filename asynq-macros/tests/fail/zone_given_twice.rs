use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "TZ=UTC 0 3 * * *", tz = "Europe/Paris")]
struct NightlyReport;

fn main() {}
