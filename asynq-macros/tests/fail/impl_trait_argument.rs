use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[task]
async fn send(email: impl Task) {
    drop(email);
}

fn main() {}
