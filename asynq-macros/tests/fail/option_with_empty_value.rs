use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", queue = )]
struct Email {
    to: String,
}

fn main() {}
