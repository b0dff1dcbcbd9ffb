//! The e-mails of a web shop, from enqueue to done, told as they happen.
//!
//! ```text
//! cargo run --example quickstart                                        # in memory
//! ASYNQ_URL=redis://127.0.0.1:6379/9 cargo run --example quickstart     # the same on Redis
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use asynq_server::prelude::*;
use asynq_server::{FixedBackoff, GroupName};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

const QUEUE: &str = "quickstart";

// What is enqueued: payloads, with the name and the default options of their tasks.

#[derive(Serialize, Deserialize)]
struct Welcome {
    name: String,
}

impl Task for Welcome {
    const TYPE: &'static str = "email:welcome";

    fn options() -> TaskOptions {
        TaskOptions::new().queue(QUEUE).unique(Duration::from_secs(60))
    }
}

#[derive(Serialize, Deserialize)]
struct Reminder {
    name: String,
    basket: Vec<String>,
}

impl Task for Reminder {
    const TYPE: &'static str = "email:reminder";

    fn options() -> TaskOptions {
        TaskOptions::new().queue(QUEUE)
    }
}

#[derive(Serialize, Deserialize)]
struct Invoice {
    number: u32,
}

impl Task for Invoice {
    const TYPE: &'static str = "email:invoice";

    fn options() -> TaskOptions {
        TaskOptions::new().queue(QUEUE).max_retry(3)
    }
}

#[derive(Serialize, Deserialize)]
struct Question {
    text: String,
}

impl Task for Question {
    const TYPE: &'static str = "email:question";

    fn options() -> TaskOptions {
        TaskOptions::new().queue(QUEUE).group("questions")
    }
}

#[derive(Serialize, Deserialize)]
struct Digest {
    questions: Vec<String>,
}

impl Task for Digest {
    const TYPE: &'static str = "email:digest";
}

// What runs them: functions.

async fn send_welcome(cx: Context, email: Welcome) -> Result<(), TaskError> {
    story(&cx).tell(format!("welcome e-mail sent to {}", email.name));
    story(&cx).done();
    Ok(())
}

async fn send_reminder(cx: Context, email: Reminder) -> Result<(), TaskError> {
    story(&cx).tell(format!(
        "{} reminded of {}",
        email.name,
        email.basket.join(" and ")
    ));
    story(&cx).done();
    Ok(())
}

async fn send_invoice(cx: Context, invoice: Invoice) -> Result<(), TaskError> {
    if cx.retried() == 0 {
        story(&cx).tell(format!(
            "invoice {} not sent: the mail server is busy; it is retried",
            invoice.number
        ));
        return Err(TaskError::new("421 try again later"));
    }
    story(&cx).tell(format!(
        "invoice {} sent at attempt {}",
        invoice.number,
        cx.retried() + 1
    ));
    story(&cx).done();
    Ok(())
}

async fn send_digest(cx: Context, digest: Digest) -> Result<(), TaskError> {
    story(&cx).tell(format!(
        "one e-mail sent for {} questions: {}",
        digest.questions.len(),
        digest.questions.join(" ")
    ));
    story(&cx).done();
    Ok(())
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
    let url = std::env::var("ASYNQ_URL").unwrap_or_else(|_| "memory://".to_owned());
    let broker = connect(&url).await?;
    let (story, mut done) = Story::begin(&url);

    let server = Server::builder(broker.clone())
        .concurrency(4)
        .queues([(QUEUE, 1)])
        .state(story.clone())
        .retry_policy(FixedBackoff(Duration::from_secs(1)))
        .group_grace_period(Duration::from_secs(1))
        .group_aggregator(merge_questions)
        .handle_typed(send_welcome)
        .handle_typed(send_reminder)
        .handle_typed(send_invoice)
        .handle_typed(send_digest)
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

fn story(cx: &Context) -> &Story {
    cx.state().expect("main gives the server a story")
}
