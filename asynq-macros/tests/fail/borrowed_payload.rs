use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[task(name = "send")]
async fn send(to: &str, rows: &[u8]) {
    drop((to.len(), rows.len()));
}

fn main() {}
