use asynq_server::prelude::*;

#[derive(Task)]
#[task(name = "email")]
union Email {
    a: u8,
    b: i8,
}

fn main() {}
