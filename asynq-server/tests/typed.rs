//! Typed tasks and handlers, with macros and without, on the memory broker.
#![cfg(feature = "macros")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asynq_server::prelude::*;
use asynq_server::{
    BoxError, CancelReason, Codec, FixedBackoff, FromTask, Handlers, Inspect, JsonCodec, Nothing, Policy,
    QueueName, TaskParts, WaitError, blocking_handler_fn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

const HOUR: Duration = Duration::from_secs(3600);
const QUEUE: &str = "from-a-constant";

#[derive(Debug, PartialEq, Serialize, Deserialize, Task)]
#[task(
    name = "email:welcome",
    queue = "critical",
    max_retry = 5,
    timeout = "30s",
    deadline = "2100-01-31T12:00:00Z",
    retention = "1h",
    unique = "10m",
    group = "greetings",
    alias = "mail:welcome",
    alias = "mail:hello"
)]
struct WelcomeEmail {
    username: String,
}

/// Its options are constants.
#[derive(Serialize, Deserialize, Task)]
#[task(name = Constant::NAME, queue = QUEUE, timeout = HOUR, max_retry = 2 + 1, codec = "json")]
struct Constant;

impl Constant {
    const NAME: &'static str = "constant";
}

#[derive(Serialize, Deserialize, Task)]
#[task(name = "shape")]
enum Shape {
    Circle { radius: u32 },
    Square(u32),
}

mod digits {
    use super::*;

    pub(crate) struct Digits;

    impl Codec<Ticket> for Digits {
        fn encode(ticket: &Ticket) -> Result<bytes::Bytes, BoxError> {
            Ok(ticket.0.to_string().into())
        }

        fn decode(payload: &[u8]) -> Result<Ticket, BoxError> {
            Ok(Ticket(std::str::from_utf8(payload)?.parse()?))
        }
    }
}

/// Without serde.
#[derive(Debug, PartialEq, Task)]
#[task(name = "ticket", codec = digits::Digits)]
struct Ticket(u32);

#[derive(Clone, Default)]
struct Mailer(Arc<Mutex<Vec<String>>>);

impl Mailer {
    async fn send(&self, text: impl Into<String>) {
        self.0.lock().await.push(text.into());
    }
}

#[derive(Clone, Default)]
struct Store(Arc<AtomicUsize>);

#[derive(Clone, Default, FromRef)]
struct App {
    mailer: Mailer,
    store: Store,
    #[from_ref(skip)]
    _other: Mailer,
}

#[derive(Debug, thiserror::Error)]
#[error("no mail to {0}")]
struct MailError(String);

/// Sends a welcome.
#[task]
async fn send_welcome(
    email: WelcomeEmail,
    State(mailer): State<Mailer>,
    cx: Context,
) -> Result<(), MailError> {
    if email.username.is_empty() {
        return Err(MailError(cx.queue().to_string()));
    }
    mailer.send(format!("welcome, {}", email.username)).await;
    Ok(())
}

#[task(
    name = "image:resize",
    queue = "low",
    retention = "1h",
    derive(Debug, Clone, PartialEq)
)]
async fn resize_image(
    /// Where the image is.
    url: String,
    #[serde(default)] width: u32,
    State(store): State<Store>,
) -> Result<u64, MailError> {
    store.0.fetch_add(1, Ordering::Relaxed);
    Ok(url.len() as u64 * u64::from(width))
}

/// An extractor of the user's.
struct Tenant(String);

impl FromTask for Tenant {
    type Needs = Nothing;

    async fn from_task(task: TaskParts<'_>, _: Nothing) -> Result<Self, TaskError> {
        let tenant = task.task.headers.get("tenant").cloned();
        tenant
            .map(Tenant)
            .ok_or_else(|| TaskError::new("no tenant").skip_retry())
    }
}

#[derive(Serialize, Deserialize, Task)]
#[task(name = "all", retention = "1h")]
struct All;

