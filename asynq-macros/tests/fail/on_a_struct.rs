use asynq_server::prelude::*;

#[task(name = "email")]
struct Email {
    to: String,
}

fn main() {}
