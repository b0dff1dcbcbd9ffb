//! A broker that keeps everything in this process: `queue.rs` holds the tasks and moves them, the other files are one
//! per trait.

mod aggregate;
mod change;
mod dequeue;
mod enqueue;
mod finish;
mod inspect;
mod maintain;
mod operate;
mod presence;
mod queue;
mod schedule;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::broker::{Broker, Now, Operate, ServerId};
use crate::clock::{Clock, Timestamp, TokioClock};
use crate::names::QueueName;

use presence::Shown;
use queue::Queue;
use schedule::Schedules;
use watch::Watchers;

/// A broker that keeps everything in this process, for unit tests and for programs that need no second one.
///
/// It behaves as every broker does, down to counters and leases, and is gone with the process. Cheap to clone: clones
/// share their queues. Its time is tokio's, so a test that pauses and advances tokio's time moves it too.
///
/// ```
/// use asynq_core::{Client, Inspect, MemoryBroker, QueueName, RawTask};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// Client::new(broker.clone()).enqueue(RawTask::new("image:resize", "cat.png")).await?;
///
/// let info = broker.queue_info(&QueueName::default_queue()).await?.expect("the queue has a task");
/// assert_eq!(info.pending, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    // One lock for everything, and never held across an await: each call is a few map operations per task, which makes
    // it atomic at no noticeable cost.
    state: Mutex<State>,
    watchers: Watchers,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<QueueName, Queue>,
    servers: BTreeMap<ServerId, Shown>,
    schedules: Schedules,
}

impl MemoryBroker {
    /// A broker without queues, on tokio's time.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(TokioClock::new()))
    }

    /// A broker without queues, on the time of `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        MemoryBroker {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::default(),
                watchers: Watchers::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock calls code of users, so a panic there is a bug of ours; a test that meets
        // it should show that panic and not a second one about the lock.
        self.shared
            .state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn watchers(&self) -> &Watchers {
        &self.shared.watchers
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").finish_non_exhaustive()
    }
}

impl From<MemoryBroker> for Arc<dyn Broker> {
    fn from(broker: MemoryBroker) -> Self {
        Arc::new(broker)
    }
}

impl From<MemoryBroker> for Arc<dyn Operate> {
    fn from(broker: MemoryBroker) -> Self {
        Arc::new(broker)
    }
}

impl Now for MemoryBroker {
    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

/// The moment without its fraction of a second: what is stored as whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(time.unix_seconds())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::broker::{Claim, Dequeue, Enqueue, Finish, Finished, Maintain, Receipt, Settlement};
    use crate::client::new_task;
    use crate::message::TaskState;
    use crate::options::{Configure, TaskOptions};
    use crate::task::RawTask;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn queues() -> [QueueName; 1] {
        [QueueName::default_queue()]
    }

    async fn enqueue(broker: &MemoryBroker, options: TaskOptions) -> Receipt {
        let task = new_task(RawTask::new("t", "payload"), options, 1024).unwrap();
        broker.enqueue(&[task]).await.unwrap().remove(0)
    }

    #[test]
    fn a_broker_can_be_made_outside_of_a_runtime() {
        let broker = MemoryBroker::new();

        assert!(broker.now() > Timestamp::EPOCH);
    }

    #[tokio::test]
    async fn clones_share_their_queues() {
        let broker = MemoryBroker::new();
        let clone = broker.clone();

        enqueue(&broker, TaskOptions::new()).await;

        assert_eq!(clone.dequeue(&queues(), 1, LEASE).await.unwrap().tasks.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn advancing_tokio_time_makes_scheduled_tasks_due() {
        let broker = MemoryBroker::new();
        enqueue(&broker, TaskOptions::new().process_in(Duration::from_secs(60))).await;

        assert_eq!(broker.forward(&queues()[0]).await.unwrap().moved, 0);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(broker.forward(&queues()[0]).await.unwrap().moved, 1);
    }

    #[tokio::test]
    async fn a_task_is_enqueued_dequeued_and_done() {
        let broker = MemoryBroker::new();
        let receipt = enqueue(&broker, TaskOptions::new().unique(LEASE)).await;
        assert!(matches!(
            receipt,
            Receipt::Accepted {
                state: TaskState::Pending,
                ..
            }
        ));

        let leased = broker
            .dequeue(&queues(), 10, LEASE)
            .await
            .unwrap()
            .tasks
            .remove(0);
        let finish = Finish {
            key: leased.key,
            message: leased.message,
            claim: Claim::Holder,
            settlement: Settlement::Done { result: None },
        };

        assert_eq!(
            broker.finish(std::slice::from_ref(&finish)).await.unwrap(),
            [Finished::Settled]
        );
        assert_eq!(broker.finish(&[finish]).await.unwrap(), [Finished::NotOwner]);
        let again = enqueue(&broker, TaskOptions::new().unique(LEASE)).await;
        assert!(matches!(again, Receipt::Accepted { .. }));
    }
}
