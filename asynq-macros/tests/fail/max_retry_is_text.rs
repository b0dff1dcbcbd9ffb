use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", max_retry = "5")]
struct Email {
    to: String,
}

fn main() {}
