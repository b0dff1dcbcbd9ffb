use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly")]
struct NightlyReport {
    format: String,
}

#[task(cron = "0 3 * * *")]
async fn nightly_report(report: NightlyReport) {
    println!("{}", report.format);
}

fn main() {}
