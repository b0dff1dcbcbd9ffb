use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

#[task(name = "send")]
async fn send((to, from): (String, String)) {
    drop((to, from));
}

fn main() {}
