use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

struct Sender;

impl Sender {
    #[task]
    async fn send(&self, email: Email) {
        drop(email);
    }
}

fn main() {}
