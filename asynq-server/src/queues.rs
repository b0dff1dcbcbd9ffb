//! In which order queues are asked for tasks. No I/O.

use std::collections::BTreeMap;

use asynq_core::QueueName;

/// The queues of a server with their priorities, and how they are drawn.
#[derive(Debug, Clone)]
pub(crate) struct QueueOrder {
    /// Highest priority first.
    queues: Vec<(QueueName, u32)>,
    strict: bool,
}

impl QueueOrder {
    /// Queues of priority zero are for the caller to refuse.
    pub(crate) fn new(queues: &BTreeMap<QueueName, u32>, strict: bool) -> Self {
        let mut queues: Vec<_> = queues
            .iter()
            .map(|(queue, priority)| (queue.clone(), *priority))
            .collect();
        queues.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
        QueueOrder { queues, strict }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &QueueName> {
        self.queues.iter().map(|(queue, _)| queue)
    }

    /// The order for one dequeue. Strict: by priority. Otherwise drawn at random without replacement, each queue with
    /// a chance of its share of the priorities to come next, as in Go asynq, whose list of repeated names gives the
    /// same chances.
    pub(crate) fn draw(&self) -> Vec<QueueName> {
        if self.strict || self.queues.len() == 1 {
            return self.names().cloned().collect();
        }
        // Sorting by an exponential random number divided by the weight draws without replacement by weight.
        let mut drawn: Vec<(f64, &QueueName)> = self
            .queues
            .iter()
            .map(|(queue, priority)| (-(1.0 - fastrand::f64()).ln() / f64::from(*priority), queue))
            .collect();
        drawn.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        drawn.into_iter().map(|(_, queue)| queue.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(queues: &[(&str, u32)], strict: bool) -> QueueOrder {
        let queues = queues
            .iter()
            .map(|(name, priority)| (QueueName::new(name).unwrap(), *priority))
            .collect();
        QueueOrder::new(&queues, strict)
    }

    proptest! {
        #[test]
        fn every_queue_is_in_every_draw_once(
            queues in prop::collection::btree_map("[a-z]{1,6}", 1u32.., 1..8),
            strict in any::<bool>(),
        ) {
            let named: Vec<(&str, u32)> = queues.iter().map(|(name, priority)| (&**name, *priority)).collect();

            let mut drawn = order(&named, strict).draw();

            drawn.sort();
            prop_assert_eq!(drawn, queues.keys().map(|name| QueueName::new(name).unwrap()).collect::<Vec<_>>());
        }

        #[test]
        fn strict_order_is_by_priority(queues in prop::collection::btree_map("[a-z]{1,6}", 1u32.., 1..8)) {
            let named: Vec<(&str, u32)> = queues.iter().map(|(name, priority)| (&**name, *priority)).collect();

            let drawn = order(&named, true).draw();

            let priorities: Vec<u32> = drawn.iter().map(|queue| queues[queue.as_str()]).collect();
            prop_assert!(priorities.is_sorted_by(|left, right| left >= right), "{:?}", priorities);
        }
    }

    #[test]
    fn a_queue_comes_first_as_often_as_its_share_says() {
        let order = order(&[("critical", 6), ("default", 3), ("low", 1)], false);
        let draws = 20_000;

        let mut first = BTreeMap::<String, u32>::new();
        for _ in 0..draws {
            *first.entry(order.draw()[0].to_string()).or_default() += 1;
        }

        // Six standard deviations: fails by chance once in half a billion runs.
        for (queue, share) in [("critical", 0.6), ("default", 0.3), ("low", 0.1)] {
            let expected = f64::from(draws) * share;
            let deviation = (f64::from(draws) * share * (1.0 - share)).sqrt();
            let seen = f64::from(first[queue]);
            assert!(
                (seen - expected).abs() < 6.0 * deviation,
                "{queue}: {seen} of {draws}"
            );
        }
    }
}
