use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[task(name = "email")]
#[derive(Serialize, Deserialize, Task)]
struct Email {
    to: String,
}

fn main() {}
