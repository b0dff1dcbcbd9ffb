use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[task]
async fn send(cx: Context, email: Email) {
    drop((cx, email));
}

fn main() {
    let _ = Server::builder(MemoryBroker::new()).handler(send);
}
