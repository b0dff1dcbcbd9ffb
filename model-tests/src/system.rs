//! A broker, asked what the model is asked.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{
    Claim, Expired, ExpiredLease, Extension, Finish, Finished, GroupLimits, Leased, NewTask, SealedSet,
    Settlement,
};
use asynq_core::{
    Broker, BrokerError, Configure, DEFAULT_MAX_PAYLOAD, GroupName, IntoTask, ManualClock, Operate,
    QueueName, RawTask, TaskId, new_task,
};

use crate::operation::{Answer, LEASE, New, Operation, Taken};

/// A broker, and what it has given so far.
pub(crate) struct System {
    pub(crate) broker: Arc<dyn Broker>,
    operate: Arc<dyn Operate>,
    clock: Arc<ManualClock>,
    /// All that were ever given: late holders are tried too.
    leases: Vec<Leased>,
    sets: Vec<SealedSet>,
}

pub(crate) fn queue(number: usize) -> QueueName {
    QueueName::new(format!("queue-{number}")).expect("a name")
}

fn group(number: u8) -> GroupName {
    GroupName::new(format!("group-{number}")).expect("a name")
}

fn id(number: u8) -> TaskId {
    TaskId::new(number.to_string()).expect("an id")
}

fn task(new: &New) -> NewTask {
    let mut task = RawTask::new("t", vec![new.payload])
        .queue(queue(new.queue).as_str())
        .task_id(new.id.to_string());
    if new.retention > 0 {
        task = task.retention(Duration::from_secs(new.retention));
    }
    if let Some(delay) = new.delay {
        task = task.process_in(Duration::from_secs(delay));
    }
    if let Some(number) = new.group {
        task = task.group(group(number).as_str());
    }
    if let Some(ttl) = new.unique {
        task = task.unique(Duration::from_secs(ttl));
    }
    let (task, options) = task.into_task().expect("bytes");
    new_task(task, options, DEFAULT_MAX_PAYLOAD).expect("options that can be honoured")
}

impl System {
    pub(crate) fn new(broker: impl Broker + Operate, clock: Arc<ManualClock>) -> Self {
        let broker = Arc::new(broker);
        System {
            operate: broker.clone(),
            broker,
            clock,
            leases: Vec::new(),
            sets: Vec::new(),
        }
    }

    /// Those of all leases, in the order in which they were given.
    pub(crate) fn nonces(&self) -> impl Iterator<Item = u32> {
        self.leases.iter().map(|lease| lease.key.nonce)
    }

    pub(crate) async fn carry_out(&mut self, operation: &Operation) -> Result<Answer, BrokerError> {
        let broker = self.broker.clone();
        Ok(match operation {
            Operation::Enqueue(new) => {
                let tasks: Vec<NewTask> = new.iter().map(task).collect();
                Answer::Receipts(broker.enqueue(&tasks).await?)
            }
            Operation::Dequeue { queues, max } => self.dequeue(queues, *max).await?,
            Operation::Finish { finishes } => self.finish(finishes).await?,
            Operation::Extend { lease } => self.extend(*lease).await?,
            Operation::WriteResult { lease, result } => match self.lease(*lease) {
                Some(lease) => Answer::Yes(broker.write_result(&lease.key, vec![*result].into()).await?),
                None => Answer::Nothing,
            },
            Operation::Forward { queue } => {
                let forwarded = broker.forward(&self::queue(*queue)).await?;
                let (moved, next_due, more) = (forwarded.moved, forwarded.next_due, forwarded.more);
                Answer::Forwarded {
                    moved,
                    next_due,
                    more,
                }
            }
            Operation::Expired { queue, limit } => {
                let expired = broker.expired(&self::queue(*queue), *limit).await?;
                let seen = |lease: &ExpiredLease| (lease.key.id.to_string(), lease.started, lease.lost);
                Answer::Expired(expired.tasks.iter().map(seen).collect(), expired.next_expiry)
            }
            Operation::Recover { queue, settlement } => self.recover(*queue, settlement).await?,
            Operation::Purge { queue, limit } => {
                let purged = broker.purge(&self::queue(*queue), *limit).await?;
                Answer::Purged {
                    completed: purged.completed,
                    archived: purged.archived,
                    more: purged.more,
                }
            }
            Operation::Seal {
                queue,
                group,
                grace,
                max_delay,
                max_size,
            } => {
                let limits = GroupLimits {
                    grace_period: Duration::from_secs(*grace),
                    max_delay: max_delay.map(Duration::from_secs),
                    max_size: *max_size,
                };
                let sealed = broker
                    .seal(&self::queue(*queue), &self::group(*group), &limits)
                    .await?;
                let ids = |set: &SealedSet| set.tasks.iter().map(|message| message.id.to_string()).collect();
                let answer = Answer::Sealed(sealed.as_ref().map(|set| (ids(set), set.deadline)));
                self.sets.extend(sealed);
                answer
            }
            Operation::FinishSet { set, merged } => self.finish_set(*set, merged).await?,
            Operation::Reclaim { queue } => Answer::Count(broker.reclaim(&self::queue(*queue)).await?),
            Operation::Reconcile { queue } => {
                let reconciled = broker.reconcile(&self::queue(*queue), Default::default()).await?;
                Answer::Count(reconciled.total())
            }
            Operation::Pause { queue } => Answer::Yes(broker.pause(&self::queue(*queue)).await?),
            Operation::Resume { queue } => Answer::Yes(broker.resume(&self::queue(*queue)).await?),
            Operation::Cancel { queue, id } => {
                let queue = queue.map(self::queue);
                broker.cancel(queue.as_ref(), &self::id(*id)).await?;
                Answer::Nothing
            }
            Operation::Apply { queue, action, ids } => {
                let ids: Vec<TaskId> = ids.iter().map(|id| self::id(*id)).collect();
                let queue = self::queue(*queue);
                Answer::Applied(self.operate.apply_to(&queue, *action, &ids).await?)
            }
            Operation::Advance(time) => {
                self.clock.advance(*time);
                Answer::Nothing
            }
        })
    }

