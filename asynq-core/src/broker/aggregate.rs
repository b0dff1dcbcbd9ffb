use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::message::TaskMessage;
use crate::names::{GroupName, QueueName};

use super::{NewTask, Receipt};

/// Merges groups of tasks into one. Asked by the aggregator of a server; implemented by brokers.
///
/// A group that is ready is sealed into a set, which has a deadline; the set is merged by the user's function and
/// finished. A set that is not finished by its deadline goes back to its group.
#[async_trait]
pub trait Aggregate: Send + Sync + 'static {
    /// The groups of a queue that have waiting tasks. Go: `ListGroups`.
    async fn groups(&self, queue: &QueueName) -> Result<Vec<GroupName>, BrokerError>;

    /// Seals tasks of a group into a set, if the group is ready by its limits: it has reached its size, its oldest
    /// task has waited for the longest delay, or no task has come for the grace period. Go: `AggregationCheck` and
    /// `ReadAggregationSet`.
    ///
    /// Undecodable tasks are set aside as archived and left out.
    async fn seal(
        &self,
        queue: &QueueName,
        group: &GroupName,
        limits: &GroupLimits,
    ) -> Result<Option<SealedSet>, BrokerError>;

    /// Enqueues the merged task and deletes the tasks of the set, releasing their uniqueness locks: both or neither.
    /// None if the set has gone back to its group or was finished before: then nothing is enqueued. When the merged task
    /// is refused (a duplicate, or its id is taken) the set is left as it was. The tasks of the set count as being there
    /// when that is decided: the merged one cannot have an id or a lock of theirs. A set past its deadline can be
    /// finished as long as it has not gone back.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Config`] if the merged task is of another queue than the set.
    async fn finish_set(&self, set: &SetKey, merged: &NewTask) -> Result<Option<Receipt>, BrokerError>;

    /// Puts the tasks of sets past their deadline back in their groups, at their old places, and says how many sets there
    /// were. The groups are listed again. Go:
    /// `ReclaimStaleAggregationSets`.
    async fn reclaim(&self, queue: &QueueName) -> Result<usize, BrokerError>;
}

/// When a group is ready to be merged. Go: `GroupGracePeriod`, `GroupMaxDelay`, `GroupMaxSize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimits {
    /// Ready when no task has come for this long.
    pub grace_period: Duration,
    /// Ready when the oldest task has waited for this long.
    pub max_delay: Option<Duration>,
    /// Ready at this many tasks; never more in one set.
    pub max_size: Option<usize>,
}

/// Names a sealed set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetKey {
    /// The queue of the group.
    pub queue: QueueName,
    /// The group whose tasks are in it.
    pub group: GroupName,
    /// Drawn when it was sealed.
    pub id: String,
}

/// Tasks of a group, ready to be merged.
#[derive(Debug, Clone)]
pub struct SealedSet {
    /// To finish it with.
    pub key: SetKey,
    /// The tasks, oldest first.
    pub tasks: Vec<TaskMessage>,
    /// When the tasks go back to their group.
    pub deadline: Timestamp,
}
