use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", timeout = "1.5s")]
struct Email {
    to: String,
}

fn main() {}
