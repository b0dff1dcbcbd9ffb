use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(10);

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", timeout = TIMEOUT)]
struct Email;

fn main() {}
