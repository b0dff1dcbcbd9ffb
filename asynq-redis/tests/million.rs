//! With a million tasks in a queue no call holds the server for long. Run it by hand:
//!
//! ```text
//! cargo test --release --package asynq-redis --test million -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::time::{Duration, Instant};

use asynq_core::broker::{Action, NewTask, Placement};
use asynq_core::{Enqueue, Filter, Inspector, TaskId, TaskList, When};
use asynq_fixtures::{RedisOptions, RedisServer};

use support::*;

const TASKS: usize = 1_000_000;
/// The longest that a call may hold the server.
const LONGEST: Duration = Duration::from_millis(50);

struct Crowd {
    subject: Subject,
    inspector: Inspector,
    tasks: usize,
}

impl Crowd {
    async fn fill(&self, letter: &str, placement: Placement) {
        for first in (0..self.tasks).step_by(10_000) {
            let batch: Vec<NewTask> = (first..(first + 10_000).min(self.tasks))
                .map(|n| {
                    let mut new = task(&format!("{letter}-{n:08}-1b4e28ba-2fa1-11d2-883f"));
                    new.message.payload = format!("{{\"of\":{}}}", n % 10).into();
                    new.placement = placement;
                    new
                })
                .collect();
            self.subject.broker.enqueue(&batch).await.unwrap();
        }
        let mut raw = self.subject.raw.clone();
        redis::cmd("SLOWLOG")
            .arg("RESET")
            .exec_async(&mut raw)
            .await
            .unwrap();
    }

    fn id(&self, letter: &str, n: usize) -> TaskId {
        id(&format!("{letter}-{n:08}-1b4e28ba-2fa1-11d2-883f"))
    }

    /// How long the longest command took since the last time.
    async fn longest(&self) -> Duration {
        let mut raw = self.subject.raw.clone();
        let entries: Vec<redis::Value> = redis::cmd("SLOWLOG")
            .arg("GET")
            .arg(-1)
            .query_async(&mut raw)
            .await
            .unwrap();
        redis::cmd("SLOWLOG")
            .arg("RESET")
            .exec_async(&mut raw)
            .await
            .unwrap();
        let micros = entries.iter().map(|entry| match entry {
            redis::Value::Array(parts) => match parts[2] {
                redis::Value::Int(micros) => micros.unsigned_abs(),
                _ => 0,
            },
            _ => 0,
        });
        Duration::from_micros(micros.max().unwrap_or(0))
    }

    async fn report(&self, what: &str, begun: Instant, units: &str) {
        let longest = self.longest().await;
        println!(
            "{what}: {units} in {:.1?}, longest call {longest:.1?}",
            begun.elapsed()
        );
        assert!(longest < LONGEST, "{what} held the server for {longest:?}");
    }

    async fn search(&self, list: TaskList, filter: Filter) {
        let what = format!("search {list} {filter:?}");
        let begun = Instant::now();
        let mut search = self
            .inspector
            .search(&queue("q"), list)
            .matching(filter)
            .page_size(500);
        let (mut pages, mut found) = (0, 0);
        while let Some(page) = search.next().await {
            pages += 1;
            found += page.unwrap().len();
        }
        self.report(&what, begun, &format!("{found} tasks on {pages} pages"))
            .await;
    }

    async fn bulk(&self, list: TaskList, action: Action, filter: Filter) {
        let what = format!("{action} all {list} {filter:?}");
        let begun = Instant::now();
        let bulk = self
            .inspector
            .apply_to_all(&queue("q"), list, action)
            .matching(filter);
        let done = bulk.finish().await.unwrap().done;
        self.report(&what, begun, &format!("{done} tasks")).await;
    }

    async fn selection(&self, letter: &str, action: Action) {
        let ids: Vec<TaskId> = (0..100)
            .map(|n| self.id(letter, n * self.tasks / 100 + 7))
            .collect();
        let begun = Instant::now();
        let results = self.inspector.apply_to(&queue("q"), action, &ids).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        self.report(&format!("{action} a selection"), begun, "100 tasks")
            .await;
    }

