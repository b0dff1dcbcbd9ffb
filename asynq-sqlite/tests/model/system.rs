//! A broker, asked what the model is asked.

use std::sync::Arc;
use std::time::Duration;

use asynq_core::broker::{
    Claim, Expired, Extension, Finish, Finished, GroupLimits, Leased, NewTask, SealedSet, Settlement,
};
use asynq_core::{
    Broker, Configure, DEFAULT_MAX_PAYLOAD, GroupName, IntoTask, ManualClock, Page, QueueName, RawTask,
    TaskId, TaskInfo, TaskState, new_task,
};

use crate::operation::{Answer, LEASE, New, Operation, QUEUES, Shown, View};

const ALL: Page = Page::first(1000);

pub(crate) struct System {
    name: &'static str,
    broker: Arc<dyn Broker>,
    clock: Arc<ManualClock>,
    /// All that were ever given: late holders are tried too.
    leases: Vec<Leased>,
    sets: Vec<SealedSet>,
}

fn queue(number: usize) -> QueueName {
    QueueName::new(format!("queue-{number}")).unwrap()
}

fn group(number: u8) -> GroupName {
    GroupName::new(format!("group-{number}")).unwrap()
}

fn id(number: u8) -> TaskId {
    TaskId::new(number.to_string()).unwrap()
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
    let (task, options) = task.into_task().unwrap();
    new_task(task, options, DEFAULT_MAX_PAYLOAD).unwrap()
}

