//! Finds the handler of a task by its type, and wraps it in middleware.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use asynq_core::{
    Context, FailureKind, Handler, IntoOutcome, Outcome, RawTask, RetryPolicy, Task, TaskError, typed,
};

use crate::handlers::{HandlerEntry, Registration};

/// Finds handlers by task type. Itself a handler, so they nest. Go: `ServeMux`.
///
/// A pattern is a prefix of task types: `email:` is asked for `email:welcome`. The longest pattern that fits is taken;
/// a handler of exactly the type comes first.
///
/// ```
/// use asynq_server::prelude::*;
///
/// let mux = ServeMux::new()
///     .handle("email:", |_: Context, task: RawTask| async move { println!("{}", task.task_type) })
///     .handle("email:welcome", |_: Context, _: RawTask| async { println!("a welcome") });
/// assert_eq!(mux.pattern("email:reminder"), Some("email:"));
/// assert_eq!(mux.pattern("email:welcome"), Some("email:welcome"));
/// assert_eq!(mux.pattern("image:resize"), None);
/// ```
#[derive(Clone, Default)]
pub struct ServeMux {
    exact: HashMap<Arc<str>, Arc<dyn Handler>>,
    /// Longest first.
    prefixes: Vec<(Arc<str>, Arc<dyn Handler>)>,
    not_found: Option<Arc<dyn Handler>>,
    middleware: Arc<[Arc<dyn Middleware>]>,
    /// By task type, with its aliases.
    typed: HashMap<&'static str, &'static str>,
}

/// A pattern that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A blank pattern would catch every task. Use [`ServeMux::not_found`] for that.
    #[error("the pattern {0:?} is blank; use not_found for tasks that no pattern fits")]
    Blank(String),
    /// Two handlers for one pattern.
    #[error("there is a handler for {0:?} already")]
    Duplicate(String),
    /// Two handlers for the tasks of one type.
    #[error("both {first} and {second} handle tasks of type {task_type:?}; a task type has one handler")]
    TwoHandlers {
        /// The type, or an alias of it.
        task_type: &'static str,
        /// The handler that was registered first.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

impl ServeMux {
    /// Without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a handler for all task types that begin with `pattern`. Go: `ServeMux.Handle`.
    ///
    /// # Panics
    ///
    /// When the pattern is blank or has a handler already, as in Go asynq; see [`ServeMux::try_handle`].
    #[track_caller]
    pub fn handle(self, pattern: &str, handler: impl Handler) -> Self {
        match self.try_handle(pattern, handler) {
            Ok(mux) => mux,
            Err(error) => panic!("{error}"),
        }
    }

    /// Registers a handler for all task types that begin with `pattern`.
    ///
    /// # Errors
    ///
    /// When the pattern is blank or has a handler already.
    pub fn try_handle(mut self, pattern: &str, handler: impl Handler) -> Result<Self, PatternError> {
        self.register(pattern, Arc::new(handler), true)?;
        Ok(self)
    }

    /// Registers a function for the tasks of one payload type, exactly.
    ///
    /// # Panics
    ///
    /// When the type has a handler already.
    #[track_caller]
    pub fn handle_typed<T, F, R>(mut self, function: F) -> Self
    where
        T: Task,
        F: Fn(Context, T) -> R + Send + Sync + 'static,
        R: Future<Output: IntoOutcome> + Send + 'static,
    {
        if let Err(error) = self.register(T::TYPE, Arc::new(typed(function)), false) {
            panic!("{error}");
        }
        self
    }

    pub(crate) fn register(
        &mut self,
        pattern: &str,
        handler: Arc<dyn Handler>,
        is_prefix: bool,
    ) -> Result<(), PatternError> {
        if pattern.trim().is_empty() {
            return Err(PatternError::Blank(pattern.to_owned()));
        }
        let name: Arc<str> = pattern.into();
        if self.exact.insert(name.clone(), handler.clone()).is_some() {
            return Err(PatternError::Duplicate(pattern.to_owned()));
        }
        if is_prefix {
            let place = self
                .prefixes
                .partition_point(|(other, _)| other.len() >= name.len());
            self.prefixes.insert(place, (name, handler));
        }
        Ok(())
    }

    /// Registers a handler for its type and the aliases of that.
    pub(crate) fn register_typed<S: Send + Sync + 'static>(
        &mut self,
        registration: Registration<S>,
        state: S,
    ) -> Result<(), PatternError> {
        let HandlerEntry {
            name,
            task_type,
            aliases,
            ..
        } = registration.entry;
        let handler = registration.into_handler(state);
        for task_type in std::iter::once(&task_type).chain(aliases) {
            if let Some(first) = self.typed.insert(task_type, name) {
                return Err(PatternError::TwoHandlers {
                    task_type,
                    first,
                    second: name,
                });
            }
            self.register(task_type, handler.clone(), false)?;
        }
        Ok(())
    }

    /// Runs tasks that no pattern fits, instead of putting them back. Go: `NotFoundHandler`.
    pub fn not_found(mut self, handler: impl Handler) -> Self {
        self.not_found = Some(Arc::new(handler));
        self
    }

    /// Wraps all handlers, also those registered before and the one for tasks that no pattern fits. The first wraps
    /// those that come later. Go: `ServeMux.Use`.
    pub fn layer(mut self, middleware: impl Middleware) -> Self {
        self.add_layer(Arc::new(middleware));
        self
    }

    pub(crate) fn add_layer(&mut self, middleware: Arc<dyn Middleware>) {
        self.middleware = self.middleware.iter().cloned().chain([middleware]).collect();
    }

    pub(crate) fn set_not_found(&mut self, handler: Arc<dyn Handler>) {
        self.not_found = Some(handler);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.not_found.is_none()
    }

    /// The pattern that is taken for a task type. Go: `ServeMux.Handler`.
    pub fn pattern(&self, task_type: &str) -> Option<&str> {
        self.find(task_type).map(|(pattern, _)| pattern)
    }

    /// The patterns with a handler, sorted.
    pub fn patterns(&self) -> Vec<&str> {
        let mut patterns: Vec<&str> = self.exact.keys().map(|pattern| &**pattern).collect();
        patterns.sort_unstable();
        patterns
    }

    fn find(&self, task_type: &str) -> Option<(&str, &Arc<dyn Handler>)> {
        if let Some((pattern, handler)) = self.exact.get_key_value(task_type) {
            return Some((pattern, handler));
        }
        self.prefixes
            .iter()
            .find(|(pattern, _)| task_type.starts_with(&**pattern))
            .map(|(pattern, handler)| (&**pattern, handler))
    }

    fn handler(&self, task_type: &str) -> Option<&Arc<dyn Handler>> {
        self.find(task_type)
            .map(|(_, handler)| handler)
            .or(self.not_found.as_ref())
    }
}

