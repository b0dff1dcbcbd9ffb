//! What a broker shows, in the form in which the model shows it.

use asynq_core::{Broker, BrokerError, GroupName, Page, QueueInfo, QueueName, TaskInfo, TaskState};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::operation::{QUEUES, Shown, View};
use crate::system::queue;

const ALL: Page = Page::first(1000);

/// Looks at a broker.
pub(crate) struct Look<'a> {
    pub(crate) broker: &'a dyn Broker,
    /// How much is asked before the first answer has come: a server answers many questions in the time of one.
    pub(crate) at_once: usize,
    /// Whether lists are read that are said to be empty.
    pub(crate) is_thorough: bool,
}

type Call<'a, T> = BoxFuture<'a, Result<T, BrokerError>>;

impl<'a> Look<'a> {
    pub(crate) async fn view(&self) -> Result<Vec<Option<View>>, BrokerError> {
        let queues: Vec<QueueName> = (0..QUEUES).map(queue).collect();
        let summaries = self
            .ask(queues.iter().map(|queue| self.summary(queue).boxed()))
            .await?;
        let mut lists = Vec::new();
        for (queue, summary) in queues.iter().zip(&summaries) {
            if let Some((info, groups)) = summary {
                lists.extend(self.lists(queue, info, groups));
            }
        }
        let mut lists = self.ask(lists).await?.into_iter();
        let view = |summary: Option<(QueueInfo, Vec<GroupName>)>| {
            let (info, groups) = summary?;
            let lists = lists.by_ref().take(STATES.len() + groups.len()).collect();
            Some(view_of(&info, &groups, lists))
        };
        Ok(summaries.into_iter().map(view).collect())
    }

    async fn ask<T>(&self, calls: impl IntoIterator<Item = Call<'_, T>>) -> Result<Vec<T>, BrokerError> {
        stream::iter(calls).buffered(self.at_once).try_collect().await
    }

    async fn summary(&self, queue: &QueueName) -> Result<Option<(QueueInfo, Vec<GroupName>)>, BrokerError> {
        let Some(info) = self.broker.queue_info(queue).await? else {
            return Ok(None);
        };
        let mut groups = match info.groups > 0 || self.is_thorough {
            true => self.broker.groups(queue).await?,
            false => Vec::new(),
        };
        groups.sort();
        Ok(Some((info, groups)))
    }

    /// The lists of the states, then those of the groups.
    fn lists<'q>(
        &'q self,
        queue: &'q QueueName,
        info: &QueueInfo,
        groups: &'q [GroupName],
    ) -> Vec<Call<'q, Vec<Shown>>> {
        let list = |state, group| {
            async move {
                let tasks = self.broker.tasks(queue, state, group, ALL).await?;
                Ok(tasks.iter().map(shown).collect())
            }
            .boxed()
        };
        let empty = || async { Ok(Vec::new()) }.boxed();
        let of_states =
            STATES
                .iter()
                .zip(counts(info))
                .map(|(state, count)| match count > 0 || self.is_thorough {
                    true => list(*state, None),
                    false => empty(),
                });
        let of_groups = groups
            .iter()
            .map(|group| list(TaskState::Aggregating, Some(group)));
        of_states.chain(of_groups).collect()
    }
}

/// Those whose tasks are in one list.
const STATES: [TaskState; 6] = [
    TaskState::Active,
    TaskState::Pending,
    TaskState::Scheduled,
    TaskState::Retry,
    TaskState::Archived,
    TaskState::Completed,
];

fn counts(info: &QueueInfo) -> [u64; 7] {
    [
        info.active,
        info.pending,
        info.scheduled,
        info.retry,
        info.archived,
        info.completed,
        info.aggregating,
    ]
}

fn view_of(info: &QueueInfo, groups: &[GroupName], lists: Vec<Vec<Shown>>) -> View {
    View {
        lists,
        number_of_groups: info.groups,
        groups: groups.iter().map(ToString::to_string).collect(),
        counts: counts(info).to_vec(),
        attempts: [
            info.processed,
            info.failed,
            info.processed_total,
            info.failed_total,
        ],
        is_paused: info.paused,
        oldest: info.oldest_pending_since,
    }
}

fn shown(info: &TaskInfo) -> Shown {
    Shown {
        id: info.id().to_string(),
        state: info.state,
        payload: info.message.payload.first().copied(),
        next: info.next_process_at,
        result: info.result.as_ref().and_then(|result| result.first().copied()),
        is_orphaned: info.is_orphaned,
        retried: info.message.retried,
        error: info.message.last_error.clone(),
        failed_at: info.message.last_failed_at,
        completed_at: info.message.completed_at,
    }
}
