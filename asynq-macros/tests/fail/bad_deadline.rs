use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", deadline = "2030-02-30T00:00:00Z")]
struct Email {
    to: String,
}

fn main() {}
