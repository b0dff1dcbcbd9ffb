//! The vocabulary of the asynq task queue: tasks, brokers, handlers and the client.
//!
//! Depend on this crate to write a broker, or in a program that only enqueues tasks (with a broker crate such as
//! `asynq-redis`). To run workers depend on `asynq-server`, which re-exports what is here.
//!
//! * [`Task`], [`RawTask`], [`Configure`]: what is enqueued, and what may be asked for it
//! * [`Periodic`], [`Schedule`]: what the clock enqueues, by a scheduler of `asynq-scheduler`
//! * [`Client`]: puts tasks in queues
//! * [`Handler`], [`Context`], [`Outcome`]: what runs them
//! * [`Broker`] and its parts: where they are kept
//! * [`Inspector`]: looks at queues and tasks and acts on them
//! * [`MemoryBroker`]: keeps them in this process, for unit tests
//!
//! This crate knows no storage but memory and starts no background loops.
//!
//! # Features
//!
//! * `memory` (default): the in-memory broker
//! * `derive`: `#[derive(Task)]`, for programs that only enqueue
//! * `cron`: `cron` among the options of `#[derive(Task)]`, see [`Periodic`]
//! * `conformance`: the suite of behaviours that every broker must pass

pub mod broker;
mod client;
mod clock;
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod context_control;
mod enqueued;
mod error;
pub mod go_json;
mod handler;
mod inspector;
#[cfg(feature = "memory")]
mod memory;
mod message;
mod names;
mod options;
mod outcome;
mod periodic;
mod retry;
mod signals;
mod task;

#[cfg(feature = "derive")]
pub use asynq_macros::CoreTask as Task;
pub use broker::{
    Action, Aggregate, Broker, Change, Cursor, Dequeue, Enqueue, Filter, Inspect, LeaseKey, Maintain, Now,
    Operate, Page, Presence, QueueInfo, ScheduleBroker, ScheduleStore, TaskList,
};
pub use client::{Client, DEFAULT_MAX_PAYLOAD, answer_for, new_task};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp, TokioClock};
pub use codec::{Codec, JsonCodec};
pub use context::{CancelReason, Context, Extensions, HoldGuard, ResultError, ResultStore};
pub use context_control::{ContextBuilder, ContextControl};
pub use enqueued::{Enqueued, ResultWait, WaitError};
pub use error::{BoxError, BrokerError, EnqueueError};
pub use handler::{Handler, Typed, typed, with_retry_policy};
pub use inspector::{Bulk, DeleteQueue, InspectError, Inspector, Progress, Search};
#[cfg(feature = "memory")]
pub use memory::MemoryBroker;
pub use message::{TaskInfo, TaskMessage, TaskState, UnknownState};
pub use names::{GroupName, NameError, QueueName, TaskId};
pub use options::{Configure, DEFAULT_MAX_RETRY, DEFAULT_TIMEOUT, Headers, InvalidOption, TaskOptions, When};
pub use outcome::{FailureKind, IntoOutcome, IntoResult, Json, Outcome, TaskError};
pub use periodic::{Missed, Periodic, Schedule};
pub use retry::{DefaultBackoff, ExponentialBackoff, FixedBackoff, RetryPolicy};
pub use signals::{CancelRequest, Demand, Signals};
pub use task::{DecodeError, EncodeError, IntoTask, RawTask, Task, TaskBuilder};

#[doc(hidden)]
pub mod __private;
