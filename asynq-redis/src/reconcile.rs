//! Mends what other programs left behind.
//!
//! One pass goes over the active tasks, the leases, the keys of groups, and the keys of tasks. The lowest two bits of the
//! cursor say which of them, the others where.

use asynq_core::broker::{ReconcileCursor, Reconciled};
use asynq_core::{BrokerError, QueueName};
use redis::Value;

use crate::broker::RedisBroker;
use crate::keys::{QueueKeys, escape_glob};
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};

const OPERATION: &str = "reconcile";
/// How many a script looks at in one go.
const PAGE: u64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Active(u64),
    Leases(u64),
    /// Before the tasks: those in a set that nobody lists would seem to be nowhere.
    Groups(u64),
    Tasks(u64),
}

impl Stage {
    fn of(cursor: ReconcileCursor) -> Self {
        let position = cursor.0 >> 2;
        match cursor.0 & 3 {
            0 => Stage::Active(position),
            1 => Stage::Leases(position),
            2 => Stage::Groups(position),
            _ => Stage::Tasks(position),
        }
    }

    fn cursor(self) -> ReconcileCursor {
        ReconcileCursor(match self {
            Stage::Active(position) => position << 2,
            Stage::Leases(position) => position << 2 | 1,
            Stage::Groups(position) => position << 2 | 2,
            Stage::Tasks(position) => position << 2 | 3,
        })
    }
}

impl RedisBroker {
    pub(crate) async fn reconcile_part(
        &self,
        queue: &QueueName,
        cursor: ReconcileCursor,
    ) -> Result<Reconciled, BrokerError> {
        let keys = QueueKeys::new(queue);
        match Stage::of(cursor) {
            Stage::Active(first) => self.reconcile_active(queue, &keys, first).await,
            Stage::Leases(first) => self.reconcile_leases(queue, &keys, first).await,
            Stage::Groups(cursor) => self.reconcile_groups(queue, &keys, cursor).await,
            Stage::Tasks(cursor) => self.reconcile_tasks(queue, &keys, cursor).await,
        }
    }

    async fn reconcile_active(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        first: u64,
    ) -> Result<Reconciled, BrokerError> {
        let mut call = Call::new(&script::RECONCILE_ACTIVE);
        call.key(keys.active())
            .key(keys.lease())
            .arg(self.inner.time.script_argument())
            .number(first)
            .arg(keys.task_prefix());
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        let has_more = items.integer()? == 1;
        let (added, removed) = (items.count()?, items.integer()?.unsigned_abs());
        // What was taken out of the list moved the others up.
        let next = if has_more {
            Stage::Active(first + PAGE - removed.min(PAGE))
        } else {
            Stage::Leases(0)
        };
        Ok(Reconciled {
            leases_added: added,
            remains_deleted: items.count()?,
            next: next.cursor(),
            ..Reconciled::default()
        })
    }

    async fn reconcile_leases(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        first: u64,
    ) -> Result<Reconciled, BrokerError> {
        let mut call = Call::new(&script::RECONCILE_LEASES);
        call.key(keys.active())
            .key(keys.lease())
            .number(first)
            .arg(keys.task_prefix());
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        let has_more = items.integer()? == 1;
        let removed = items.count()?;
        let next = if has_more {
            Stage::Leases(first + PAGE - (removed as u64).min(PAGE))
        } else {
            Stage::Groups(0)
        };
        Ok(Reconciled {
            leases_removed: removed,
            tasks_relisted: items.count()?,
            next: next.cursor(),
            ..Reconciled::default()
        })
    }

    async fn reconcile_groups(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        cursor: u64,
    ) -> Result<Reconciled, BrokerError> {
        let (next, found) = self.scan(OPERATION, queue, &keys.group_prefix(), cursor).await?;
        let mut reconciled = Reconciled::default();
        for groups in found.chunks(PAGE as usize) {
            reconciled.groups_relisted += self.relist_groups(queue, keys, groups).await?;
        }
        let next = if next == 0 {
            Stage::Tasks(0)
        } else {
            Stage::Groups(next)
        };
        reconciled.next = next.cursor();
        Ok(reconciled)
    }

    async fn reconcile_tasks(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        cursor: u64,
    ) -> Result<Reconciled, BrokerError> {
        let (next, found) = self.scan(OPERATION, queue, &keys.task_prefix(), cursor).await?;
        let mut reconciled = Reconciled::default();
        for tasks in found.chunks(PAGE as usize) {
            let (relisted, deleted) = self.relist_tasks(queue, keys, tasks).await?;
            reconciled.tasks_relisted += relisted;
            reconciled.remains_deleted += deleted;
        }
        if next != 0 {
            reconciled.next = Stage::Tasks(next).cursor();
        }
        Ok(reconciled)
    }

    /// Some keys with this prefix, and where to go on; zero at the end.
    pub(crate) async fn scan(
        &self,
        operation: &'static str,
        queue: &QueueName,
        prefix: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<String>), BrokerError> {
        let pattern = format!("{}*", escape_glob(prefix));
        let mut batch = Batch::new(operation);
        batch.command(
            "SCAN",
            &[&cursor.to_string(), "MATCH", &pattern, "COUNT", &PAGE.to_string()],
        );
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let mut items = Items::of(operation, reply::ok(operation, Some(queue), answer)?)?;
        let next = items.text()?.parse().unwrap_or(0);
        let mut found = items.items()?;
        let mut keys = Vec::with_capacity(found.len());
        while !found.is_empty() {
            // A key that is not UTF-8 is nobody's that we know.
            if let Value::BulkString(key) = found.value()?
                && let Ok(key) = String::from_utf8(key)
            {
                keys.push(key);
            }
        }
        Ok((next, keys))
    }

    async fn relist_tasks(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        tasks: &[String],
    ) -> Result<(usize, usize), BrokerError> {
        let mut call = Call::new(&script::RECONCILE_TASKS);
        call.key(keys.pending())
            .key(keys.active())
            .key(keys.lease())
            .key(keys.scheduled())
            .key(keys.retry())
            .key(keys.archived())
            .key(keys.completed())
            .key(keys.groups())
            .key(keys.aggregation_sets())
            .arg(self.inner.time.script_argument())
            .arg(keys.task_prefix())
            .arg(keys.group_prefix());
        for task in tasks {
            call.key(task.as_str());
        }
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        Ok((items.count()?, items.count()?))
    }

    async fn relist_groups(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        groups: &[String],
    ) -> Result<usize, BrokerError> {
        let mut call = Call::new(&script::RECONCILE_GROUPS);
        call.key(keys.groups())
            .key(keys.aggregation_sets())
            .arg(self.inner.time.script_argument())
            .arg(keys.task_prefix())
            .arg(keys.group_prefix());
        for group in groups {
            call.key(group.as_str());
        }
        let answer = self.call_idempotent(OPERATION, queue, call).await?;
        Ok(usize::try_from(reply::integer(OPERATION, answer)?).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_cursor_is_the_beginning() {
        assert_eq!(Stage::of(ReconcileCursor::default()), Stage::Active(0));
        for stage in [
            Stage::Active(500),
            Stage::Leases(0),
            Stage::Groups(7),
            Stage::Tasks(1 << 40),
        ] {
            assert_eq!(Stage::of(stage.cursor()), stage);
        }
    }
}
