//! Prepares every statement against the tables, and looks at how SQLite would carry it out.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use crate::config::Config;
use crate::{
    aggregate, apply, cancel, change, delete_queue, dequeue, enqueue, finish, inspect, maintain, page,
    presence, purge, queue, reserve, schedule, schedule_shown, schema, statistics, watch,
};

fn all() -> Vec<&'static str> {
    [
        aggregate::statements(),
        apply::statements(),
        cancel::statements(),
        change::statements(),
        delete_queue::statements(),
        dequeue::statements(),
        enqueue::statements(),
        finish::statements(),
        inspect::statements(),
        maintain::statements(),
        page::statements(),
        presence::statements(),
        purge::statements(),
        queue::statements(),
        reserve::statements(),
        schedule::statements(),
        schedule_shown::statements(),
        schema::statements(),
        statistics::statements(),
        watch::statements(),
    ]
    .concat()
}

/// Texts that are not statements, or make the tables and so are carried out whenever a file is opened.
const OTHERS: [&str; 5] = ["OPERATION", "ONE", "REST", "CREATE_VERSION", "WRITE_VERSION"];

const SOURCES: &[&str] = &[
    include_str!("aggregate.rs"),
    include_str!("apply.rs"),
    include_str!("cancel.rs"),
    include_str!("change.rs"),
    include_str!("delete_queue.rs"),
    include_str!("dequeue.rs"),
    include_str!("enqueue.rs"),
    include_str!("finish.rs"),
    include_str!("inspect.rs"),
    include_str!("maintain.rs"),
    include_str!("page.rs"),
    include_str!("presence.rs"),
    include_str!("purge.rs"),
    include_str!("queue.rs"),
    include_str!("reserve.rs"),
    include_str!("schedule.rs"),
    include_str!("schedule_shown.rs"),
    include_str!("schema.rs"),
    include_str!("statistics.rs"),
    include_str!("watch.rs"),
];

/// Parts of statements, and why it is well that their plan has a scan or a sort.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "SELECT name FROM asynq_queues WHERE used",
        "all queues are asked for",
    ),
    (
        "FROM asynq_servers WHERE expires >",
        "all servers are asked for; there are few",
    ),
    ("DELETE FROM asynq_servers WHERE expires", "there are few servers"),
    (
        "DELETE FROM asynq_schedulers WHERE expires",
        "there are few schedulers",
    ),
    (
        "FROM asynq_schedulers JOIN",
        "all schedulers are asked for; there are few",
    ),
    ("ORDER BY since, place", "tasks that run are few"),
    ("SELECT 1 FROM asynq_queues LIMIT 1", "stops at the first"),
    (
        "ORDER BY due_at, due_place",
        "those that are due are sorted, 500 at most",
    ),
    ("sqlite_schema", "the list of tables"),
];

struct File {
    path: PathBuf,
    connection: SqliteConnection,
}

impl File {
    async fn new() -> Self {
        let path = std::env::temp_dir().join(format!("asynq-statements-{}.db", uuid::Uuid::new_v4()));
        let config = Config::parse(&path).unwrap();
        let mut connection = config.write_options().connect().await.unwrap();
        schema::migrate(&mut connection, &path).await.unwrap();
        File { path, connection }
    }

    async fn plan(&mut self, statement: &str) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let rows = sqlx::query(AssertSqlSafe(explain))
            .fetch_all(&mut self.connection)
            .await;
        let rows = rows.unwrap_or_else(|error| panic!("{statement}\n{error}"));
        rows.iter().map(|row| row.get("detail")).collect()
    }

    async fn close(self) {
        self.connection.close().await.unwrap();
        std::fs::remove_file(self.path).unwrap();
    }
}

/// Whether a step of a plan reads a whole table or index, or sorts.
fn is_slow(step: &str) -> bool {
    // What is scanned otherwise is what the statement has made itself: due tasks, names of groups.
    let scans = step.starts_with("SCAN asynq_") || step.starts_with("SCAN sqlite_");
    scans || step.contains("AUTOMATIC") || step.contains("FOR ORDER BY")
}

#[tokio::test]
async fn every_statement_is_served_by_an_index() {
    let mut file = File::new().await;

    let mut problems = Vec::new();
    for statement in all() {
        let plan = file.plan(statement).await;
        let excepted = EXCEPTIONS.iter().any(|(part, _)| statement.contains(part));
        let is_slow = plan.iter().any(|step| is_slow(step));
        if is_slow != excepted {
            problems.push(format!(
                "slow: {is_slow}, excepted: {excepted}\n{statement}\n{plan:#?}\n"
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    file.close().await;
}

#[test]
fn no_statement_is_left_out() {
    for source in SOURCES {
        let (code, listed) = source.split_once("fn statements()").unwrap();
        let texts = code
            .lines()
            .filter_map(|line| line.trim().strip_prefix("const ")?.split_once(": &str ="));
        for (name, _) in texts.filter(|(name, _)| !OTHERS.contains(name)) {
            assert!(listed.contains(name), "{name} is not in the list of its file");
        }
    }
}
