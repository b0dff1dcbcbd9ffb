use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use asynq_core::{EnqueueError, RawTask, TaskInfo, TaskOptions};

use crate::entry::EntryId;

/// A tick, as hooks see it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tick<'a> {
    /// The entry that ticks.
    pub entry: &'a EntryId,
    /// Its spec.
    pub spec: &'a str,
    /// When it was to tick. It may be enqueued later, see [`Missed`](crate::Missed).
    pub at: SystemTime,
    /// What is enqueued.
    pub task: &'a RawTask,
    /// With which options.
    pub options: &'a TaskOptions,
}

type PreEnqueue = dyn Fn(&Tick<'_>) + Send + Sync;
type PostEnqueue = dyn Fn(&Tick<'_>, Result<&TaskInfo, &EnqueueError>) + Send + Sync;
type ErrorHandler = dyn Fn(&Tick<'_>, &EnqueueError) + Send + Sync;

/// What the user wants to be told. Whatever it does, ticks go on.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) pre_enqueue: Option<Arc<PreEnqueue>>,
    pub(crate) post_enqueue: Option<Arc<PostEnqueue>>,
    pub(crate) error_handler: Option<Arc<ErrorHandler>>,
}

impl Hooks {
    pub(crate) fn before(&self, tick: &Tick<'_>) {
        if let Some(hook) = &self.pre_enqueue {
            guard("pre-enqueue hook", || hook(tick));
        }
    }

    pub(crate) fn after(&self, tick: &Tick<'_>, answer: Result<&TaskInfo, &EnqueueError>) {
        if let Some(hook) = &self.post_enqueue {
            guard("post-enqueue hook", || hook(tick, answer));
        }
        if let (Some(handler), Err(error)) = (&self.error_handler, answer) {
            guard("error handler", || handler(tick, error));
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("pre_enqueue", &self.pre_enqueue.is_some())
            .field("post_enqueue", &self.post_enqueue.is_some())
            .field("error_handler", &self.error_handler.is_some())
            .finish()
    }
}

fn guard(what: &str, callback: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(callback)) {
        tracing::error!(panic = panic_text(&*panic), "the {what} panicked; ticks go on");
        // Dropping what was thrown may panic again.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(second);
        }
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a value that is not text",
    }
}
