use asynq_server::prelude::*;

#[derive(Clone, FromRef)]
struct App {
    read: String,
    write: String,
}

fn main() {}
