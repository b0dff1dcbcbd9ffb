use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "", que = "low", timeout = "soon", max_retry = "many")]
struct Email {
    to: String,
}

fn main() {}
