use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", queue = "}low")]
struct Email {
    to: String,
}

fn main() {}
