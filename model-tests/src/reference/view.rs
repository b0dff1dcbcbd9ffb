//! What the model shows.

use std::collections::BTreeSet;

use asynq_core::TaskState;

use crate::operation::{QUEUES, Shown, View};

use super::{DAY, Model, Place};

impl Model {
    pub(crate) fn view(&self) -> Vec<Option<View>> {
        (0..QUEUES)
            .map(|queue| self.used.contains(&queue).then(|| self.view_of(queue)))
            .collect()
    }

    fn view_of(&self, queue: usize) -> View {
        let mut groups = BTreeSet::new();
        let mut counts = vec![0; TaskState::ALL.len()];
        for task in self.listed(queue, |place| !matches!(place, Place::Set(_))) {
            let place = self.tasks[task].place;
            counts[TaskState::ALL
                .iter()
                .position(|state| *state == place.state())
                .unwrap()] += 1;
            if let Place::Group(group) = place {
                groups.insert(group);
            }
        }
        let mut lists: Vec<Vec<Shown>> = TaskState::ALL[..6]
            .iter()
            .map(|state| self.list(queue, *state))
            .collect();
        for group in &groups {
            lists.push(self.shown(self.listed(queue, |place| *place == Place::Group(*group))));
        }
        let pending = self.listed(queue, |place| matches!(place, Place::Pending { .. }));
        let attempts = |day| self.attempts.get(&(queue, day)).copied().unwrap_or_default();
        let (today, ever) = (attempts(self.now.unix_seconds().div_euclid(DAY)), attempts(-1));
        View {
            lists,
            number_of_groups: groups.len() as u64,
            groups: groups.iter().map(|group| format!("group-{group}")).collect(),
            counts,
            attempts: [today.0, today.1, ever.0, ever.1],
            is_paused: self.paused.contains(&queue),
            oldest: pending.first().and_then(|task| match self.tasks[*task].place {
                Place::Pending { since } => Some(since),
                _ => None,
            }),
        }
    }

    fn list(&self, queue: usize, state: TaskState) -> Vec<Shown> {
        let mut listed = self.listed(queue, |place| place.state() == state);
        match state {
            TaskState::Active => listed.sort_by_key(|task| self.tasks[*task].order),
            TaskState::Scheduled | TaskState::Retry => {
                // Stable: those of the same listed time stay in order.
                listed.sort_by_key(|task| {
                    let task = &self.tasks[*task];
                    (
                        self.ways.listed_at(task.at),
                        self.ways.tie(task.order, task.new.id),
                    )
                });
            }
            _ => {}
        }
        self.shown(listed)
    }

    fn shown(&self, tasks: Vec<usize>) -> Vec<Shown> {
        let one = |task: usize| {
            let task = &self.tasks[task];
            let state = task.place.state();
            Shown {
                id: task.new.id.to_string(),
                state,
                payload: Some(task.new.payload),
                next: match state {
                    TaskState::Pending => Some(self.now),
                    TaskState::Scheduled | TaskState::Retry => Some(task.at),
                    _ => None,
                },
                result: task.result,
                is_orphaned: self.is_orphaned(task),
                retried: task.retried,
                error: task.error.clone(),
                failed_at: task.failed_at,
                completed_at: task.completed_at,
            }
        };
        tasks.into_iter().map(one).collect()
    }
}
