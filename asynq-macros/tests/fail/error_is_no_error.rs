use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

struct Oops;

#[task]
async fn send(email: Email) -> Result<(), Oops> {
    drop(email);
    Err(Oops)
}

fn main() {}
