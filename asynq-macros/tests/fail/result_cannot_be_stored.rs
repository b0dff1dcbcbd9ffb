use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome")]
struct Email {
    to: String,
}

struct Size(usize);

#[task]
async fn send(email: Email) -> Result<Size, TaskError> {
    Ok(Size(email.to.len()))
}

fn main() {}
