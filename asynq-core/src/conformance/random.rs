//! Random operations: whatever is done in whatever order, no task is lost, none comes back, none is in two states.

#![allow(missing_docs, reason = "the names are sentences")]

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::{EntryKey, GroupLimits, Leased, Receipt, SealedSet, Settlement, TickReceipt};
use crate::clock::Timestamp;
use crate::message::TaskState;

use super::Subject;
use super::kit::*;

/// An operation and what it is done with. Any two bytes are one.
pub type Step = (u8, u8);

pub async fn random_operations_lose_no_task(subject: &Subject) {
    let mut random = fastrand::Rng::with_seed(20_231_114);
    let steps: Vec<Step> = (0..400).map(|_| (random.u8(..), random.u8(..))).collect();

    replay(subject, &steps).await;
}

/// Carries out the steps. After each, every task that was accepted and not deleted is there, and no other.
pub async fn replay(subject: &Subject, steps: &[Step]) {
    let mut ledger = Ledger::default();
    for step in steps {
        ledger.carry_out(subject, *step).await;
        ledger.check(subject, *step).await;
    }
}

fn random_task(with: u8) -> (String, TestTask) {
    let name = format!("task-{}", with % 16);
    let mut new = task(&name).payload(vec![with % 3]);
    if with & 0x10 != 0 {
        new = new.delayed(millis(u64::from(with) * 20));
    }
    if with & 0x20 != 0 {
        new = new.group("g");
    }
    if with & 0x40 != 0 {
        new = new.unique(secs(3600));
    }
    if with & 0x80 != 0 {
        new = new.retention(secs(10));
    }
    (name, new)
}

#[derive(Default)]
pub(super) struct Ledger {
    /// Accepted and not deleted.
    pub(super) alive: BTreeSet<String>,
    leases: Vec<Leased>,
    sets: Vec<SealedSet>,
    enqueued: u32,
    /// The last tick of each entry.
    pub(super) ticks: BTreeMap<String, i64>,
}

impl Ledger {
    pub(super) async fn carry_out(&mut self, subject: &Subject, (operation, with): Step) {
        match operation % 13 {
            0..=2 => self.enqueue(subject, with).await,
            3 | 4 => {
                let taken = subject.take_up_to(usize::from(with % 4)).await;
                self.leases.extend(taken);
            }
            5 | 6 => self.finish(subject, with).await,
            7 => self.extend(subject, with).await,
            8 => subject.advance(millis(u64::from(with) * 250)),
            9 => drop(subject.forward().await),
            10 => self.recover_or_purge(subject, with).await,
            11 => self.tick(subject, with).await,
            _ => self.aggregate(subject, with).await,
        }
    }

    async fn enqueue(&mut self, subject: &Subject, with: u8) {
        let (name, new) = random_task(with);
        let receipt = subject.enqueue(new).await;
        self.note(name, &receipt);
    }

    /// One that is not after the last is never enqueued, whatever has become of tasks meanwhile.
    async fn tick(&mut self, subject: &Subject, with: u8) {
        let entry = EntryKey {
            queue: default_queue(),
            id: format!("entry-{}", with % 2),
        };
        let number = i64::from(with / 8);
        let (name, new) = random_task(with);
        let tick = Timestamp::from_unix_seconds(number);
        let receipt = subject.broker.enqueue_tick(&entry, tick, &new.build()).await;
        let last = self.ticks.get(&entry.id).copied();
        match receipt.unwrap() {
            TickReceipt::Taken(receipt) => {
                assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
                self.ticks.insert(entry.id, number);
                self.note(name, &receipt);
            }
            TickReceipt::Passed { last: told } => {
                assert_eq!(last, Some(told.unix_seconds()));
                assert!(last >= Some(number), "{number} after {last:?}");
            }
        }
    }

    fn note(&mut self, name: String, receipt: &Receipt) {
        match receipt {
            Receipt::Accepted { .. } => assert!(self.alive.insert(name.clone()), "{name} was there already"),
            Receipt::IdTaken { .. } => assert!(self.alive.contains(&name), "{name} is not there"),
            Receipt::Duplicate { .. } => {}
        }
    }

    async fn finish(&mut self, subject: &Subject, with: u8) {
        let Some(leased) = self.pick(with) else { return };
        let settlements = every_settlement();
        let settlement = settlements[usize::from(with >> 4) % settlements.len()].clone();
        let finished = subject.finish(&leased, settlement.clone()).await;
        let deletes = match settlement {
            Settlement::Done { .. } => leased.message.retention.is_zero(),
            Settlement::Drop => true,
            _ => false,
        };
        if finished == crate::broker::Finished::Settled && deletes {
            self.alive.remove(leased.key.id.as_str());
        }
    }

    async fn extend(&mut self, subject: &Subject, with: u8) {
        if let Some(leased) = self.pick(with) {
            subject.extend(&leased).await;
            subject
                .broker
                .write_result(&leased.key, vec![with].into())
                .await
                .unwrap();
        }
    }

    /// Leases are kept when they are lost, so that they are tried again too late.
    fn pick(&self, with: u8) -> Option<Leased> {
        let place = usize::from(with) % self.leases.len().max(1);
        self.leases.get(place).cloned()
    }

    async fn recover_or_purge(&mut self, subject: &Subject, with: u8) {
        for expired in subject.expired().await {
            subject
                .finish_expired(&expired.key, &expired.message, requeue_lost())
                .await;
        }
        let completed = subject.listed(TaskState::Completed).await;
        subject
            .broker
            .purge(&default_queue(), usize::from(with % 8))
            .await
            .unwrap();
        for id in completed {
            if subject.task(&id).await.is_none() {
                self.alive.remove(&id);
            }
        }
    }

    async fn aggregate(&mut self, subject: &Subject, with: u8) {
        match with % 3 {
            0 => self.seal(subject, with).await,
            1 => self.finish_set(subject, with).await,
            _ => drop(subject.broker.reclaim(&default_queue()).await.unwrap()),
        }
    }

    async fn seal(&mut self, subject: &Subject, with: u8) {
        let limits = GroupLimits {
            grace_period: secs(u64::from(with % 5)),
            max_delay: None,
            max_size: (with & 0x80 != 0).then_some(2),
        };
        let sealed = subject.broker.seal(&default_queue(), &group("g"), &limits).await;
        self.sets.extend(sealed.unwrap());
    }

    async fn finish_set(&mut self, subject: &Subject, with: u8) {
        let place = usize::from(with) % self.sets.len().max(1);
        let Some(set) = self.sets.get(place) else { return };
        self.enqueued += 1;
        let merged = format!("merged-{}", self.enqueued);
        let new = task(&merged).build();
        let receipt = subject.broker.finish_set(&set.key, &new).await.unwrap();
        if receipt.is_some_and(|receipt| is_accepted(&receipt)) {
            for member in &set.tasks {
                assert!(self.alive.remove(member.id.as_str()), "{:?} was gone", member.id);
            }
            self.alive.insert(merged);
        }
    }

    pub(super) async fn check(&self, subject: &Subject, step: Step) {
        subject.assert_invariants().await;
        for id in &self.alive {
            assert!(
                subject.task(id).await.is_some(),
                "task {id:?} was lost by {step:?}"
            );
        }
        for n in 0..16 {
            let id = format!("task-{n}");
            if !self.alive.contains(&id) {
                assert_eq!(
                    subject.task(&id).await,
                    None,
                    "task {id:?} is back after {step:?}"
                );
            }
        }
    }
}
