//! What is true at any moment, whatever was done.

use std::collections::HashMap;

use crate::message::{TaskInfo, TaskState};
use crate::names::{QueueName, TaskId};

use super::Subject;
use super::kit::ALL;

/// How many tasks of a state are looked at one by one.
const SAMPLE: usize = 100;

impl Subject {
    /// Checks, through inspection only, that each task is in exactly one state, that listings, counts and single tasks
    /// agree, and that no more has failed than was processed.
    pub async fn assert_invariants(&self) {
        for queue in self.broker.queues().await.unwrap() {
            self.assert_invariants_of(&queue).await;
        }
    }

    async fn assert_invariants_of(&self, queue: &QueueName) {
        let info = self.broker.queue_info(queue).await.unwrap();
        let info = info.unwrap_or_else(|| panic!("queue {queue:?} is listed but has no info"));
        let mut seen: HashMap<TaskId, TaskState> = HashMap::new();
        for state in TaskState::ALL {
            let tasks = self.tasks_in(queue, state).await;
            let counted = match state {
                TaskState::Active => info.active,
                TaskState::Pending => info.pending,
                TaskState::Scheduled => info.scheduled,
                TaskState::Retry => info.retry,
                TaskState::Archived => info.archived,
                TaskState::Completed => info.completed,
                TaskState::Aggregating => info.aggregating,
            };
            assert_eq!(
                tasks.len() as u64,
                counted,
                "{state} tasks listed and counted in {queue:?}"
            );
            for (place, task) in tasks.iter().enumerate() {
                let other = seen.insert(task.id().clone(), state);
                assert_eq!(
                    other,
                    None,
                    "task {:?} is {state} and something else too",
                    task.id()
                );
                if place < SAMPLE {
                    self.assert_agrees(queue, state, task).await;
                }
            }
        }
        assert_eq!(info.size(), seen.len() as u64, "size of {queue:?}");
        assert!(info.failed <= info.processed, "{info:?}");
        assert!(info.failed_total <= info.processed_total, "{info:?}");
    }

    async fn tasks_in(&self, queue: &QueueName, state: TaskState) -> Vec<TaskInfo> {
        if state != TaskState::Aggregating {
            return self.broker.tasks(queue, state, None, ALL).await.unwrap();
        }
        let mut tasks = Vec::new();
        for group in self.broker.groups(queue).await.unwrap() {
            let members = self.broker.tasks(queue, state, Some(&group), ALL).await.unwrap();
            assert!(!members.is_empty(), "group {group:?} is listed but has no tasks");
            tasks.extend(members);
        }
        tasks
    }

    async fn assert_agrees(&self, queue: &QueueName, state: TaskState, listed: &TaskInfo) {
        assert_eq!(listed.state, state, "{listed:?}");
        assert_eq!(listed.queue(), queue, "{listed:?}");
        let single = self.broker.task(queue, listed.id()).await.unwrap();
        assert_eq!(
            single.as_ref(),
            Some(listed),
            "the task and its entry in the listing"
        );
    }
}
