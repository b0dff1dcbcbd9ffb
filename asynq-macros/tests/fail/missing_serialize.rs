use asynq_server::prelude::*;
use serde::Deserialize;

#[derive(Deserialize, Task)]
#[task(name = "email")]
struct Email {
    to: String,
}

fn main() {}
