use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", tz = "Europe/Paris")]
struct NightlyReport;

fn main() {}