impl System {
    pub(crate) fn new(name: &'static str, broker: Arc<dyn Broker>, clock: Arc<ManualClock>) -> Self {
        System {
            name,
            broker,
            clock,
            leases: Vec::new(),
            sets: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) async fn carry_out(&mut self, operation: &Operation) -> Answer {
        let broker = self.broker.clone();
        match operation {
            Operation::Enqueue(new) => {
                let tasks: Vec<NewTask> = new.iter().map(task).collect();
                Answer::Receipts(broker.enqueue(&tasks).await.unwrap())
            }
            Operation::Dequeue { queues, max } => self.dequeue(queues, *max).await,
            Operation::Finish { finishes } => self.finish(finishes).await,
            Operation::Extend { lease } => self.extend(*lease).await,
            Operation::WriteResult { lease, result } => match self.lease(*lease) {
                Some(lease) => Answer::Yes(
                    broker
                        .write_result(&lease.key, vec![*result].into())
                        .await
                        .unwrap(),
                ),
                None => Answer::Nothing,
            },
            Operation::Forward { queue } => {
                let forwarded = broker.forward(&self::queue(*queue)).await.unwrap();
                let (moved, next_due, more) = (forwarded.moved, forwarded.next_due, forwarded.more);
                Answer::Forwarded {
                    moved,
                    next_due,
                    more,
                }
            }
            Operation::Expired { queue, limit } => {
                let expired = broker.expired(&self::queue(*queue), *limit).await.unwrap();
                let seen = |lease: &asynq_core::broker::ExpiredLease| {
                    (lease.key.id.to_string(), lease.started, lease.lost)
                };
                Answer::Expired(expired.tasks.iter().map(seen).collect(), expired.next_expiry)
            }
            Operation::Recover { queue, settlement } => self.recover(*queue, settlement).await,
            Operation::Purge { queue, limit } => {
                let purged = broker.purge(&self::queue(*queue), *limit).await.unwrap();
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
                    .await
                    .unwrap();
                let ids = |set: &SealedSet| set.tasks.iter().map(|message| message.id.to_string()).collect();
                let answer = Answer::Sealed(sealed.as_ref().map(|set| (ids(set), set.deadline)));
                self.sets.extend(sealed);
                answer
            }
            Operation::FinishSet { set, merged } => self.finish_set(*set, merged).await,
            Operation::Reclaim { queue } => {
                Answer::Count(broker.reclaim(&self::queue(*queue)).await.unwrap())
            }
            Operation::Reconcile { queue } => {
                let reconciled = broker
                    .reconcile(&self::queue(*queue), Default::default())
                    .await
                    .unwrap();
                Answer::Count(reconciled.total())
            }
            Operation::Pause { queue } => Answer::Yes(broker.pause(&self::queue(*queue)).await.unwrap()),
            Operation::Resume { queue } => Answer::Yes(broker.resume(&self::queue(*queue)).await.unwrap()),
            Operation::Cancel { queue, id } => {
                let queue = queue.map(self::queue);
                broker.cancel(queue.as_ref(), &self::id(*id)).await.unwrap();
                Answer::Nothing
            }
            Operation::Advance(time) => {
                self.clock.advance(*time);
                Answer::Nothing
            }
        }
    }

    fn lease(&self, number: usize) -> Option<Leased> {
        self.leases.get(number % self.leases.len().max(1)).cloned()
    }

    async fn dequeue(&mut self, queues: &[usize], max: usize) -> Answer {
        let names: Vec<QueueName> = queues.iter().map(|number| queue(*number)).collect();
        let taken = self.broker.dequeue(&names, max, LEASE).await.unwrap().tasks;
        let seen = |leased: &Leased| {
            let place = names.iter().position(|name| *name == leased.key.queue).unwrap();
            (queues[place], leased.key.id.to_string())
        };
        let answer = Answer::Taken(taken.iter().map(seen).collect());
        self.leases.extend(taken);
        answer
    }

    async fn finish(&mut self, finishes: &[(usize, Settlement)]) -> Answer {
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
        settled(&self.broker.finish(&finishes).await.unwrap())
    }

    async fn extend(&mut self, lease: usize) -> Answer {
        let Some(leased) = self.lease(lease) else {
            return Answer::Nothing;
        };
        match self.broker.extend(&[leased.key], LEASE).await.unwrap()[0] {
            Extension::Held { expires_at, cancel } => Answer::Extended(Some((expires_at, cancel))),
            Extension::Lost => Answer::Extended(None),
        }
    }

    async fn recover(&mut self, number: usize, settlement: &Settlement) -> Answer {
        let Expired { tasks, .. } = self.broker.expired(&queue(number), 100).await.unwrap();
        let finishes: Vec<Finish> = tasks
            .into_iter()
            .map(|expired| Finish {
                key: expired.key,
                message: expired.message,
                claim: Claim::Expired,
                settlement: settlement.clone(),
            })
            .collect();
        settled(&self.broker.finish(&finishes).await.unwrap())
    }

    async fn finish_set(&mut self, number: usize, merged: &New) -> Answer {
        let Some(set) = self.sets.get(number % self.sets.len().max(1)) else {
            return Answer::Nothing;
        };
        let mut merged = task(merged);
        merged.message.queue = set.key.queue.clone();
        Answer::Merged(self.broker.finish_set(&set.key, &merged).await.unwrap())
    }

    pub(crate) async fn view(&self) -> Vec<Option<View>> {
        let mut views = Vec::new();
        for number in 0..QUEUES {
            views.push(self.view_of(&queue(number)).await);
        }
        views
    }

    async fn view_of(&self, queue: &QueueName) -> Option<View> {
        let info = self.broker.queue_info(queue).await.unwrap()?;
        let groups = self.broker.groups(queue).await.unwrap();
        let mut lists = Vec::new();
        for state in TaskState::ALL
            .into_iter()
            .filter(|state| *state != TaskState::Aggregating)
        {
            lists.push(shown(&self.broker.tasks(queue, state, None, ALL).await.unwrap()));
        }
        for group in &groups {
            lists.push(shown(
                &self
                    .broker
                    .tasks(queue, TaskState::Aggregating, Some(group), ALL)
                    .await
                    .unwrap(),
            ));
        }
        let mut groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        groups.sort();
        assert_eq!(groups.len() as u64, info.groups);
        Some(View {
            lists,
            groups,
            counts: vec![
                info.active,
                info.pending,
                info.scheduled,
                info.retry,
                info.archived,
                info.completed,
                info.aggregating,
            ],
            attempts: [
                info.processed,
                info.failed,
                info.processed_total,
                info.failed_total,
            ],
            is_paused: info.paused,
            oldest: info.oldest_pending_since,
        })
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

fn shown(tasks: &[TaskInfo]) -> Vec<Shown> {
    let one = |info: &TaskInfo| Shown {
        id: info.id().to_string(),
        state: info.state,
        payload: info.message.payload[0],
        next: info.next_process_at,
        result: info.result.as_ref().map(|result| result[0]),
        is_orphaned: info.is_orphaned,
        retried: info.message.retried,
        error: info.message.last_error.clone(),
        failed_at: info.message.last_failed_at,
        completed_at: info.message.completed_at,
    };
    tasks.iter().map(one).collect()
}
