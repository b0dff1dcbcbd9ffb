use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email")]
struct Email<T> {
    to: T,
}

fn main() {}
