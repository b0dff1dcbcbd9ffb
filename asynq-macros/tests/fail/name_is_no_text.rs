use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = 7)]
struct Email {
    to: String,
}

fn main() {}
