//! Runs, archives, deletes and cancels tasks that somebody chose.

use async_trait::async_trait;
use asynq_core::broker::Applied;
use asynq_core::{Action, BrokerError, QueueName, TaskId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::cancel::RequestCancel;
use crate::page::{Found, Slot};
use crate::purge::Purge;
use crate::queue::{places, release};
use crate::row::whole_second;
use crate::writer::{Operation, Transaction};

/// How many tasks one transaction acts on: others get their turn at the lock.
const TASKS_PER_COMMIT: usize = 100;
/// How many of the oldest leave a full archive with one transaction: more than come, so one that was too large shrinks.
const MOST_SURPLUS: usize = 5 * TASKS_PER_COMMIT;

/// A task to act on.
pub(crate) struct Target {
    id: TaskId,
    /// Where it was found. Left alone if it is elsewhere by now.
    slot: Option<Slot>,
}

impl From<Found> for Target {
    fn from(found: Found) -> Self {
        Target {
            id: found.id,
            slot: Some(found.slot),
        }
    }
}

impl From<&TaskId> for Target {
    fn from(id: &TaskId) -> Self {
        Target {
            id: id.clone(),
            slot: None,
        }
    }
}

impl SqliteBroker {
    /// Acts on each of them, with an answer for each.
    pub(crate) async fn apply_to_each(
        &self,
        queue: &QueueName,
        action: Action,
        targets: Vec<Target>,
    ) -> Result<Vec<Applied>, BrokerError> {
        let mut applied = Vec::with_capacity(targets.len());
        let mut targets = targets.into_iter();
        loop {
            let some: Vec<Target> = targets.by_ref().take(TASKS_PER_COMMIT).collect();
            if some.is_empty() {
                return Ok(applied);
            }
            let queue = queue.clone();
            let apply = Apply {
                queue,
                action,
                targets: some,
            };
            applied.extend(self.write(apply).await?);
        }
    }
}

struct Apply {
    queue: QueueName,
    action: Action,
    targets: Vec<Target>,
}

#[async_trait]
impl Operation for Apply {
    type Answer = Vec<Applied>;

    fn name(&self) -> &'static str {
        self.action.as_str()
    }

    fn queue(&self) -> Option<&QueueName> {
        Some(&self.queue)
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Vec<Applied>, sqlx::Error> {
        let mut answers = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            answers.push(self.apply(transaction, target).await?);
        }
        if answers.contains(&Applied::Done) {
            self.follow_up(transaction).await?;
        }
        Ok(answers)
    }
}

const STANDING: &str = "SELECT number, state, at, since, place, set_id IS NOT NULL AS is_sealed, unique_key
    FROM asynq_tasks WHERE queue = ?1 AND id = ?2";
const RUN: &str =
    "UPDATE asynq_tasks SET state = 'pending', at = 0, place = ?2, since = ?3 WHERE number = ?1";
const ARCHIVE: &str =
    "UPDATE asynq_tasks SET state = 'archived', at = ?3, place = ?2, lost = 0 WHERE number = ?1";
const DELETE: &str = "DELETE FROM asynq_tasks WHERE number = ?1";

impl Apply {
    async fn apply(&self, transaction: &mut Transaction, target: &Target) -> Result<Applied, sqlx::Error> {
        let row = sqlx::query(STANDING)
            .bind(self.queue.as_str())
            .bind(target.id.as_str())
            .fetch_optional(&mut transaction.connection)
            .await?;
        let Some(row) = row else {
            return Ok(Applied::NotFound);
        };
        let slot = Slot::of(&row)?;
        let has_moved = target.slot.is_some_and(|found| found != slot);
        if has_moved || !self.action.is_for(slot.state) {
            return Ok(Applied::WrongState(slot.state));
        }
        if row.try_get("is_sealed")? {
            return Ok(Applied::BeingMerged);
        }
        self.carry_out_on(transaction, &target.id, &row).await?;
        Ok(Applied::Done)
    }

    async fn carry_out_on(
        &self,
        transaction: &mut Transaction,
        id: &TaskId,
        row: &SqliteRow,
    ) -> Result<(), sqlx::Error> {
        let now = transaction.now;
        let connection = &mut transaction.connection;
        match self.action {
            Action::Run => self.relocate(connection, RUN, row, now.unix_micros()).await,
            Action::Archive => {
                let since = whole_second(now).unix_micros();
                self.relocate(connection, ARCHIVE, row, since).await
            }
            Action::Delete => self.delete(connection, id, row).await,
            Action::Cancel => {
                let (queue, id) = (Some(self.queue.clone()), id.clone());
                RequestCancel { queue, id }.carry_out(transaction).await
            }
        }
    }

    async fn relocate(
        &self,
        connection: &mut SqliteConnection,
        statement: &'static str,
        row: &SqliteRow,
        since: i64,
    ) -> Result<(), sqlx::Error> {
        let place = places(connection, &self.queue, 1).await?;
        sqlx::query(statement)
            .bind(row.try_get::<i64, _>("number")?)
            .bind(place)
            .bind(since)
            .execute(connection)
            .await
            .map(drop)
    }

    async fn delete(
        &self,
        connection: &mut SqliteConnection,
        id: &TaskId,
        row: &SqliteRow,
    ) -> Result<(), sqlx::Error> {
        if let Some(unique_key) = row.try_get("unique_key")? {
            release(connection, &self.queue, unique_key, id.as_str()).await?;
        }
        sqlx::query(DELETE)
            .bind(row.try_get::<i64, _>("number")?)
            .execute(connection)
            .await
            .map(drop)
    }

    async fn follow_up(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        match self.action {
            Action::Run => transaction.changes.pending(&self.queue),
            // An archive that grows without end would do so until the next purge.
            Action::Archive => {
                let (queue, limit) = (self.queue.clone(), MOST_SURPLUS);
                let purge = Purge { queue, limit };
                purge.drop_surplus(&mut transaction.connection).await?;
            }
            Action::Delete | Action::Cancel => {}
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![STANDING, RUN, ARCHIVE, DELETE]
}
