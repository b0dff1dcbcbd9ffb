//! Filters of ours, and what they are to let through, which Go is asked for task by task.

use asynq_core::{Filter, TaskMessage};

/// A filter in either form.
pub(super) struct Sieve {
    pub(super) filter: Filter,
    passes: fn(&TaskMessage) -> bool,
}

impl Sieve {
    pub(super) const COUNT: u8 = 8;

    pub(super) fn number(number: u8) -> Self {
        let new = |filter: Filter, passes: fn(&TaskMessage) -> bool| Sieve { filter, passes };
        let none = Filter::new();
        match number % Self::COUNT {
            0 => new(none.task_type("x"), |task| &*task.task_type == "x"),
            1 => new(none.task_type("email:send"), |task| {
                &*task.task_type == "email:send"
            }),
            2 => new(none.id_prefix("id:1"), |task| {
                task.id.as_str().starts_with("id:1")
            }),
            3 => new(none.payload("n\":"), |task| {
                task.payload.windows(3).any(|part| part == b"n\":")
            }),
            4 => new(none.error("oom"), |task| task.last_error.contains("oom")),
            5 => new(none.has_header("a"), |task| task.headers.contains_key("a")),
            6 => new(none.header("trace", "1").task_type("x"), |task| {
                task.headers.get("trace").is_some_and(|value| value == "1") && &*task.task_type == "x"
            }),
            _ => new(none.id_prefix("id:").header("z", "0"), |task| {
                task.headers.get("z").is_some_and(|value| value == "0")
            }),
        }
    }

    pub(super) fn passes(&self, task: &TaskMessage) -> bool {
        (self.passes)(task)
    }
}
