use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email", codec = Xml)]
struct Email {
    to: String,
}

struct Xml;

fn main() {}
