use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", retries = 3, ttl = "1h")]
struct Email {
    to: String,
}

fn main() {}
