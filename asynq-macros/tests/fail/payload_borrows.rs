use asynq_server::prelude::*;
use serde::Serialize;

#[derive(Serialize, Task)]
#[task(name = "email")]
struct Email<'a> {
    to: &'a str,
}

fn main() {}