#[task]
async fn ask_for_everything(
    All: All,
    id: TaskId,
    queue: QueueName,
    Attempt(attempt): Attempt,
    headers: Headers,
    raw: RawTask,
    #[extract] Tenant(tenant): Tenant,
    State(app): State<App>,
) -> Result<String, TaskError> {
    drop(app);
    Ok(format!(
        "{id} {queue} {attempt} {} {} {tenant}",
        headers.len(),
        raw.task_type
    ))
}

async fn run<S: Clone + Send + Sync + 'static>(
    broker: &MemoryBroker,
    state: S,
    handlers: impl FnOnce(Handlers<S>) -> Handlers<S>,
) -> Server {
    let server = Server::builder(broker.clone())
        .queues([("default", 1), ("critical", 1), ("low", 1)])
        .state(state)
        .handlers(handlers)
        .build()
        .unwrap();
    server.start().await.unwrap();
    server
}

async fn until(broker: &MemoryBroker, info: &TaskInfo, state: TaskState) -> TaskInfo {
    let found = async {
        loop {
            let task = broker.task(info.queue(), info.id()).await.unwrap();
            if let Some(task) = task.filter(|task| task.state == state) {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), found)
        .await
        .unwrap_or_else(|_| panic!("{} is not {state}", info.id()))
}

fn options_of<T: Task>() -> TaskOptions {
    T::options()
}

#[test]
fn options_travel_with_the_type() {
    let end = std::time::UNIX_EPOCH + Duration::from_secs(4_105_080_000);
    let expected = TaskOptions::new()
        .queue("critical")
        .max_retry(5)
        .timeout(Duration::from_secs(30))
        .deadline(end)
        .retention(HOUR)
        .unique(Duration::from_secs(600))
        .group("greetings");

    assert_eq!(WelcomeEmail::TYPE, "email:welcome");
    assert_eq!(WelcomeEmail::ALIASES, ["mail:welcome", "mail:hello"]);
    assert_eq!(options_of::<WelcomeEmail>(), expected);
    assert_eq!(options_of::<Shape>(), TaskOptions::new());
}

#[test]
fn options_may_be_constants() {
    let expected = TaskOptions::new().queue(QUEUE).timeout(HOUR).max_retry(3);

    assert_eq!(Constant::TYPE, "constant");
    assert_eq!(options_of::<Constant>(), expected);
}

#[test]
fn a_codec_of_the_users_needs_no_serde() {
    assert_eq!(&Ticket(7).encode().unwrap()[..], b"7");
    assert_eq!(Ticket::decode(b"7").unwrap(), Ticket(7));
    assert_eq!(
        Ticket::decode(b"x").unwrap_err().to_string(),
        "cannot decode the payload of task type \"ticket\": invalid digit found in string"
    );
}

#[test]
fn an_enum_is_a_payload() {
    let json = Shape::Circle { radius: 2 }.encode().unwrap();

    assert_eq!(&json[..], br#"{"Circle":{"radius":2}}"#);
    assert!(matches!(Shape::decode(br#"{"Square":3}"#), Ok(Shape::Square(3))));
}

#[tokio::test]
async fn handlers_stay_callable_as_functions() {
    let (mailer, store) = (Mailer::default(), Store::default());
    let cx = Context::for_test();
    let welcome = WelcomeEmail {
        username: "ann".into(),
    };

    send_welcome(welcome, State(mailer.clone()), cx).await.unwrap();
    let pixels = resize_image("cat.png".into(), 3, State(store)).await.unwrap();

    assert_eq!(*mailer.0.lock().await, ["welcome, ann"]);
    assert_eq!(pixels, 21);
    assert_eq!(double(21).unwrap(), 42);
}

#[task(name = "count:down")]
async fn count_down(from: u32) -> Result<u32, TaskError> {
    if from == 0 {
        return Ok(0);
    }
    count_down(from - 1).await.map(|steps| steps + 1)
}

#[tokio::test]
async fn a_handler_can_call_itself_and_run_beside_others() {
    let steps = tokio::spawn(count_down(3));

    assert_eq!(steps.await.unwrap().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_typed_handler_gets_its_payload_state_and_context() {
    let broker = MemoryBroker::new();
    let app = App::default();
    let server = run(&broker, app.clone(), tasks![send_welcome]).await;

    let client = Client::new(broker.clone());
    let raw = RawTask::new("mail:hello", r#"{"username":"ben"}"#).retention(HOUR);
    let info = client.enqueue(raw).await.unwrap();
    until(&broker, &info, TaskState::Completed).await;
    server.shutdown().await;

    assert_eq!(*app.mailer.0.lock().await, ["welcome, ben"]);
}

#[tokio::test(start_paused = true)]
async fn arguments_can_be_the_payload() {
    let broker = MemoryBroker::new();
    let server = run(&broker, App::default(), tasks![resize_image]).await;
    let task = ResizeImage {
        url: "cat.png".into(),
        width: 3,
    };
    assert_eq!(
        task.clone(),
        ResizeImage::decode(&task.encode().unwrap()).unwrap()
    );

    let client = Client::new(broker.clone());
    let info = client.enqueue(task).await.unwrap();
    let info = until(&broker, &info, TaskState::Completed).await;
    server.shutdown().await;

    assert_eq!(info.queue(), &QueueName::new("low").unwrap());
    assert_eq!(info.result.as_deref(), Some(&b"21"[..]));
}

#[tokio::test(start_paused = true)]
async fn everything_can_be_asked_for() {
    let broker = MemoryBroker::new();
    let server = run(&broker, App::default(), tasks![ask_for_everything]).await;

    let client = Client::new(broker.clone());
    let task = All.task_id("7").header("tenant", "acme");
    let info = client.enqueue(task).await.unwrap();
    let info = until(&broker, &info, TaskState::Completed).await;
    let refused = client.enqueue(All.task_id("8")).await.unwrap();
    let refused = until(&broker, &refused, TaskState::Archived).await;
    server.shutdown().await;

    assert_eq!(info.result.as_deref(), Some(&b"7 default 1 1 all acme"[..]));
    assert_eq!(refused.message.last_error, "no tenant");
}

#[derive(Serialize, Deserialize, Task)]
#[task(name = "flaky")]
struct Flaky;

#[task(backoff = "fixed(7s)")]
async fn fail(_: Flaky) -> Result<(), &'static str> {
    Err("no")
}

#[task(backoff = FixedBackoff(Duration::from_secs(9)), on_decode_error = "retry", crate = asynq_server)]
async fn fail_otherwise(_: Flaky) -> Result<(), TaskError> {
    Err(TaskError::new("no"))
}

#[tokio::test(start_paused = true)]
async fn the_backoff_is_that_of_the_handler() {
    type List = fn(Handlers) -> Handlers;
    let lists: [(List, u64); 2] = [(tasks![fail], 7), (tasks![fail_otherwise], 9)];
    for (handler, seconds) in lists {
        let broker = MemoryBroker::new();
        let server = run(&broker, (), handler).await;

        let info = Client::new(broker.clone()).enqueue(Flaky).await.unwrap();
        let info = until(&broker, &info, TaskState::Retry).await;
        server.shutdown().await;

        let failed = info.message.last_failed_at.unwrap();
        let wait = info.next_process_at.unwrap().saturating_since(failed);
        assert!(wait.as_secs().abs_diff(seconds) <= 1, "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_is_archived_or_retried_as_the_handler_says() {
    type List = fn(Handlers) -> Handlers;
    let lists: [(List, TaskState); 2] = [
        (tasks![fail], TaskState::Archived),
        (tasks![fail_otherwise], TaskState::Retry),
    ];
    for (handler, state) in lists {
        let broker = MemoryBroker::new();
        let server = run(&broker, (), handler).await;

        let bad = RawTask::new("flaky", "[1]");
        let info = Client::new(broker.clone()).enqueue(bad).await.unwrap();
        let info = until(&broker, &info, state).await;
        server.shutdown().await;

        let error = &info.message.last_error;
        assert!(
            error.contains("\"flaky\"") && error.contains("typed::Flaky"),
            "{error}"
        );
    }
}

#[derive(Clone, Default)]
struct Gauge {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
}

#[task(name = "slow", retention = "1h", concurrency = 2)]
async fn slow(State(gauge): State<Gauge>) {
    let now = gauge.now.fetch_add(1, Ordering::SeqCst) + 1;
    gauge.most.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    gauge.now.fetch_sub(1, Ordering::SeqCst);
    gauge.runs.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_the_handler_allows_and_all_run() {
    let broker = MemoryBroker::new();
    let gauge = Gauge::default();
    let server = Server::builder(broker.clone())
        .concurrency(20)
        .state(gauge.clone())
        .handler(slow)
        .build()
        .unwrap();
    server.start().await.unwrap();

    let client = Client::new(broker.clone());
    for answer in client.enqueue_all((0..15).map(|_| Slow {})).await {
        let info = answer.unwrap();
        drop(info);
    }
    while gauge.runs.load(Ordering::SeqCst) < 15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.shutdown().await;

    assert_eq!(gauge.most.load(Ordering::SeqCst), 2);
}

#[task(name = "endless", max_retry = 0, timeout_cap = "250ms")]
async fn endless() {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_at_its_cap() {
    let broker = MemoryBroker::new();
    let server = run(&broker, (), tasks![endless]).await;

    let info = Client::new(broker.clone()).enqueue(Endless {}).await.unwrap();
    let info = until(&broker, &info, TaskState::Archived).await;
    server.shutdown().await;

    assert_eq!(
        info.message.last_error,
        "the handler ran longer than its cap of 250ms"
    );
}

#[task(name = "double", retention = "1h", blocking)]
fn double(n: u32) -> Result<u32, TaskError> {
    Ok(n * 2)
}

/// A blocking handler that looks whether it is to stop.
#[task(name = "busy", blocking)]
fn busy(cx: Context) -> Result<(), TaskError> {
    while !cx.is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(cx.cancel_reason(), Some(CancelReason::Requested));
    Err(TaskError::new("stopped").skip_retry())
}

#[tokio::test]
async fn a_blocking_handler_runs_on_a_thread_and_keeps_its_slot_until_it_returns() {
    let broker = MemoryBroker::new();
    let server = run(&broker, (), tasks![double, busy]).await;
    let client = Client::new(broker.clone());

    let info = client.enqueue(Double { n: 21 }).await.unwrap();
    let doubled = until(&broker, &info, TaskState::Completed).await;
    let info = client.enqueue(Busy {}).await.unwrap();
    until(&broker, &info, TaskState::Active).await;
    broker.cancel(None, info.id()).await.unwrap();
    let stopped = until(&broker, &info, TaskState::Archived).await;
    server.shutdown().await;

    assert_eq!(doubled.result.as_deref(), Some(&b"42"[..]));
    assert_eq!(stopped.message.last_error, "stopped");
}

#[derive(Serialize, Deserialize)]
struct ByHand {
    n: u32,
}

impl Task for ByHand {
    const TYPE: &'static str = "by-hand";
    type Codec = JsonCodec;

    fn options() -> TaskOptions {
        TaskOptions::new().retention(HOUR)
    }
}

async fn count(task: ByHand, State(store): State<Store>, Attempt(attempt): Attempt) -> Result<(), TaskError> {
    store
        .0
        .fetch_add(task.n as usize * attempt as usize, Ordering::Relaxed);
    Ok(())
}

fn count_slowly(task: ByHand, State(store): State<Store>) {
    store.0.fetch_add(task.n as usize, Ordering::Relaxed);
}

#[tokio::test]
async fn everything_works_without_macros() {
    fn policy() -> Policy {
        Policy::new().concurrency(1)
    }
    let lists: [fn(Handlers<App>) -> Handlers<App>; 2] = [
        |list| list.handler(handler_fn(count).with_policy(policy())),
        |list| list.handler(blocking_handler_fn(count_slowly).with_policy(policy())),
    ];
    for handler in lists {
        let broker = MemoryBroker::new();
        let app = App::default();
        let server = run(&broker, app.clone(), handler).await;

        let info = Client::new(broker.clone())
            .enqueue(ByHand { n: 5 })
            .await
            .unwrap();
        until(&broker, &info, TaskState::Completed).await;
        server.shutdown().await;

        assert_eq!(app.store.0.load(Ordering::Relaxed), 5);
    }
}

#[test]
fn two_handlers_of_one_type_are_refused_by_name() {
    let builder = Server::builder(MemoryBroker::new()).handlers(tasks![fail, fail_otherwise]);

    let error = builder.build().err().unwrap().to_string();

    assert_eq!(
        error,
        "both typed::fail and typed::fail_otherwise handle tasks of type \"flaky\"; a task type has one handler"
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Size {
    width: u32,
    height: u32,
}

#[task(name = "measure", retention = "1m", max_retry = 0)]
async fn measure(url: String) -> Result<Size, MailError> {
    if url.is_empty() {
        return Err(MailError("nowhere".into()));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    Ok(Size { width: 3, height: 4 })
}

#[task(name = "say", retention = "1m")]
async fn say(text: String) -> Result<String, TaskError> {
    Ok(text)
}

#[tokio::test(start_paused = true)]
async fn a_typed_result_is_waited_for() {
    let broker = MemoryBroker::new();
    let server = run(&broker, App::default(), tasks![measure, say, resize_image]).await;
    let client = Client::new(broker);
    let cat = || Measure {
        url: "cat.png".into(),
    };

    let size: Size = client.enqueue(cat()).await.unwrap().result().await.unwrap();
    let text: String = client
        .enqueue(Say { text: "7".into() })
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    let resize = ResizeImage {
        url: "cat.png".into(),
        width: 2,
    };
    let pixels = client
        .enqueue(resize)
        .await
        .unwrap()
        .result::<u64>()
        .await
        .unwrap();
    let failed = client.enqueue(Measure { url: String::new() }).await.unwrap();
    let failed = failed.result::<Size>().await.unwrap_err();
    let slow = client.enqueue(cat()).await.unwrap();
    let slow = slow
        .result::<Size>()
        .timeout(Duration::from_secs(2))
        .await
        .unwrap_err();
    let wrong = client.enqueue(Say { text: "x".into() }).await.unwrap();
    let wrong = wrong.result::<u64>().await.unwrap_err();
    let gone = client
        .enqueue(Flaky)
        .await
        .unwrap()
        .result::<u64>()
        .await
        .unwrap_err();
    server.shutdown().await;

    assert_eq!(
        (size, text.as_str(), pixels),
        (Size { width: 3, height: 4 }, "7", 14)
    );
    assert!(matches!(failed, WaitError::Failed { error, .. } if error == "no mail to nowhere"));
    assert!(matches!(slow, WaitError::TimedOut { .. }));
    assert!(matches!(wrong, WaitError::Decode { .. }));
    assert!(matches!(gone, WaitError::NotRetained { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_says_which_type_field_and_place() {
    let broker = MemoryBroker::new();
    let server = run(&broker, (), tasks![measure]).await;

    let bad = RawTask::new("measure", r#"{"unknown": [], "url": 7}"#);
    let info = Client::new(broker.clone()).enqueue(bad).await.unwrap();
    let info = until(&broker, &info, TaskState::Archived).await;
    server.shutdown().await;

    assert_eq!(
        info.message.last_error,
        "cannot decode the payload of task type \"measure\": typed::Measure, field `url`: \
         invalid type: integer `7`, expected a string at line 1 column 24"
    );
}
