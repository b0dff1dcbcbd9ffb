use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Email;

#[task]
async fn send(email: Email) {
    drop(email);
}

fn main() {}
