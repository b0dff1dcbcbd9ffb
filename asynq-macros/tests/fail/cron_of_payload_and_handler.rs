use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = "@daily")]
struct NightlyReport;

#[task(cron = "0 3 * * *")]
async fn nightly_report(report: NightlyReport) {
    drop(report);
}

fn main() {}
