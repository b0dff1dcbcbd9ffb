//! Groups, and the sets they are sealed into.

use std::collections::BTreeSet;
use std::time::Duration;

use asynq_core::broker::Receipt;

use crate::operation::{Answer, New};

use super::{Model, Place, Set};

const SET_TIME: Duration = Duration::from_secs(120);

impl Model {
    pub(super) fn seal(
        &mut self,
        queue: usize,
        group: u8,
        grace: u64,
        max_delay: Option<u64>,
        max_size: Option<usize>,
    ) -> Answer {
        let waiting = self.listed(queue, |place| *place == Place::Group(group));
        let (Some(oldest), Some(newest)) = (waiting.first(), waiting.last()) else {
            return Answer::Sealed(None);
        };
        let has_waited = |task: &usize, seconds| {
            self.tasks[*task].at <= self.now.saturating_sub(Duration::from_secs(seconds))
        };
        let is_ready = max_size.is_some_and(|size| waiting.len() >= size)
            || max_delay.is_some_and(|delay| has_waited(oldest, delay))
            || has_waited(newest, grace);
        if !is_ready {
            return Answer::Sealed(None);
        }
        let deadline = self.ways.rounded_down(self.now.saturating_add(SET_TIME));
        let mut ids = Vec::new();
        for task in waiting.into_iter().take(max_size.unwrap_or(usize::MAX)) {
            ids.push(self.tasks[task].new.id.to_string());
            self.tasks[task].place = Place::Set(self.sets.len());
        }
        self.sets.push(Set { queue, deadline });
        Answer::Sealed(Some((ids, deadline)))
    }

    pub(super) fn finish_set(&mut self, number: usize, merged: &New) -> Answer {
        if self.sets.is_empty() {
            return Answer::Nothing;
        }
        let number = number % self.sets.len();
        let queue = self.sets[number].queue;
        if self
            .listed(queue, |place| *place == Place::Set(number))
            .is_empty()
        {
            return Answer::Merged(None);
        }
        let merged = New {
            queue,
            ..merged.clone()
        };
        let receipt = self.enqueue(&merged);
        if matches!(receipt, Receipt::Accepted { .. }) {
            while let Some(task) = self.listed(queue, |place| *place == Place::Set(number)).first() {
                self.delete(*task);
            }
        }
        Answer::Merged(Some(receipt))
    }

    pub(super) fn reclaim(&mut self, queue: usize) -> Answer {
        let mut reclaimed = BTreeSet::new();
        for task in self.listed(queue, |place| matches!(place, Place::Set(_))) {
            let task = &mut self.tasks[task];
            if let Place::Set(number) = task.place
                && self.sets[number].deadline <= self.now
            {
                reclaimed.insert(number);
                task.place = Place::Group(task.new.group.unwrap());
            }
        }
        Answer::Count(reclaimed.len())
    }
}
