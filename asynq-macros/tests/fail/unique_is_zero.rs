use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", unique = "0s")]
struct Email {
    to: String,
}

fn main() {}
