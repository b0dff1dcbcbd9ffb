use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[task(name = "email:bye")]
async fn send(email: Email) {
    drop(email);
}

fn main() {}
