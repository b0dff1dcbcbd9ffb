//! Deletes queues, in steps: first the tasks in its lists, then whatever else its keys hold, then its name.

use asynq_core::broker::QueueDeletion;
use asynq_core::{BrokerError, Cursor, QueueName};

use crate::broker::{RedisBroker, locked};
use crate::keys::{self, QueueKeys};
use crate::operate::TASKS_PER_CALL;
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};

const OPERATION: &str = "delete_queue";
/// The cursor while there are tasks in lists. Afterwards it is that of `SCAN`.
const LISTS: &str = "lists";

impl RedisBroker {
    pub(crate) async fn delete_queue_part(
        &self,
        queue: &QueueName,
        force: bool,
        after: Option<&Cursor>,
    ) -> Result<QueueDeletion, BrokerError> {
        let is_listed = self
            .ask(OPERATION, queue, "SISMEMBER", &[keys::QUEUES, queue.as_str()])
            .await?;
        if !is_listed {
            return Ok(QueueDeletion::NotFound);
        }
        let after = after.map_or(LISTS, Cursor::as_str);
        match after.parse() {
            Ok(scanned) => self.sweep(queue, force, scanned).await,
            Err(_) if after == LISTS => self.empty(queue, force).await,
            Err(_) => Err(BrokerError::Config(format!(
                "{after:?} is not a cursor of a queue deletion"
            ))),
        }
    }

    async fn empty(&self, queue: &QueueName, force: bool) -> Result<QueueDeletion, BrokerError> {
        let keys = QueueKeys::new(queue);
        let mut call = lists(Call::new(&script::EMPTY_QUEUE), &keys, force);
        call.number(TASKS_PER_CALL);
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        let deleted = items.integer()?;
        let has_more = items.integer()? == 1;
        Ok(match usize::try_from(deleted) {
            Ok(deleted) => going(deleted, if has_more { LISTS } else { "0" }),
            Err(_) => QueueDeletion::NotEmpty,
        })
    }

    async fn sweep(
        &self,
        queue: &QueueName,
        force: bool,
        scanned: u64,
    ) -> Result<QueueDeletion, BrokerError> {
        let keys = QueueKeys::new(queue);
        let (next, found) = self.scan(OPERATION, queue, keys.prefix(), scanned).await?;
        let mut deleted = 0;
        for found in found.chunks(TASKS_PER_CALL) {
            let mut call = lists(Call::new(&script::SWEEP_QUEUE), &keys, force);
            for key in found {
                call.key(key.as_str());
            }
            let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
            let (answer, has_more) = (items.integer()?, items.integer()? == 1);
            match usize::try_from(answer) {
                Ok(some) => deleted += some,
                // Somebody has enqueued tasks meanwhile.
                Err(_) if force => return Ok(going(deleted, LISTS)),
                Err(_) => return Ok(QueueDeletion::NotEmpty),
            }
            if has_more {
                return Ok(going(deleted, &scanned.to_string()));
            }
        }
        if next != 0 || deleted > 0 {
            return Ok(going(deleted, &next.to_string()));
        }
        self.unlist(queue, &keys, force).await
    }

    /// Removes the name, unless there are tasks again.
    async fn unlist(
        &self,
        queue: &QueueName,
        keys: &QueueKeys,
        force: bool,
    ) -> Result<QueueDeletion, BrokerError> {
        locked(&self.inner.published).remove(queue);
        let mut check = lists(Call::new(&script::EMPTY_QUEUE), keys, false);
        check.number(TASKS_PER_CALL);
        let mut batch = Batch::new(OPERATION);
        batch.command("SREM", &[keys::QUEUES, queue.as_str()]).call(check);
        let mut answers = self.send_idempotent(&batch).await?.into_iter();
        reply::ok(OPERATION, None, answers.next().unwrap_or_default())?;
        let answer = reply::ok(OPERATION, Some(queue), answers.next().unwrap_or_default())?;
        if Items::of(OPERATION, answer)?.integer()? == 0 {
            return Ok(QueueDeletion::Done);
        }
        let mut batch = Batch::new(OPERATION);
        batch.command("SADD", &[keys::QUEUES, queue.as_str()]);
        self.send_all(OPERATION, &batch).await?;
        Ok(if force {
            going(0, LISTS)
        } else {
            QueueDeletion::NotEmpty
        })
    }
}

fn lists(mut call: Call, keys: &QueueKeys, force: bool) -> Call {
    call.key(keys.pending())
        .key(keys.active())
        .key(keys.scheduled())
        .key(keys.retry())
        .key(keys.archived())
        .key(keys.completed())
        .key(keys.groups())
        .key(keys.aggregation_sets())
        .arg(if force { "1" } else { "" })
        .arg(keys.task_prefix())
        .arg(keys.group_prefix());
    call
}

fn going(deleted: usize, next: &str) -> QueueDeletion {
    QueueDeletion::Going {
        deleted,
        next: Cursor::new(next),
    }
}
