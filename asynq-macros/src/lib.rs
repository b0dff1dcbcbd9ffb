//! Macros of the asynq task queue. Use them through `asynq-server`, or through `asynq-core` with its feature `derive`
//! in a program that only enqueues; they are documented there.
//!
//! | macro | of |
//! |---|---|
//! | `#[derive(Task)]` | a payload type: its name, its options, its codec |
//! | `#[task]` | a function: a handler of a payload type, or of a payload made of its arguments |
//! | `#[derive(FromRef)]` | the state of a program: each field can be asked for by handlers |
//!
//! Every macro gathers all mistakes of its item and reports each at its token. An item with mistakes is still emitted,
//! with an implementation that does nothing, so that no further errors follow from the first.

mod attr;
mod callable;
mod errors;
mod from_ref;
mod function;
mod handler;
mod made_payload;
mod payload;
mod payload_options;
mod policy;
mod schedule;
#[cfg(test)]
mod snapshots;
mod spec;
mod task_handler;
mod valid;
mod values;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

// `asynq-core` and `asynq-server` re-export one each as `Task`: they differ in the path of what they generate.
#[doc = include_str!("derive_task.md")]
#[proc_macro_derive(CoreTask, attributes(task))]
pub fn derive_core_task(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    payload::derive(&item, &quote!(::asynq_core)).into()
}

#[doc = include_str!("derive_task.md")]
#[proc_macro_derive(ServerTask, attributes(task))]
pub fn derive_server_task(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    payload::derive(&item, &quote!(::asynq_server)).into()
}

/// Lets handlers ask for the fields of a program's state: `impl FromRef<App>` for the type of each field, by cloning
/// it.
///
/// ```ignore
/// #[derive(Clone, FromRef)]
/// struct App {
///     mailer: Mailer,
///     #[from_ref(skip)]
///     started: Instant,
/// }
/// ```
#[proc_macro_derive(FromRef, attributes(from_ref))]
pub fn derive_from_ref(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    from_ref::derive(&item).into()
}

/// Makes a function a task handler. It stays callable as the function it was.
///
/// The payload comes first, then whatever else the handler needs, in any order:
///
/// ```ignore
/// #[task(backoff = "exp(2s..10m)", concurrency = 20)]
/// async fn send_welcome(email: WelcomeEmail, State(mailer): State<Mailer>, cx: Context) -> Result<(), MailError> {
///     mailer.send(&email.username).await
/// }
/// ```
///
/// With a `name`, the arguments are the payload, and its type is made from them: here `Resize { url, width }`, with
/// the options of `#[derive(Task)]`.
///
/// ```ignore
/// #[task(name = "image:resize", queue = "low")]
/// async fn resize(url: String, width: u32, State(store): State<Store>) -> Result<u64, StoreError> {
///     store.resize(&url, width).await
/// }
/// // client.enqueue(Resize { url, width })
/// ```
///
/// With `cron` the clock enqueues its task, by a scheduler of `asynq-scheduler` that is told of it (feature `scheduler`):
///
/// ```ignore
/// #[task(name = "report:nightly", queue = "low", cron = "0 3 * * *", tz = "Europe/Paris")]
/// async fn nightly_report(State(store): State<Store>) -> Result<(), StoreError> {
///     store.report().await
/// }
/// // scheduler.register_all(server.schedules()), or one of them: scheduler.register_task::<NightlyReport>()
/// ```
///
/// # Arguments
///
/// `State<T>`, `Context`, `TaskId`, `QueueName`, `Attempt`, `Headers`, `RawTask`, and your own types that implement
/// `FromTask`, marked with `#[extract]`: `#[extract] tenant: Tenant`.
///
/// # What it returns
///
/// `()`, an `Outcome`, or `Result<T, E>` with an error `E` that `?` could turn into a `TaskError`. `T` is stored as the
/// result of a task with retention: bytes and text as they are, anything else that is `Serialize` as JSON.
///
/// # Options
///
/// | option | value | meaning |
/// |---|---|---|
/// | `backoff` | `"exp(2s..10m)"`, `"fixed(5s)"` or a `RetryPolicy` | how long a failed task waits for its next attempt |
/// | `concurrency` | number | how many run at once in one process |
/// | `timeout_cap` | duration | how long it may run, whatever longer time the task itself allows; below a second too |
/// | `on_decode_error` | `"archive"` or `"retry"` | what becomes of a payload that does not decode; archived when not set |
/// | `blocking` | – | for a `fn` that is not async: runs it on a thread that may block |
/// | `cron`, `tz`, `missed` | as of `#[derive(Task)]` | when the clock enqueues its payload, which is made by `Default` |
/// | `collect` | path | adds it to the list that `collect!` declared there (feature `linkme`) |
/// | `crate` | path | where `asynq-server` is found when it is renamed or re-exported |
///
/// With `name` also the options of `#[derive(Task)]`, and:
///
/// | option | value | meaning |
/// |---|---|---|
/// | `payload` | identifier | the name of the payload type, instead of the function's in CamelCase |
/// | `derive` | `derive(Debug, Clone)` | more derives for the payload type |
///
/// # What it becomes
///
/// An `async fn` becomes a function with the same arguments, whose future names the handler: `HandlerCall<send_welcome,
/// impl Future<Output = Result<(), MailError>>>`. Beside it stands a type of the same name, which implements `TaskHandler`. A `blocking`
/// function becomes a unit struct that can be called; as with a constant, no local variable can have its name.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(options.into(), item.into()).into()
}
