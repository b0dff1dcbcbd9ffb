use asynq_server::prelude::*;

#[derive(Task)]
#[task(name = "email")]
struct Email {
    to: String,
}

fn main() {}
