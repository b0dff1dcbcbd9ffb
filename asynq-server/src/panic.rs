//! Catches panics of what users supply, with their text and place.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use asynq_core::{FailureKind, TaskError};
use futures::FutureExt;

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the place of each panic, then does what was done before: usually prints it. Chained once per process; a
/// program that installs its own hook later only loses the place in the text of failed tasks.
pub(crate) fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info
                .location()
                .map(|location| format!("{}:{}", location.file(), location.line()));
            // Fails only while the thread is being torn down.
            let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = place);
            previous(info);
        }));
    });
}

/// Runs a future; a panic becomes a failure of the task. Go: `PanicError`.
///
/// A panic unwinds out of a single poll, so the place noted last on this thread is that of the panic.
pub(crate) async fn guard_future<T>(future: impl Future<Output = T>) -> Result<T, TaskError> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(failure)
}

/// Runs a callback; a panic becomes an error.
pub(crate) fn guard<T>(callback: impl FnOnce() -> T) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(callback)).map_err(failure)
}

/// As [`guard`], for callbacks without which things go on: a panic is logged.
pub(crate) fn guard_or<T>(what: &str, fallback: T, callback: impl FnOnce() -> T) -> T {
    guard(callback).unwrap_or_else(|panic| {
        tracing::error!(%panic, "the {what} panicked; its default is used instead");
        fallback
    })
}

fn failure(payload: Box<dyn Any + Send>) -> TaskError {
    let place = LAST_PANIC
        .try_with(|last| last.borrow_mut().take())
        .ok()
        .flatten();
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => *text,
        (None, Some(text)) => text,
        (None, None) => "a value that is not text",
    };
    let text = match place {
        Some(place) => format!("panic [{place}]: {text}"),
        None => format!("panic: {text}"),
    };
    // Dropping what was thrown may panic again.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    TaskError::new(text).with_kind(FailureKind::Panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_failure_with_its_text_and_place() {
        note_places();

        let error = guard_future(async { panic!("boom {}", 7) })
            .await
            .map(|(): ()| ())
            .unwrap_err();

        assert!(error.is_panic());
        let text = error.to_string();
        assert!(
            text.starts_with("panic [") && text.contains("panic.rs:") && text.ends_with("boom 7"),
            "{text}"
        );
    }

    #[test]
    fn what_is_thrown_need_not_be_text_and_may_panic_when_dropped() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("second");
            }
        }

        let error = guard(|| std::panic::panic_any(Bomb))
            .map(|(): ()| ())
            .unwrap_err();

        assert!(error.is_panic());
    }
}
