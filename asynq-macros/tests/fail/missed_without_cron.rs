use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", missed = "skip")]
struct NightlyReport;

fn main() {}
