use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", max_retry = 4294967295)]
struct Email {
    to: String,
}

fn main() {}
