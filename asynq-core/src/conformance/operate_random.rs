//! Random operations with an inspector among them: whatever is done in whatever order, no task is lost, none comes back,
//! none is in two states.

#![allow(missing_docs, reason = "the names are sentences")]

use crate::broker::{Action, Change, Filter, TaskList};
use crate::inspector::InspectError;
use crate::names::TaskId;
use crate::options::When;

use super::InspectorSubject;
use super::kit::*;
use super::random::{Ledger, Step};

pub async fn random_inspections_lose_no_task(subject: &InspectorSubject) {
    let mut random = fastrand::Rng::with_seed(20_231_115);
    let steps: Vec<Step> = (0..400).map(|_| (random.u8(..), random.u8(..))).collect();

    replay(subject, &steps).await;
}

/// Carries out the steps. After each, every task that was accepted and not deleted is there, and no other.
pub async fn replay(subject: &InspectorSubject, steps: &[Step]) {
    let mut ledger = Ledger::default();
    for step in steps {
        match step.0 % 3 {
            0 => ledger.inspect(subject, (step.0 / 3, step.1)).await,
            _ => ledger.carry_out(subject, (step.0 / 3, step.1)).await,
        }
        ledger.check(subject, *step).await;
    }
}

impl Ledger {
    async fn inspect(&mut self, subject: &InspectorSubject, (operation, with): Step) {
        let id = id(&format!("task-{}", with % 16));
        match operation % 8 {
            0 => self.act(subject, Action::Run, &id).await,
            1 => self.act(subject, Action::Archive, &id).await,
            2 => self.act(subject, Action::Delete, &id).await,
            3 => self.act(subject, Action::Cancel, &id).await,
            4 => self.bulk(subject, with).await,
            5 => change(subject, &id, with).await,
            6 => move_there_and_back(subject, &id).await,
            _ if with % 8 == 0 => self.delete_queue(subject).await,
            _ => {}
        }
    }

    async fn act(&mut self, subject: &InspectorSubject, action: Action, id: &TaskId) {
        let ids = std::slice::from_ref(id);
        let results = subject.inspector.apply_to(&default_queue(), action, ids).await;
        if results.unwrap().remove(0).is_ok() && action == Action::Delete {
            assert!(self.alive.remove(id.as_str()), "{id:?} was deleted twice");
        }
    }

    async fn bulk(&mut self, subject: &InspectorSubject, with: u8) {
        let lists = [
            TaskList::Pending,
            TaskList::Scheduled,
            TaskList::Retry,
            TaskList::Archived,
            TaskList::Completed,
            TaskList::Group(group("g")),
        ];
        let list = lists[usize::from(with / 3) % lists.len()].clone();
        let action = [Action::Run, Action::Archive, Action::Delete][usize::from(with % 3)];
        let bulk = subject
            .inspector
            .apply_to_all(&default_queue(), list, action)
            .matching(Filter::new().payload(vec![with % 2]))
            .step_size(2);
        match bulk.finish().await {
            Ok(_) | Err(InspectError::WrongList { .. } | InspectError::QueueNotFound { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        if action == Action::Delete {
            self.forget_gone(subject).await;
        }
    }

    async fn forget_gone(&mut self, subject: &InspectorSubject) {
        for id in self.alive.clone() {
            if subject.task(&id).await.is_none() {
                self.alive.remove(&id);
            }
        }
    }

    async fn delete_queue(&mut self, subject: &InspectorSubject) {
        let deletion = subject.inspector.force_delete_queue(&default_queue());
        if deletion.finish().await.is_ok() {
            self.alive.clear();
            self.ticks.clear();
        }
    }
}

async fn change(subject: &InspectorSubject, id: &TaskId, with: u8) {
    let change = Change {
        payload: (with & 0x10 != 0).then(|| vec![with % 3].into()),
        process_at: (with & 0x20 != 0).then(|| When::In(millis(u64::from(with) * 20))),
        max_retry: Some(u32::from(with)),
        queue: None,
    };
    match subject.inspector.change_task(&default_queue(), id, &change).await {
        Err(InspectError::Broker(error)) => panic!("{error:?}"),
        _ => subject.assert_invariants().await,
    }
}

async fn move_there_and_back(subject: &InspectorSubject, id: &TaskId) {
    let (here, there) = (default_queue(), queue("other"));
    if subject.inspector.move_task(&here, id, &there).await.is_ok() {
        subject.assert_invariants().await;
        assert_eq!(subject.task(id.as_str()).await, None);
        subject.inspector.move_task(&there, id, &here).await.unwrap();
    }
}
