//! Keeps leases. What the score of a lease means is said in `scripts/lib/lease.lua`.

use std::collections::BTreeMap;
use std::time::Duration;

use asynq_core::broker::{Extension, LeaseKey};
use asynq_core::{BrokerError, QueueName, Timestamp};
use bytes::Bytes;
use redis::Value;

use crate::broker::{RedisBroker, micros};
use crate::dequeue::expiry;
use crate::error::unexpected;
use crate::keys::QueueKeys;
use crate::reply::{self, Items};
use crate::script::{self, Batch, Call};

const OPERATION: &str = "extend";
const LEASES_PER_CALL: usize = 500;

impl RedisBroker {
    pub(crate) async fn extend_leases(
        &self,
        leases: &[LeaseKey],
        lease: Duration,
    ) -> Result<Vec<Extension>, BrokerError> {
        let mut by_queue: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
        for (position, key) in leases.iter().enumerate() {
            by_queue.entry(&key.queue).or_default().push(position);
        }
        let chunks: Vec<&[usize]> = by_queue
            .values()
            .flat_map(|positions| positions.chunks(LEASES_PER_CALL))
            .collect();
        let mut batch = Batch::new(OPERATION);
        for positions in &chunks {
            batch.call(self.extend_call(leases, positions, lease));
        }
        let sent = self.inner.time.sending();
        let answers = batch.send_idempotent(&self.inner.lease_link).await?;
        let mut extensions = vec![None; leases.len()];
        for (positions, answer) in chunks.iter().zip(answers) {
            let answer = reply::ok(OPERATION, Some(&leases[positions[0]].queue), answer)?;
            let mut items = Items::of(OPERATION, answer)?;
            let now = items.timestamp()?;
            self.inner.time.observe(sent, now);
            for position in *positions {
                extensions[*position] = Some(read_extension(items.integer()?, now, lease));
            }
        }
        let missing = || unexpected(OPERATION, &Value::Nil);
        extensions
            .into_iter()
            .map(|one| one.ok_or_else(missing))
            .collect()
    }

    fn extend_call(&self, leases: &[LeaseKey], positions: &[usize], lease: Duration) -> Call {
        let keys = QueueKeys::new(&leases[positions[0]].queue);
        let mut call = Call::new(&script::EXTEND);
        call.key(keys.lease())
            .arg(self.inner.time.script_argument())
            .number(micros(lease));
        for position in positions {
            let key = &leases[*position];
            call.key(keys.task(&key.id))
                .arg(key.id.as_str())
                .number(key.nonce);
        }
        call
    }

    pub(crate) async fn write_result_of(&self, lease: &LeaseKey, result: Bytes) -> Result<bool, BrokerError> {
        const OPERATION: &str = "write_result";
        let keys = QueueKeys::new(&lease.queue);
        let mut call = Call::new(&script::WRITE_RESULT);
        call.key(keys.lease())
            .key(keys.task(&lease.id))
            .arg(lease.id.as_str())
            .number(lease.nonce)
            .arg(result.as_ref());
        let mut batch = Batch::new(OPERATION);
        batch.call(call);
        let answer = self
            .send_idempotent(&batch)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default();
        let answer = reply::ok(OPERATION, Some(&lease.queue), answer)?;
        Ok(reply::integer(OPERATION, answer)? == 1)
    }
}

fn read_extension(code: i64, now: Timestamp, lease: Duration) -> Extension {
    match code {
        0 => Extension::Lost,
        code => Extension::Held {
            expires_at: expiry(now, lease),
            cancel: code == 2,
        },
    }
}
