use std::fmt;
use std::sync::Arc;

use crate::broker::{Cursor, Filter, Operate, TaskList};
use crate::message::TaskInfo;
use crate::names::QueueName;

use super::{InspectError, STEP};

/// Goes through a list, page by page. Made by [`Inspector::search`](super::Inspector::search).
///
/// A page deep in a list of millions costs as little as the first. A task that stays in the list is found, whatever comes
/// and goes meanwhile.
///
/// ```
/// # use asynq_core::{Client, Filter, Inspector, MemoryBroker, QueueName, RawTask, TaskList};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = MemoryBroker::new();
/// # Client::new(broker.clone()).enqueue(RawTask::new("image:resize", "cat.png")).await?;
/// # let inspector = Inspector::new(broker);
/// let mut search = inspector
///     .search(&QueueName::default_queue(), TaskList::Pending)
///     .matching(Filter::new().task_type("image:resize"))
///     .page_size(20);
/// while let Some(page) = search.next().await {
///     for task in page? {
///         println!("{}", task.id());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read before `next`"]
pub struct Search {
    broker: Arc<dyn Operate>,
    queue: QueueName,
    list: TaskList,
    filter: Filter,
    page_size: usize,
    cursor: Option<Cursor>,
    has_begun: bool,
    is_over: bool,
}

impl Search {
    pub(super) fn new(broker: Arc<dyn Operate>, queue: QueueName, list: TaskList) -> Self {
        Search {
            broker,
            queue,
            list,
            filter: Filter::new(),
            page_size: 30,
            cursor: None,
            has_begun: false,
            is_over: false,
        }
    }

    /// Only tasks that pass this filter.
    pub fn matching(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// How many tasks a page has at most; 30 unless set, as in Go asynq.
    pub fn page_size(mut self, tasks: usize) -> Self {
        self.page_size = tasks.clamp(1, STEP);
        self
    }

    /// Goes on after the last page of another one, with the same list and filter.
    pub fn resume(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// Where the next page begins; nothing at the beginning and at the end.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// The next page; nothing after the last one. With a filter a page may have fewer tasks than asked for, even none:
    /// each is a bounded piece of work.
    pub async fn next(&mut self) -> Option<Result<Vec<TaskInfo>, InspectError>> {
        if self.is_over {
            return None;
        }
        Some(self.read_page().await)
    }

    /// All tasks of all pages.
    pub async fn collect(mut self) -> Result<Vec<TaskInfo>, InspectError> {
        let mut all = Vec::new();
        self.page_size = STEP;
        while let Some(page) = self.next().await {
            all.extend(page?);
        }
        Ok(all)
    }

    async fn read_page(&mut self) -> Result<Vec<TaskInfo>, InspectError> {
        if !self.has_begun && self.broker.queue_info(&self.queue).await?.is_none() {
            return Err(InspectError::QueueNotFound {
                queue: self.queue.clone(),
            });
        }
        self.has_begun = true;
        // Where few pass, one call finds hardly any: some more are made, but not as many as it takes.
        let mut found = Vec::new();
        for _ in 0..CALLS_PER_PAGE {
            let limit = self.page_size - found.len();
            let cursor = self.cursor.as_ref();
            let page = self
                .broker
                .page(&self.queue, &self.list, &self.filter, cursor, limit)
                .await?;
            self.is_over = page.next.is_none();
            self.cursor = page.next;
            found.extend(page.tasks);
            if self.is_over || found.len() >= self.page_size {
                break;
            }
        }
        Ok(found)
    }
}

/// How often the broker is asked for one page.
const CALLS_PER_PAGE: usize = 10;

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("queue", &self.queue)
            .field("list", &self.list)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
