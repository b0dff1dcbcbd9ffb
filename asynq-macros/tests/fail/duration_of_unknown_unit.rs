use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", retention = "1y")]
struct Email {
    to: String,
}

fn main() {}
