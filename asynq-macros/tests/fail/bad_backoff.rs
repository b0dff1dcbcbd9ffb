use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[task(backoff = "exp(10m..2s)")]
async fn send(email: Email) {
    drop(email);
}

fn main() {}