    fn lease(&self, number: usize) -> Option<Leased> {
        self.leases.get(number % self.leases.len().max(1)).cloned()
    }

    async fn dequeue(&mut self, queues: &[usize], max: usize) -> Result<Answer, BrokerError> {
        let names: Vec<QueueName> = queues.iter().map(|number| queue(*number)).collect();
        let dequeued = self.broker.dequeue(&names, max, LEASE).await?;
        if let Some((_, error)) = dequeued.errors.into_iter().next() {
            return Err(error);
        }
        let number = |leased: &Leased| names.iter().position(|name| *name == leased.key.queue);
        let seen = |leased: &Leased| Taken {
            queue: number(leased).map_or(usize::MAX, |place| queues[place]),
            id: leased.key.id.to_string(),
            leased_at: leased.leased_at,
            expires_at: leased.expires_at,
        };
        let answer = Answer::Taken(dequeued.tasks.iter().map(seen).collect());
        self.leases.extend(dequeued.tasks);
        Ok(answer)
    }

    async fn finish(&mut self, finishes: &[(usize, Settlement)]) -> Result<Answer, BrokerError> {
        let of = |(lease, settlement): &(usize, Settlement)| {
            let leased = self.lease(*lease)?;
            let settlement = settlement.clone();
            Some(Finish {
                key: leased.key,
                message: leased.message,
                claim: Claim::Holder,
                settlement,
            })
        };
        let finishes: Vec<Finish> = finishes.iter().filter_map(of).collect();
        Ok(settled(&self.broker.finish(&finishes).await?))
    }

    async fn extend(&mut self, lease: usize) -> Result<Answer, BrokerError> {
        let Some(leased) = self.lease(lease) else {
            return Ok(Answer::Nothing);
        };
        Ok(match self.broker.extend(&[leased.key], LEASE).await?[0] {
            Extension::Held { expires_at, cancel } => Answer::Extended(Some((expires_at, cancel))),
            Extension::Lost => Answer::Extended(None),
        })
    }

    async fn recover(&mut self, number: usize, settlement: &Settlement) -> Result<Answer, BrokerError> {
        let Expired { tasks, .. } = self.broker.expired(&queue(number), 100).await?;
        let finishes: Vec<Finish> = tasks
            .into_iter()
            .map(|expired| Finish {
                key: expired.key,
                message: expired.message,
                claim: Claim::Expired,
                settlement: settlement.clone(),
            })
            .collect();
        Ok(settled(&self.broker.finish(&finishes).await?))
    }

    async fn finish_set(&mut self, number: usize, merged: &New) -> Result<Answer, BrokerError> {
        let Some(set) = self.sets.get(number % self.sets.len().max(1)) else {
            return Ok(Answer::Nothing);
        };
        let mut merged = task(merged);
        merged.message.queue = set.key.queue.clone();
        Ok(Answer::Merged(self.broker.finish_set(&set.key, &merged).await?))
    }
}

fn settled(finished: &[Finished]) -> Answer {
    Answer::Settled(
        finished
            .iter()
            .map(|finished| *finished == Finished::Settled)
            .collect(),
    )
}
