//! Keeps queues in order.

use std::sync::Arc;

use async_trait::async_trait;
use asynq_core::broker::{
    Claim, Expired, ExpiredLease, Forwarded, LeaseKey, Purged, ReconcileCursor, Reconciled,
};
use asynq_core::{BrokerError, Maintain, QueueName, TaskId};
use redis::Value;

use crate::broker::RedisBroker;
use crate::dequeue::log_dropped;
use crate::finish::Quarantine;
use crate::keys::QueueKeys;
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};
use crate::wire;

/// A script looks at no more than this in one go, so that others get their turn.
const TASKS_PER_CALL: usize = 500;

#[async_trait]
impl Maintain for RedisBroker {
    async fn forward(&self, queue: &QueueName) -> Result<Forwarded, BrokerError> {
        const OPERATION: &str = "forward";
        let keys = QueueKeys::new(queue);
        let mut batch = Batch::new(OPERATION);
        batch
            .call(self.forward_call(&keys, keys.scheduled(), keys.group_prefix()))
            .call(self.forward_call(&keys, keys.retry(), String::new()));
        let sent = self.inner.time.sending();
        let mut all = Forwarded::default();
        for answer in self.send_idempotent(&batch).await? {
            let mut items = Items::of(OPERATION, reply::ok(OPERATION, Some(queue), answer)?)?;
            self.inner.time.observe(sent, items.timestamp()?);
            all.moved += items.count()?;
            let next_due = items.optional_timestamp()?;
            all.next_due = [all.next_due, next_due].into_iter().flatten().min();
            all.more |= items.integer()? == 1;
            log_dropped(OPERATION, queue, &mut items.items()?)?;
        }
        Ok(all)
    }

    async fn expired(&self, queue: &QueueName, limit: usize) -> Result<Expired, BrokerError> {
        const OPERATION: &str = "expired";
        let keys = QueueKeys::new(queue);
        let mut call = Call::new(&script::EXPIRED);
        call.key(keys.lease())
            .key(keys.active())
            .arg(self.inner.time.script_argument())
            .number(limit.min(TASKS_PER_CALL))
            .arg(keys.task_prefix());
        let answer = self.call_idempotent(OPERATION, queue, call).await?;
        let mut items = Items::of(OPERATION, answer)?;
        log_dropped(OPERATION, queue, &mut items.items()?)?;
        let next_expiry = items.optional_timestamp()?;
        Ok(Expired {
            tasks: self.read_expired(queue, items).await?,
            next_expiry,
        })
    }

    async fn purge(&self, queue: &QueueName, limit: usize) -> Result<Purged, BrokerError> {
        const OPERATION: &str = "purge";
        if limit == 0 {
            return Ok(Purged::default());
        }
        let keys = QueueKeys::new(queue);
        let mut call = Call::new(&script::PURGE);
        call.key(keys.completed())
            .key(keys.archived())
            .arg(self.inner.time.script_argument())
            .number(limit.min(TASKS_PER_CALL))
            .arg(keys.task_prefix());
        let mut items = Items::of(OPERATION, self.call_idempotent(OPERATION, queue, call).await?)?;
        Ok(Purged {
            completed: items.count()?,
            archived: items.count()?,
            more: items.integer()? == 1,
        })
    }

    async fn reconcile(&self, queue: &QueueName, cursor: ReconcileCursor) -> Result<Reconciled, BrokerError> {
        self.reconcile_part(queue, cursor).await
    }
}

impl RedisBroker {
    fn forward_call(&self, keys: &QueueKeys, from: String, group_prefix: String) -> Call {
        let mut call = Call::new(&script::FORWARD);
        call.key(from)
            .key(keys.pending())
            .key(keys.groups())
            .arg(self.inner.time.script_argument())
            .number(TASKS_PER_CALL)
            .arg(keys.task_prefix())
            .arg(group_prefix);
        call
    }

    /// One call about one queue, for what may be carried out twice.
    pub(crate) async fn call_idempotent(
        &self,
        operation: &'static str,
        queue: &QueueName,
        call: Call,
    ) -> Result<Value, BrokerError> {
        let mut batch = Batch::new(operation);
        batch.call(call);
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        reply::ok(operation, Some(queue), answer)
    }

    /// One call about one queue, which is not sent again when no answer came.
    pub(crate) async fn call_once(
        &self,
        operation: &'static str,
        queue: &QueueName,
        call: Call,
    ) -> Result<Value, BrokerError> {
        let mut batch = Batch::new(operation);
        batch.call(call);
        let answer = self.send(&batch).await?.into_iter().next().unwrap_or_default();
        reply::ok(operation, Some(queue), answer)
    }

    async fn read_expired(
        &self,
        queue: &QueueName,
        mut items: Items,
    ) -> Result<Vec<ExpiredLease>, BrokerError> {
        let mut expired = Vec::with_capacity(items.len() / 5);
        let mut undecodable = Vec::new();
        while !items.is_empty() {
            let id = TaskId::from_stored(items.text()?);
            let nonce = u32::try_from(items.integer()?).unwrap_or(0);
            let bytes = items.bytes()?.unwrap_or_default();
            let (started, lost) = (items.integer()? == 1, items.integer()?);
            let key = LeaseKey {
                queue: queue.clone(),
                id,
                nonce,
            };
            match wire::decode_task(bytes, queue, &key.id) {
                Ok(message) => expired.push(ExpiredLease {
                    key,
                    message: Arc::new(message),
                    started,
                    lost: u32::try_from(lost).unwrap_or(0),
                }),
                Err(error) => undecodable.push(Quarantine {
                    key,
                    claim: Claim::Expired,
                    reason: error.to_string(),
                }),
            }
        }
        self.quarantine(undecodable).await;
        Ok(expired)
    }
}
