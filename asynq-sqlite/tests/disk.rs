//! Disks that are full or must not be written.
//!
//! The tests mount small file systems of their own, which takes root on Linux. Where they cannot, they say so and check
//! nothing.

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use asynq_core::broker::{Claim, EntryKey, Extension, Finish, Finished, Leased, Settlement, TickReceipt};
use asynq_core::{
    BrokerError, Client, DEFAULT_MAX_PAYLOAD, Dequeue, Enqueue, EnqueueError, Inspect, Maintain, QueueName,
    RawTask, ScheduleStore, TaskOptions, Timestamp, new_task,
};
use asynq_sqlite::SqliteBroker;

const LEASE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);

fn queue() -> QueueName {
    QueueName::default_queue()
}

/// A file system of its own in memory.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let path = support::dir_of_this_test().join("small");
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path);
        if mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
        {
            return Some(Tmpfs(path));
        }
        eprintln!("NOT TESTED: no file system can be mounted here; root on Linux can");
        None
    }

    fn remount(&self, option: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{option}")]).arg(&self.0);
        assert!(mount.status().unwrap().success(), "{mount:?}");
    }

    fn file(&self) -> PathBuf {
        self.0.join("tasks.db")
    }

    fn reserve(&self) -> PathBuf {
        self.0.join("tasks.db-reserve")
    }

    /// Another program takes all that is left.
    fn fill(&self) {
        let mut file = File::create(self.others()).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    fn others(&self) -> PathBuf {
        self.0.join("others")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: connections may be open still.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Enqueues that many tasks in one call, and says how many were accepted.
async fn enqueue(broker: &SqliteBroker, tasks: usize, bytes: usize) -> Result<usize, BrokerError> {
    let tasks = (0..tasks).map(|_| RawTask::new("t", vec![b'x'; bytes]));
    let mut accepted = 0;
    for answer in Client::new(broker.clone()).enqueue_all(tasks).await {
        match answer {
            Ok(_) => accepted += 1,
            Err(EnqueueError::Broker { source, .. }) => return Err(source),
            Err(other) => panic!("{other}"),
        }
    }
    Ok(accepted)
}

fn finish(leased: &Leased, settlement: Settlement) -> Finish {
    Finish {
        key: leased.key.clone(),
        message: leased.message.clone(),
        claim: Claim::Holder,
        settlement,
    }
}

async fn take(broker: &SqliteBroker, max: usize) -> Vec<Leased> {
    let dequeued = broker
        .dequeue(&[queue()], max, LEASE)
        .await
        .expect("tasks are taken out");
    assert!(dequeued.errors.is_empty(), "{:?}", dequeued.errors);
    dequeued.tasks
}

async fn settle(broker: &SqliteBroker, tasks: &[Leased], settlement: Settlement) {
    let finishes: Vec<Finish> = tasks
        .iter()
        .map(|task| finish(task, settlement.clone()))
        .collect();
    for finished in broker.finish(&finishes).await.expect("tasks are finished") {
        assert_eq!(finished, Finished::Settled);
    }
}

fn assert_full(error: &BrokerError) {
    assert!(matches!(error, BrokerError::Full { .. }), "{error:?}");
    assert!(error.is_transient());
}

/// A disk that was filled with tasks and then with something else.
struct FullDisk {
    disk: Tmpfs,
    broker: SqliteBroker,
    accepted: usize,
    running: Vec<Leased>,
}

impl FullDisk {
    async fn new(size: &str, tasks_of_a_call: usize, bytes: usize) -> Option<Self> {
        let disk = Tmpfs::mount(size)?;
        let broker = SqliteBroker::open(disk.file()).await.unwrap();
        let mut accepted = enqueue(&broker, 20, 10).await.unwrap();
        let running = take(&broker, 5).await;
        let error = loop {
            match enqueue(&broker, tasks_of_a_call, bytes).await {
                Ok(number) => accepted += number,
                Err(error) => break error,
            }
        };
        assert_full(&error);
        disk.fill();
        Some(FullDisk {
            disk,
            broker,
            accepted,
            running,
        })
    }

    /// With enough rounds that is longer than the room set aside would last.
    async fn work(&self, rounds: usize) {
        let keys: Vec<_> = self.running.iter().map(|leased| leased.key.clone()).collect();
        for _ in 0..rounds {
            for extension in self.broker.extend(&keys, LEASE).await.expect("leases are kept") {
                assert!(matches!(extension, Extension::Held { .. }));
            }
            let taken = take(&self.broker, 3).await;
            let delay = Duration::ZERO;
            settle(&self.broker, &taken, Settlement::Snooze { delay }).await;
            self.broker.forward(&queue()).await.expect("tasks are forwarded");
        }
    }

    /// Finishes all that was accepted.
    async fn drain(&self) {
        settle(&self.broker, &self.running, Settlement::Done { result: None }).await;
        let mut finished = self.running.len();
        loop {
            let taken = take(&self.broker, 7).await;
            if taken.is_empty() {
                break;
            }
            settle(&self.broker, &taken, Settlement::Done { result: None }).await;
            finished += taken.len();
        }
        assert_eq!(finished, self.accepted);
        assert_eq!(support::integrity(&self.disk.file()).await, "ok");
    }
}

/// By itself, within some seconds.
async fn goes_on(broker: &SqliteBroker) {
    let begun = Instant::now();
    while let Err(error) = enqueue(broker, 1, 10).await {
        assert_full(&error);
        assert!(begun.elapsed() < PATIENCE, "there is room for new tasks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_accepted_is_finished_on_a_disk_full_of_small_tasks() {
    let Some(full) = FullDisk::new("16m", 50, 300).await else {
        return;
    };

    full.work(300).await;
    full.drain().await;

    let new = enqueue(&full.broker, 10, 10).await;
    assert_eq!(new.expect("there is room within the file"), 10);
    assert_eq!(take(&full.broker, 100).await.len(), 10);
}

#[tokio::test]
async fn what_was_accepted_is_finished_on_a_disk_full_of_large_tasks() {
    let Some(full) = FullDisk::new("44m", 8, 1_000_000).await else {
        return;
    };

    full.work(30).await;
    full.drain().await;
}

#[tokio::test]
async fn new_tasks_are_refused_in_all_processes_until_there_is_room() {
    let Some(full) = FullDisk::new("16m", 50, 300).await else {
        return;
    };
    full.work(300).await;
    let other_process = SqliteBroker::open(full.disk.file()).await.unwrap();

    assert_full(&enqueue(&full.broker, 1, 10).await.unwrap_err());
    let error = enqueue(&other_process, 1, 10).await.unwrap_err();
    assert_full(&error);
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(
        cause.contains("no room for") && cause.contains("tasks.db-reserve"),
        "{cause}"
    );
    assert!(!full.disk.reserve().exists());

    full.disk.remount("size=32m");

    goes_on(&full.broker).await;
    goes_on(&other_process).await;
    assert!(full.disk.reserve().exists());
}

#[tokio::test]
async fn a_full_disk_takes_neither_tick_nor_task_until_there_is_room() {
    let Some(full) = FullDisk::new("16m", 50, 300).await else {
        return;
    };
    full.work(300).await;
    let broker = &full.broker;
    let entry = EntryKey {
        queue: queue(),
        id: "e".to_owned(),
    };
    let (before, tick) = (Timestamp::from_unix_seconds(1), Timestamp::from_unix_seconds(2));
    let task = new_task(RawTask::new("t", ""), TaskOptions::new(), DEFAULT_MAX_PAYLOAD).unwrap();

    assert_full(&broker.enqueue_tick(&entry, tick, &task).await.unwrap_err());
    let last = broker.last_tick(&entry, before).await;
    assert_eq!(last.expect("schedulers go on"), before);

    full.disk.remount("size=32m");
    goes_on(broker).await;
    let receipt = broker.enqueue_tick(&entry, tick, &task).await.unwrap();
    assert!(matches!(receipt, TickReceipt::Taken(_)), "{receipt:?}");
}

/// As after a restart of the machine: SQLite has to make its log first.
#[tokio::test]
async fn a_file_on_a_full_disk_is_opened_and_drained() {
    let Some(disk) = Tmpfs::mount("16m") else { return };
    let broker = SqliteBroker::open(disk.file()).await.unwrap();
    let accepted = enqueue(&broker, 20, 10_000).await.unwrap();
    support::close(broker, &disk.file()).await;
    disk.fill();

    let broker = SqliteBroker::open(disk.file()).await.unwrap();
    let taken = take(&broker, 100).await;
    settle(&broker, &taken, Settlement::Done { result: None }).await;

    assert_eq!(taken.len(), accepted);
    assert_full(&enqueue(&broker, 1, 10).await.unwrap_err());
    let info = broker.queue_info(&queue()).await.unwrap().unwrap();
    assert_eq!((info.size(), info.processed_total), (0, accepted as u64));
    broker.ping().await.unwrap();
}

#[tokio::test]
async fn a_disk_too_small_for_anything_says_so() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    let broker = SqliteBroker::open(disk.file()).await.unwrap();

    let error = enqueue(&broker, 1, 10).await.unwrap_err();

    assert_full(&error);
}

#[tokio::test]
async fn a_read_only_file_is_denied_until_it_may_be_written() {
    let Some(disk) = Tmpfs::mount("8m") else { return };
    let broker = SqliteBroker::open(disk.file()).await.unwrap();
    enqueue(&broker, 1, 1).await.unwrap();
    support::close(broker, &disk.file()).await;
    disk.remount("ro");

    let error = SqliteBroker::open(disk.file()).await.unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let text = format!("{error} {}", cause.unwrap_or_default());
    assert!(
        matches!(error, BrokerError::Denied { .. } | BrokerError::Config(_)),
        "{error:?}"
    );
    assert!(text.contains(disk.file().to_str().unwrap()), "{text}");
    assert!(
        text.contains("is read-only: the process needs to write")
            || text.contains("must be allowed to write"),
        "{text}"
    );
    disk.remount("rw");

    let broker = SqliteBroker::open(disk.file()).await.unwrap();
    enqueue(&broker, 1, 1).await.unwrap();
}
