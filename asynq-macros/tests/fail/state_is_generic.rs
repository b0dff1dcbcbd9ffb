use asynq_server::prelude::*;

#[derive(Clone, FromRef)]
struct App<T> {
    value: T,
}

fn main() {}
