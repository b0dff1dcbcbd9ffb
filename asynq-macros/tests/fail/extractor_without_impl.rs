use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

struct Db;

#[task]
async fn send(email: Email, #[extract] db: Db) {
    drop((email, db));
}

fn main() {
    let _ = Server::builder(MemoryBroker::new()).handler(send);
}
