use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

struct Db;

#[task(concurrency = 0, retry = 5)]
fn send(email: Email, db: Db, n: &u32) {
    drop((email, db, n));
}

fn main() {
    let _ = Server::builder(MemoryBroker::new()).handler(send);
}
