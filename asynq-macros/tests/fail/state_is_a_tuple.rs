use asynq_server::prelude::*;

#[derive(Clone, FromRef)]
struct App(String);

fn main() {}