impl std::fmt::Debug for ServeMux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeMux")
            .field("patterns", &self.patterns())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Handler for ServeMux {
    async fn process(&self, cx: Context, task: RawTask) -> Outcome {
        let handler = self.handler(&task.task_type);
        if self.middleware.is_empty() {
            return match handler {
                Some(handler) => handler.process(cx, task).await,
                None => NotFound.process(cx, task).await,
            };
        }
        let handler = handler.cloned().unwrap_or_else(|| Arc::new(NotFound));
        Next {
            middleware: self.middleware.clone(),
            position: 0,
            handler,
        }
        .run(cx, task)
        .await
    }

    fn retry_policy(&self, task: &RawTask) -> Option<&dyn RetryPolicy> {
        self.handler(&task.task_type)?.retry_policy(task)
    }
}

/// What happens to a task without handler: put back without counting. Go: `NotFound`, which burns a retry.
struct NotFound;

#[async_trait]
impl Handler for NotFound {
    async fn process(&self, _: Context, task: RawTask) -> Outcome {
        TaskError::new(format!("handler not found for task {:?}", task.task_type))
            .with_kind(FailureKind::HandlerNotFound)
            .into_outcome()
    }
}

/// Wraps handlers: runs before and after them, or instead. Go: `MiddlewareFunc`.
///
/// Any `Fn(Context, RawTask, Next) -> Future<Output = Outcome>` is one.
///
/// ```
/// use asynq_server::prelude::*;
///
/// let mux = ServeMux::new().layer(|cx: Context, task: RawTask, next: Next| async move {
///     let name = task.task_type.clone();
///     let outcome = next.run(cx, task).await;
///     println!("{name}: {outcome:?}");
///     outcome
/// });
/// ```
#[async_trait]
pub trait Middleware: Send + Sync + 'static {
    /// Runs the task, by `next` or otherwise.
    async fn process(&self, cx: Context, task: RawTask, next: Next) -> Outcome;
}

#[async_trait]
impl<F, R> Middleware for F
where
    F: Fn(Context, RawTask, Next) -> R + Send + Sync + 'static,
    R: Future<Output: IntoOutcome> + Send + 'static,
{
    async fn process(&self, cx: Context, task: RawTask, next: Next) -> Outcome {
        self(cx, task, next).await.into_outcome()
    }
}

