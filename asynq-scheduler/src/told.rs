//! Tells once what goes wrong again and again.

use std::collections::BTreeSet;

/// What was told in the last round, and in this one.
#[derive(Debug, Default)]
pub(crate) struct Told {
    before: BTreeSet<String>,
    now: BTreeSet<String>,
}

impl Told {
    /// Begins a round. What does not go wrong in it is told again when it does.
    pub(crate) fn next_round(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// Whether this is to be told: it did not go wrong in the last round, and has not yet in this one.
    pub(crate) fn is_new(&mut self, what: String) -> bool {
        let was_there = self.before.contains(&what);
        self.now.insert(what) && !was_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(told: &mut Told, problems: &[&str]) -> Vec<bool> {
        told.next_round();
        problems
            .iter()
            .map(|problem| told.is_new((*problem).to_owned()))
            .collect()
    }

    #[test]
    fn what_goes_wrong_again_and_again_is_told_once() {
        let mut told = Told::default();

        assert_eq!(round(&mut told, &["a", "a", "b"]), [true, false, true]);
        assert_eq!(round(&mut told, &["b", "a", "c"]), [false, false, true]);
        assert_eq!(round(&mut told, &["a"]), [false]);
        assert_eq!(round(&mut told, &["a", "b"]), [false, true]);
    }
}
