//! What a broker may do otherwise than the plain model, each with its reason. Nothing else is forgiven.

use asynq_core::Timestamp;

/// Nonces are the fraction of a lease's score, in 20 bits.
const NONCES: f64 = 1_048_576.0;

/// How a broker keeps times and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ways {
    /// To the microsecond; those of the same time in the order in which they came.
    Exact,
    /// As Go asynq must read it: scores are whole seconds, and a sorted set orders members of the same score by their
    /// names.
    Redis,
}

impl Ways {
    /// When something begins to wait in a group, and when a set goes back: scores are rounded down.
    pub(crate) fn rounded_down(self, time: Timestamp) -> Timestamp {
        match self {
            Ways::Exact => time,
            Ways::Redis => Timestamp::from_unix_seconds(time.unix_seconds()),
        }
    }

    /// The time by which scheduled tasks and retries are listed: scores are rounded up, so that Go is never early. They
    /// become due at their exact time all the same.
    pub(crate) fn listed_at(self, due: Timestamp) -> Timestamp {
        match self {
            Ways::Exact => due,
            Ways::Redis => Timestamp::from_unix_seconds(due.unix_seconds_ceil()),
        }
    }

    /// What decides between tasks of the same time.
    pub(crate) fn tie(self, arrival: i64, id: u8) -> i64 {
        match self {
            Ways::Exact => arrival,
            Ways::Redis => i64::from(id),
        }
    }

    /// Whether a lease has ended. A score is the whole second in which it ends plus the nonce as fraction, so that Go can
    /// compare it: it is up to a second off. Computed in doubles, as Redis does.
    pub(crate) fn has_ended(self, end: Timestamp, nonce: u32, now: Timestamp) -> bool {
        match self {
            Ways::Exact => end <= now,
            Ways::Redis => score(end, nonce) <= now.unix_micros() as f64 / 1e6,
        }
    }

    /// When a lease ends, as it is told to those who look for leases that have.
    pub(crate) fn told_end(self, end: Timestamp, nonce: u32) -> Timestamp {
        match self {
            Ways::Exact => end,
            Ways::Redis => Timestamp::from_unix_micros((score(end, nonce) * 1e6).round_ties_even() as i64),
        }
    }

    /// Orders leases by their end. Those of one call have the same.
    pub(crate) fn lease_order(self, end: Timestamp, nonce: u32) -> i64 {
        self.told_end(end, nonce).unix_micros()
    }

    /// Scheduled tasks and retries are two sorted sets, forwarded one after the other, as Go does: only within each do
    /// those due earlier come first.
    pub(crate) fn forwards_scheduled_first(self) -> bool {
        self == Ways::Redis
    }

    /// That there is more to purge is said when the limit was reached, without a look at whether there is.
    pub(crate) fn says_more_at_limit(self) -> bool {
        self == Ways::Redis
    }

    /// Without a queue a cancellation is published and not stored, since nobody knows which queues have the id: only those
    /// who listen learn of it.
    pub(crate) fn stores_cancellation_for_all_queues(self) -> bool {
        self == Ways::Exact
    }
}

fn score(end: Timestamp, nonce: u32) -> f64 {
    end.unix_seconds() as f64 + f64::from(nonce) / NONCES
}
