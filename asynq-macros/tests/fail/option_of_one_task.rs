use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", process_in = "5m")]
struct Email {
    to: String,
}

fn main() {}
