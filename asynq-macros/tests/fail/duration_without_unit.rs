use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", timeout = "30")]
struct Email {
    to: String,
}

fn main() {}
