use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

const NIGHT: &str = "0 3 * * *";

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", cron = NIGHT)]
struct NightlyReport;

fn main() {}