    async fn single(&self, letter: &str) {
        let middle = self.id(letter, self.tasks / 2 + 1);
        let begun = Instant::now();
        self.inspector.task(&queue("q"), &middle).await.unwrap();
        self.inspector
            .update_payload(&queue("q"), &middle, "new")
            .await
            .unwrap();
        self.inspector
            .reschedule_task(&queue("q"), &middle, When::In(Duration::from_secs(9_000)))
            .await
            .unwrap();
        self.inspector.queue_info(&queue("q")).await.unwrap();
        self.inspector.memory_usage(&queue("q")).await.unwrap();
        self.report("look at and change one", begun, "1 task").await;
    }

    /// Pages while workers take tasks out: the place has to be found again each time.
    async fn search_under_way(&self) {
        let begun = Instant::now();
        let mut search = self
            .inspector
            .search(&queue("q"), TaskList::Pending)
            .page_size(500);
        let mut pages = 0;
        while let Some(page) = search.next().await {
            page.unwrap();
            pages += 1;
            if pages % 20 == 0 {
                for _ in 0..5 {
                    self.subject.dequeue(500).await;
                }
            }
        }
        self.report(
            "search pending while tasks are taken out",
            begun,
            &format!("{pages} pages"),
        )
        .await;
    }
}

#[tokio::test]
#[ignore = "a million tasks take minutes and a gigabyte of memory"]
async fn no_call_holds_the_server_for_long() {
    let slowlog = ["--slowlog-log-slower-than", "2000", "--slowlog-max-len", "1000"];
    let server = RedisServer::start_with(RedisOptions {
        arguments: slowlog.map(String::from).to_vec(),
        ..RedisOptions::default()
    });
    let subject = Subject::at(&server.url()).await;
    let tasks = std::env::var("ASYNQ_TEST_TASKS").map_or(TASKS, |tasks| tasks.parse().unwrap());
    let inspector = Inspector::new(subject.broker.clone());
    let crowd = Crowd {
        subject,
        inspector,
        tasks,
    };
    let some = || Filter::new().payload("3");

    crowd.fill("p", Placement::Now).await;
    crowd.search(TaskList::Pending, Filter::new()).await;
    crowd
        .search(TaskList::Pending, Filter::new().id_prefix("p-0009"))
        .await;
    crowd.single("p").await;
    crowd.selection("p", Action::Archive).await;
    crowd.bulk(TaskList::Pending, Action::Archive, some()).await;
    crowd
        .bulk(
            TaskList::Pending,
            Action::Delete,
            Filter::new().payload("{\"of\":5}"),
        )
        .await;
    crowd.search_under_way().await;
    crowd.bulk(TaskList::Active, Action::Cancel, Filter::new()).await;
    crowd
        .bulk(TaskList::Pending, Action::Archive, Filter::new())
        .await;

    // All of them are due in the same second: equal scores are the hard case.
    crowd
        .fill("s", Placement::Later(When::In(Duration::from_secs(3600))))
        .await;
    crowd.search(TaskList::Scheduled, Filter::new()).await;
    crowd.bulk(TaskList::Scheduled, Action::Delete, some()).await;
    crowd.bulk(TaskList::Scheduled, Action::Run, Filter::new()).await;
    let begun = Instant::now();
    let active = crowd.inspector.force_delete_queue(&queue("q")).finish().await;
    assert!(active.is_err(), "there are active tasks");
    let mut raw = crowd.subject.raw.clone();
    redis::cmd("DEL")
        .arg("asynq:{q}:active")
        .exec_async(&mut raw)
        .await
        .unwrap();
    let deleted = crowd
        .inspector
        .force_delete_queue(&queue("q"))
        .finish()
        .await
        .unwrap();
    crowd
        .report("delete the queue", begun, &format!("{} tasks", deleted.done))
        .await;
    let left: u64 = redis::cmd("DBSIZE").query_async(&mut raw).await.unwrap();
    assert_eq!(left, 0);
}