/// What a [`Middleware`] wraps: the next one, or the handler. Cheap to clone.
#[derive(Clone)]
pub struct Next {
    middleware: Arc<[Arc<dyn Middleware>]>,
    position: usize,
    handler: Arc<dyn Handler>,
}

impl Next {
    /// Runs what is wrapped.
    pub async fn run(mut self, cx: Context, task: RawTask) -> Outcome {
        match self.middleware.get(self.position).cloned() {
            Some(middleware) => {
                self.position += 1;
                middleware.process(cx, task, self).await
            }
            None => self.handler.process(cx, task).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use asynq_core::{
        ContextBuilder, Extensions, FixedBackoff, LeaseKey, QueueName, TaskId, Timestamp, with_retry_policy,
    };
    use std::time::Duration;

    fn context() -> Context {
        ContextBuilder {
            key: LeaseKey {
                queue: QueueName::default(),
                id: TaskId::new("1").unwrap(),
                nonce: 1,
            },
            retried: 0,
            max_retry: 0,
            deadline: Timestamp::MAX,
            keeps_result: false,
            state: Extensions::default(),
            shutdown: Default::default(),
            results: None,
        }
        .build()
        .0
    }

    fn says(text: &'static str) -> impl Handler {
        move |_: Context, _: RawTask| async move { Ok::<_, TaskError>(text.to_owned()) }
    }

    async fn answer(mux: &ServeMux, task_type: &str) -> String {
        match mux.process(context(), RawTask::new(task_type, "")).await {
            Outcome::Done(Some(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_longest_pattern_that_fits_is_taken() {
        let mux = ServeMux::new()
            .handle("email", says("email"))
            .handle("email:welcome", says("welcome"))
            .handle("email:", says("email:"));

        assert_eq!(answer(&mux, "email:welcome").await, "welcome");
        assert_eq!(answer(&mux, "email:welcome:again").await, "welcome");
        assert_eq!(answer(&mux, "email:bye").await, "email:");
        assert_eq!(answer(&mux, "emailer:x").await, "email");
    }

    #[tokio::test]
    async fn a_typed_handler_takes_exactly_its_type() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Email;
        impl Task for Email {
            const TYPE: &'static str = "email";
            type Codec = asynq_core::JsonCodec;
        }
        let mux = ServeMux::new().handle_typed(|_, Email| async {});

        assert_eq!(mux.pattern("email"), Some("email"));
        assert_eq!(mux.pattern("emailer"), None);
    }

    #[tokio::test]
    async fn a_task_without_handler_says_so() {
        let outcome = ServeMux::new().process(context(), RawTask::new("lost", "")).await;

        let Outcome::Retry(error) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(error.kind(), FailureKind::HandlerNotFound);
        assert_eq!(error.to_string(), r#"handler not found for task "lost""#);
    }

    #[test]
    fn blank_and_repeated_patterns_are_refused() {
        let mux = ServeMux::new().handle("a", says("a"));

        assert_eq!(
            mux.clone().try_handle(" ", says("b")).unwrap_err(),
            PatternError::Blank(" ".into())
        );
        assert_eq!(
            mux.try_handle("a", says("b")).unwrap_err(),
            PatternError::Duplicate("a".into())
        );
    }

    #[tokio::test]
    async fn middleware_wraps_in_the_order_of_registration_also_the_not_found_handler() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let noting = |name: &'static str| {
            let log = log.clone();
            move |cx: Context, task: RawTask, next: Next| {
                let log = log.clone();
                async move {
                    log.lock().unwrap().push(format!("{name} in"));
                    let outcome = next.run(cx, task).await;
                    log.lock().unwrap().push(format!("{name} out"));
                    outcome
                }
            }
        };
        let mux = ServeMux::new()
            .layer(noting("a"))
            .not_found(says("lost"))
            .layer(noting("b"));

        assert_eq!(answer(&mux, "x").await, "lost");
        assert_eq!(*log.lock().unwrap(), ["a in", "b in", "b out", "a out"]);
    }

    #[test]
    fn the_retry_policy_is_that_of_the_handler_found_also_through_nested_muxes() {
        let inner = ServeMux::new().handle(
            "email:",
            with_retry_policy(FixedBackoff(Duration::from_secs(7)), says("x")),
        );
        let outer = ServeMux::new()
            .handle("email:", inner)
            .handle("image:", says("y"));
        let delay = |task_type: &str| {
            let task = RawTask::new(task_type, "");
            outer
                .retry_policy(&task)
                .map(|policy| policy.delay(0, &TaskError::new("x"), &task).as_secs())
        };

        assert_eq!(delay("email:welcome"), Some(7));
        assert_eq!(delay("image:resize"), None);
        assert_eq!(delay("lost"), None);
    }
}
