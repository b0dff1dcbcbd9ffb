use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", corn = "0 3 * * *", timezone = "Europe/Paris")]
struct NightlyReport;

fn main() {}
