//! The inspector: Go's on one database, ours or Go's on the other.

use asynq_core::broker::{Action as Act, TaskList};
use asynq_core::{GroupName, InspectError, Inspector, Progress, QueueName, TaskId, TaskState};
use serde_json::Value;

use super::action::{Action, Scope};
use super::expected::Answer;
use super::filters::Sieve;
use super::op::Who;
use super::world::{Step, Stop, World, group_name, prefix, queue_name, same};
use crate::go::GoError;
use crate::hex;

pub(super) const PAYLOAD: &[u8] = b"updated";

/// Which tasks an action is for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) queue: QueueName,
    pub(super) group: GroupName,
    pub(super) id: TaskId,
    /// The number that the operation drew, for whatever else there is to choose.
    drawn: u8,
}

impl Target {
    /// A state for whose tasks the action is.
    pub(super) fn drawn_state(&self, action: Act) -> TaskState {
        let states: Vec<TaskState> = TaskState::ALL
            .into_iter()
            .filter(|state| action.is_for(*state))
            .collect();
        states[usize::from(self.drawn) % states.len()]
    }

    pub(super) fn sieve(&self) -> Sieve {
        Sieve::number(self.drawn)
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", prefix(&self.queue))
    }

    pub(super) fn task_key(&self, id: &str) -> String {
        self.key(&format!("t:{id}"))
    }

    /// Small, so that a few tasks take several steps.
    fn step_size(&self) -> usize {
        1 + usize::from(self.drawn) % 4
    }
}

/// The list of the tasks in a state.
pub(super) fn list_of(state: TaskState, group: &GroupName) -> TaskList {
    match state {
        TaskState::Active => TaskList::Active,
        TaskState::Pending => TaskList::Pending,
        TaskState::Scheduled => TaskList::Scheduled,
        TaskState::Retry => TaskList::Retry,
        TaskState::Archived => TaskList::Archived,
        TaskState::Completed => TaskList::Completed,
        TaskState::Aggregating => TaskList::Group(group.clone()),
    }
}

impl World<'_> {
    /// A small number names a task; a larger one stands for one of those there are.
    pub(super) fn target(&mut self, queue: u8, group: u8, drawn: u8) -> Result<Target, Stop> {
        let queue = queue_name(queue);
        let mut id = format!("id:{drawn}");
        if let Some(pick) = drawn.checked_sub(10) {
            let prefix = format!("{}t:", prefix(&queue));
            let mut keys: Vec<String> = self.command(0, &["KEYS", &format!("{prefix}*")])?;
            keys.sort_unstable();
            if let Some(key) = keys.get(usize::from(pick) % keys.len().max(1)) {
                id = key[prefix.len()..].to_owned();
            }
        }
        Ok(Target {
            queue,
            group: group_name(group),
            id: TaskId::from_stored(id),
            drawn,
        })
    }

    pub(super) async fn inspect(&mut self, action: Action, target: &Target, who: Who) -> Step {
        // What Go has no operation for is always done by ours.
        if who == Who::Go && action.is_of_go() {
            return self.inspect_by_go(action, target);
        }
        if Self::archives(action) && self.has_old_archive(&target.queue)? {
            // Go trims while it archives; ours leaves that to the janitor, so it has its turn first.
            self.purge(&target.queue, Who::Ours).await?;
        }
        let go = self.expected(action, target)?;
        let ours = self.inspect_by_ours(action, target).await?;
        same("inspector", go, ours)?;
        match action.scope() {
            Scope::All(Act::Run, _) | Scope::Some(Act::Run) => self.adopt_order(&target.queue),
            // Go works there too, and knows of the queues that it has published itself.
            Scope::Queue { .. } => self.must(1, "forget", |request| request).map(drop),
            _ => Ok(()),
        }
    }

    fn archives(action: Action) -> bool {
        matches!(
            action.scope(),
            Scope::One(Act::Archive) | Scope::All(Act::Archive, _) | Scope::Some(Act::Archive)
        )
    }

    /// Go on both databases: it copes with what ours has stored, and ours with what it leaves.
    fn inspect_by_go(&mut self, action: Action, target: &Target) -> Step {
        let answers = [
            self.ask_inspector(0, action, target)?,
            self.ask_inspector(1, action, target)?,
        ];
        if matches!(action.scope(), Scope::Queue { .. }) {
            self.forget()?;
        }
        same("inspector", &answers[0], &answers[1])
    }

    pub(super) fn ask_inspector(
        &mut self,
        side: usize,
        action: Action,
        target: &Target,
    ) -> Result<Result<Value, GoError>, Stop> {
        self.ask(side, action.operation(), |request| {
            request
                .with("queue", target.queue.as_str())
                .with("group", target.group.as_str())
                .with("id", target.id.as_str())
                .with("data", hex::encode(PAYLOAD))
                .with("force", action == Action::RemoveQueueForced)
        })
    }

    async fn inspect_by_ours(&mut self, action: Action, target: &Target) -> Result<Answer, Stop> {
        let inspector = Inspector::new(self.broker.clone());
        let (queue, id) = (&target.queue, &target.id);
        let answer = match action.scope() {
            Scope::One(Act::Run) => done(inspector.run_task(queue, id).await),
            Scope::One(Act::Archive) => done(inspector.archive_task(queue, id).await),
            Scope::One(Act::Delete) => done(inspector.delete_task(queue, id).await),
            Scope::One(Act::Cancel) => done(inspector.cancel_task(queue, id).await),
            Scope::Payload => done(inspector.update_payload(queue, id, PAYLOAD).await),
            Scope::All(act, state) => {
                let bulk = inspector.apply_to_all(queue, list_of(state, &target.group), act);
                done_to(bulk.step_size(target.step_size()).finish().await)
            }
            Scope::Some(act) => {
                let list = list_of(target.drawn_state(act), &target.group);
                let bulk = inspector
                    .apply_to_all(queue, list, act)
                    .step_size(target.step_size());
                done_to(bulk.matching(target.sieve().filter).finish().await)
            }
            Scope::Queue { force: true } => done(inspector.force_delete_queue(queue).finish().await),
            Scope::Queue { force: false } => done(inspector.delete_queue(queue).finish().await),
        };
        answer.or_else(|error| our_answer_of(&error))
    }
}

fn done<T>(result: Result<T, InspectError>) -> Result<Answer, InspectError> {
    result.map(|_| Answer::Done)
}

fn done_to(result: Result<Progress, InspectError>) -> Result<Answer, InspectError> {
    result.map(|progress| Answer::DoneTo(progress.done))
}

pub(super) fn our_answer_of(error: &InspectError) -> Result<Answer, Stop> {
    match error {
        InspectError::QueueNotFound { .. } => Ok(Answer::NoQueue),
        InspectError::TaskNotFound { .. } => Ok(Answer::NoTask),
        InspectError::QueueNotEmpty { .. } => Ok(Answer::NotEmpty),
        InspectError::WrongState { .. } => Ok(Answer::Refused),
        InspectError::Duplicate { .. } => Ok(Answer::Duplicate),
        InspectError::IdTaken { .. } => Ok(Answer::IdTaken),
        other => Err(Stop::Differs(format!("our inspector failed: {other}"))),
    }
}
