use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[derive(Clone)]
struct Mailer;

#[derive(Clone)]
struct App;

#[task]
async fn send(email: Email, State(mailer): State<Mailer>) {
    drop((email, mailer));
}

fn main() {
    let _ = Server::builder(MemoryBroker::new()).state(App).handler(send);
}
