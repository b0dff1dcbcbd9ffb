use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", codec = "xml")]
struct Email {
    to: String,
}

fn main() {}
