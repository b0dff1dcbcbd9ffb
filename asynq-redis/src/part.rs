//! A part of a list, and where the list goes on behind it.

use std::collections::HashSet;

use asynq_core::broker::Applied;
use asynq_core::{BrokerError, Cursor, QueueName, TaskId, TaskInfo, Timestamp};

use crate::cursor::Place;
use crate::inspect::read_task;
use crate::reply::Items;

/// A part of a list as it was read.
pub(crate) struct Part {
    is_list: bool,
    pub(crate) total: u64,
    /// How many come before.
    pub(crate) before: usize,
    pub(crate) examined: usize,
    has_more: bool,
    last_score: String,
    last_id: String,
    pub(crate) found: Vec<Found>,
    /// The numbers of those examined that are in the list no more.
    gone: Vec<usize>,
    /// By what its place was found.
    pub(crate) earlier: Vec<String>,
}

pub(crate) struct Found {
    /// Which of those examined, from 1.
    number: usize,
    pub(crate) id: String,
    score: String,
    pub(crate) since: Option<Timestamp>,
    /// Nothing if only the ids were read.
    pub(crate) task: Option<TaskInfo>,
}

impl Part {
    /// Ends the part at the last task that is given.
    pub(crate) fn end_at_last_found(&mut self) {
        if let Some(last) = self.found.last() {
            self.has_more = true;
            self.examined = last.number;
            self.last_score = last.score.clone();
            self.last_id = last.id.clone();
        }
    }

    /// Notes which tasks have left the list.
    pub(crate) fn forget(&mut self, meant: &[TaskId], applied: &[Applied]) {
        let has_left = |applied: &Applied| matches!(applied, Applied::Done | Applied::NotFound);
        let gone: HashSet<&str> = meant
            .iter()
            .zip(applied)
            .filter(|(_, applied)| has_left(applied))
            .map(|(id, _)| id.as_str())
            .collect();
        let is_gone = |found: &&Found| gone.contains(found.id.as_str());
        self.gone = self
            .found
            .iter()
            .filter(is_gone)
            .map(|found| found.number)
            .collect();
    }

    pub(crate) fn next(&self) -> Option<Cursor> {
        if !self.has_more {
            return None;
        }
        let place = if self.is_list {
            Place::List {
                before: self.before + self.examined - self.gone.len(),
                landmarks: self.landmarks(),
            }
        } else {
            Place::Set {
                score: self.last_score.clone(),
                id: self.last_id.clone(),
            }
        };
        Some(place.to_cursor())
    }

    /// Some that come before what follows, the nearest first.
    fn landmarks(&self) -> Vec<String> {
        let mut landmarks = Vec::new();
        if self.examined > 0 && !self.gone.contains(&self.examined) {
            landmarks.push(self.last_id.clone());
        }
        let mut left: Vec<&Found> = self.found.iter().collect();
        left.retain(|found| found.number < self.examined && !self.gone.contains(&found.number));
        let some = [left.last(), left.get(left.len() / 2), left.first()];
        landmarks.extend(some.into_iter().flatten().map(|found| found.id.clone()));
        landmarks.extend(self.earlier.iter().cloned());
        landmarks.dedup();
        landmarks.truncate(4);
        landmarks
    }
}

/// Reads what `scripts/page.lua` gives.
pub(crate) fn read_part(
    queue: &QueueName,
    is_list: bool,
    wants_tasks: bool,
    mut items: Items,
) -> Result<Part, BrokerError> {
    let mut part = Part {
        is_list,
        total: items.count()? as u64,
        before: items.count()?,
        examined: items.count()?,
        has_more: items.integer()? == 1,
        last_score: items.text()?,
        last_id: items.text()?,
        found: Vec::new(),
        gone: Vec::new(),
        earlier: Vec::new(),
    };
    while !items.is_empty() {
        let number = items.count()?;
        let score = items.text()?;
        let task = if wants_tasks {
            match read_task(queue, &mut items)? {
                Ok(task) => Some(task),
                // It cannot be shown, nor be known to pass.
                Err(_) => continue,
            }
        } else {
            None
        };
        let id = match &task {
            Some(task) => task.id().as_str().to_owned(),
            None => items.text()?,
        };
        part.found.push(Found {
            number,
            id,
            since: read_since(is_list, &score),
            score,
            task,
        });
    }
    Ok(part)
}

/// Nanoseconds for those in a list, seconds for those in a set.
fn read_since(is_list: bool, text: &str) -> Option<Timestamp> {
    if is_list {
        let nanos: i64 = text.parse().ok()?;
        return Some(Timestamp::from_unix_micros(nanos / 1_000));
    }
    let seconds: f64 = text.parse().ok()?;
    Some(Timestamp::from_unix_micros((seconds * 1e6) as i64))
}
