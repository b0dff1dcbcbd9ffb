//! The e-mails of a web shop, from enqueue to done, told as they happen.
//!
//! ```text
//! cargo run --example quickstart                                        # in an SQLite file, deleted at the end
//! ASYNQ_URL=memory:// cargo run --example quickstart                    # the same in memory
//! ASYNQ_URL=redis://127.0.0.1:6379/9 cargo run --example quickstart     # or on Redis
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asynq_server::GroupName;
use asynq_server::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

const QUEUE: &str = "quickstart";

// What is enqueued: payloads, with the name and the default options of their tasks.

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome", queue = QUEUE, unique = "1m")]
struct Welcome {
    name: String,
}

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:reminder", queue = QUEUE)]
struct Reminder {
    name: String,
    basket: Vec<String>,
}

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:question", queue = QUEUE, group = "questions")]
struct Question {
    text: String,
}

#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:digest")]
struct Digest {
    questions: Vec<String>,
}

// What runs them: functions.

#[task]
async fn send_welcome(email: Welcome, State(story): State<Story>) {
    story.tell(format!("welcome e-mail sent to {}", email.name));
    story.done();
}

#[task]
async fn send_reminder(email: Reminder, State(story): State<Story>) {
    story.tell(format!(
        "{} reminded of {}",
        email.name,
        email.basket.join(" and ")
    ));
    story.done();
}

/// Its arguments are the payload: `Invoice { number }`.
#[task(name = "email:invoice", payload = Invoice, queue = QUEUE, max_retry = 3, backoff = "fixed(1s)")]
async fn send_invoice(
    number: u32,
    State(story): State<Story>,
    Attempt(attempt): Attempt,
) -> Result<(), TaskError> {
    if attempt == 1 {
        story.tell(format!(
            "invoice {number} not sent: the mail server is busy; it is retried"
        ));
        return Err(TaskError::new("421 try again later"));
    }
    story.tell(format!("invoice {number} sent at attempt {attempt}"));
    story.done();
    Ok(())
}

#[task]
async fn send_digest(digest: Digest, State(story): State<Story>) {
    story.tell(format!(
        "one e-mail sent for {} questions: {}",
        digest.questions.len(),
        digest.questions.join(" ")
    ));
    story.done();
}

/// Questions that gather for a second go out as one e-mail.
async fn merge_questions(_: GroupName, tasks: Vec<RawTask>) -> Result<RawTask, TaskError> {
    let mut questions = Vec::new();
    for task in &tasks {
        questions.push(task.decode::<Question>()?.text);
    }
    Ok(RawTask::new(Digest::TYPE, Digest { questions }.encode()?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Folder::new()?;
    let url = std::env::var("ASYNQ_URL").unwrap_or_else(|_| folder.url());
    let broker = connect(&url).await?;
    let (story, mut done) = Story::begin(&url);

    let server = Server::builder(broker.clone())
        .concurrency(4)
        .queues([(QUEUE, 1)])
        .state(story.clone())
        .group_grace_period(Duration::from_secs(1))
        .group_aggregator(merge_questions)
        .handlers(tasks![send_welcome, send_reminder, send_invoice, send_digest])
        .build()?;
    server.start().await?;

    let client = Client::from_shared(broker);
    let ann = || "Ann".to_owned();

    // A double click: two requests, one welcome.
    let clicks = [Welcome { name: ann() }, Welcome { name: ann() }];
    for answer in client.enqueue_all(clicks).await {
        match answer {
            Ok(_) => story.tell("Ann signs up: a welcome e-mail is enqueued"),
            Err(error) if error.is_duplicate() => {
                story.tell("Ann clicked twice: the second is refused as a duplicate")
            }
            Err(error) => return Err(error.into()),
        }
    }

    let basket = vec!["a teapot".to_owned(), "two cups".to_owned()];
    let reminder = Reminder { name: ann(), basket }.process_in(Duration::from_secs(2));
    client.enqueue(reminder).await?;
    story.tell("Ann leaves without buying: a reminder is due in two seconds");

    client.enqueue(Invoice { number: 7 }).await?;
    story.tell("Ben buys a teapot: invoice 7 is enqueued");

    let questions = ["Is it dishwasher-safe?", "Does it whistle?", "May I return it?"];
    let questions = questions.map(|text| Question {
        text: text.to_owned(),
    });
    for answer in client.enqueue_all(questions).await {
        answer?;
    }
    story.tell("three customers ask questions: they wait for each other in a group");

    let all = async {
        for _ in 0..4 {
            done.recv().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(12), all)
        .await
        .map_err(|_| "not everything was done in time")?;

    server.shutdown().await;
    story.tell("everything is done and the worker has shut down");
    Ok(())
}

/// A place for the SQLite file, deleted when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("asynq-quickstart-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.join("tasks.db").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Prints what happens, with the time since the beginning.
#[derive(Clone)]
struct Story {
    begun: Arc<Instant>,
    done: mpsc::UnboundedSender<()>,
}

impl Story {
    fn begin(url: &str) -> (Self, mpsc::UnboundedReceiver<()>) {
        // A URL may hold a password.
        let scheme = url.split("://").next().unwrap_or_default();
        println!("A web shop and its e-mails, with tasks kept by {scheme}\n");
        let (done, receiver) = mpsc::unbounded_channel();
        (
            Story {
                begun: Arc::new(Instant::now()),
                done,
            },
            receiver,
        )
    }

    fn tell(&self, line: impl AsRef<str>) {
        println!("{:>7.3} s  {}", self.begun.elapsed().as_secs_f64(), line.as_ref());
    }

    fn done(&self) {
        let _ = self.done.send(());
    }
}
