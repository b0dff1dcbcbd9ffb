use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::LazyLock;

use async_trait::async_trait;
use asynq_core::broker::{NewTask, Placement, Receipt};
use asynq_core::{BrokerError, Enqueue, QueueName, TaskId, TaskMessage, TaskState, Timestamp};
use sha2::{Digest, Sha256};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite, SqliteConnection};

use crate::broker::SqliteBroker;
use crate::queue::places;
use crate::row::micros;
use crate::watch::Changes;
use crate::writer::{Operation, Transaction};

const OPERATION: &str = "enqueue";

#[async_trait]
impl Enqueue for SqliteBroker {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Receipt>, BrokerError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        self.write(StoreTasks(tasks.to_vec())).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        const OPERATION: &str = "ping";
        let mut reader = self.reader(OPERATION).await?;
        let answer = sqlx::query(PING).fetch_one(&mut *reader).await;
        answer.map(drop).map_err(self.failed(OPERATION, None))
    }
}

// Reads from the file, as `SELECT 1` does not.
const PING: &str = "SELECT count(*) FROM (SELECT 1 FROM asynq_queues LIMIT 1)";

struct StoreTasks(Vec<NewTask>);

#[async_trait]
impl Operation for StoreTasks {
    type Answer = Vec<Receipt>;

    fn name(&self) -> &'static str {
        OPERATION
    }

    fn brings(&self) -> Option<u64> {
        Some(self.0.iter().map(size).sum())
    }

    async fn carry_out(&self, transaction: &mut Transaction) -> Result<Vec<Receipt>, sqlx::Error> {
        let receipts = store(&mut transaction.connection, &self.0, transaction.now).await?;
        note_changes(&mut transaction.changes, &self.0, &receipts);
        Ok(receipts)
    }
}

/// About how many bytes a task takes in the file.
pub(crate) fn size(task: &NewTask) -> u64 {
    const ROW_AND_INDEXES: usize = 500;
    (task.message.payload.len() + ROW_AND_INDEXES) as u64
}

/// What those who watch are to be told.
pub(crate) fn note_changes(changes: &mut Changes, tasks: &[NewTask], receipts: &[Receipt]) {
    for (task, receipt) in tasks.iter().zip(receipts) {
        match receipt {
            Receipt::Accepted {
                state: TaskState::Pending,
                ..
            } => changes.pending(&task.message.queue),
            Receipt::Accepted {
                state: TaskState::Scheduled,
                ..
            } => changes.due(&task.message.queue),
            _ => {}
        }
    }
}

/// How many tasks one statement stores. There is a statement for each of these numbers, prepared once.
const ROWS: [usize; 3] = [50, 10, 1];

/// Stores each task or says why not, within a transaction that somebody else began.
pub(crate) async fn store(
    connection: &mut SqliteConnection,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<Vec<Receipt>, sqlx::Error> {
    let mut next_places = reserve_places(connection, tasks).await?;
    let mut receipts = Vec::with_capacity(tasks.len());
    let mut rest = tasks;
    while let Some(first) = rest.first() {
        if first.unique_ttl.is_some() {
            receipts.push(store_unique(connection, first, now, &mut next_places).await?);
            rest = &rest[1..];
            continue;
        }
        let plain = rest.iter().take_while(|task| task.unique_ttl.is_none()).count();
        let rows = ROWS.into_iter().find(|rows| *rows <= plain).unwrap_or(1);
        let placed: Vec<Placed> = rest[..rows]
            .iter()
            .map(|task| Placed::new(&task.message, None, task.placement, now, &mut next_places))
            .collect();
        receipts.extend(insert(connection, &placed).await?);
        rest = &rest[rows..];
    }
    Ok(receipts)
}

type Places<'t> = HashMap<&'t QueueName, i64>;

/// Places in their lists for the tasks of each queue. This also notes that there are such queues.
async fn reserve_places<'t>(
    connection: &mut SqliteConnection,
    tasks: &'t [NewTask],
) -> Result<Places<'t>, sqlx::Error> {
    let mut numbers: HashMap<&QueueName, i64> = HashMap::new();
    for task in tasks {
        *numbers.entry(&task.message.queue).or_default() += 1;
    }
    for (queue, number) in &mut numbers {
        *number = places(connection, queue, *number).await?;
    }
    Ok(numbers)
}

async fn store_unique<'t>(
    connection: &mut SqliteConnection,
    task: &'t NewTask,
    now: Timestamp,
    next_places: &mut Places<'t>,
) -> Result<Receipt, sqlx::Error> {
    let message = &task.message;
    if let Some(taken) = id_taken(connection, &message.queue, &message.id).await? {
        return Ok(taken);
    }
    let unique_key = unique_key(&message.task_type, &message.payload);
    let placed = Placed::new(message, Some(&unique_key), task.placement, now, next_places);
    let wanted = Lock {
        queue: &message.queue,
        unique_key: &unique_key,
        holder: &message.id,
        expires: placed.due.saturating_add(task.unique_ttl.unwrap_or_default()),
    };
    if let Some(holder) = lock(connection, &wanted, now).await? {
        return Ok(Receipt::Duplicate { holder });
    }
    let mut receipts = insert(connection, &[placed]).await?;
    receipts.pop().ok_or(sqlx::Error::RowNotFound)
}

const STATE: &str = "SELECT state FROM asynq_tasks WHERE queue = ?1 AND id = ?2";

async fn id_taken(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    id: &TaskId,
) -> Result<Option<Receipt>, sqlx::Error> {
    let found = sqlx::query(STATE)
        .bind(queue.as_str())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    found
        .map(|row| {
            let state = row.try_get::<&str, _>(0)?.parse().ok();
            Ok(Receipt::IdTaken { state })
        })
        .transpose()
}

/// Whether a queue has a task of this id.
pub(crate) async fn has_task(
    connection: &mut SqliteConnection,
    queue: &QueueName,
    id: &TaskId,
) -> Result<bool, sqlx::Error> {
    Ok(id_taken(connection, queue, id).await?.is_some())
}

const LOCK: &str = "INSERT INTO asynq_locks (queue, unique_key, holder, expires) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (queue, unique_key) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
    WHERE expires <= ?5";
const HOLDER: &str = "SELECT holder FROM asynq_locks WHERE queue = ?1 AND unique_key = ?2";

/// A uniqueness lock that a task wants.
pub(crate) struct Lock<'a> {
    pub(crate) queue: &'a QueueName,
    pub(crate) unique_key: &'a str,
    pub(crate) holder: &'a TaskId,
    pub(crate) expires: Timestamp,
}

/// Takes the lock, or says who holds it.
pub(crate) async fn lock(
    connection: &mut SqliteConnection,
    wanted: &Lock<'_>,
    now: Timestamp,
) -> Result<Option<TaskId>, sqlx::Error> {
    let locked = sqlx::query(LOCK)
        .bind(wanted.queue.as_str())
        .bind(wanted.unique_key)
        .bind(wanted.holder.as_str())
        .bind(wanted.expires.unix_micros())
        .bind(now.unix_micros())
        .execute(&mut *connection)
        .await?;
    if locked.rows_affected() > 0 {
        return Ok(None);
    }
    let held = sqlx::query(HOLDER)
        .bind(wanted.queue.as_str())
        .bind(wanted.unique_key)
        .fetch_one(connection)
        .await?;
    Ok(Some(TaskId::from_stored(held.try_get::<&str, _>(0)?)))
}

/// Names the lock of all tasks of the same type and payload. Their lengths keep type and payload apart.
pub(crate) fn unique_key(task_type: &str, payload: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update((task_type.len() as u64).to_le_bytes());
    hash.update(task_type.as_bytes());
    hash.update(payload);
    let mut key = String::from("unique:");
    for byte in hash.finalize() {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// A task and where it goes.
struct Placed<'t> {
    message: &'t TaskMessage,
    unique_key: Option<&'t str>,
    state: TaskState,
    due: Timestamp,
    at: i64,
    place: i64,
    since: Timestamp,
}

impl<'t> Placed<'t> {
    fn new(
        message: &'t TaskMessage,
        unique_key: Option<&'t str>,
        placement: Placement,
        now: Timestamp,
        next_places: &mut Places<'_>,
    ) -> Self {
        let due = match placement {
            Placement::Now => now,
            Placement::Later(when) => when.resolve(now).max(now),
        };
        let (state, at) = if due > now {
            (TaskState::Scheduled, due.unix_micros())
        } else if message.group.is_some() {
            (TaskState::Aggregating, now.unix_micros())
        } else {
            (TaskState::Pending, 0)
        };
        let next = next_places.get_mut(&message.queue);
        let place = next.map_or(0, |next| {
            *next += 1;
            *next - 1
        });
        Placed {
            message,
            unique_key,
            state,
            due,
            at,
            place,
            since: now,
        }
    }

    fn accepted(&self) -> Receipt {
        Receipt::Accepted {
            state: self.state,
            next_process_at: (self.state != TaskState::Aggregating).then_some(self.due),
        }
    }

    fn bind<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Result<Query<'q, Sqlite, SqliteArguments>, sqlx::Error> {
        let message = self.message;
        let headers = match message.headers.is_empty() {
            true => None,
            false => Some(
                serde_json::to_string(&message.headers).map_err(|error| sqlx::Error::Encode(error.into()))?,
            ),
        };
        Ok(query
            .bind(message.queue.as_str())
            .bind(message.id.as_str())
            .bind(self.state.as_str())
            .bind(self.at)
            .bind(self.place)
            .bind(self.since.unix_micros())
            .bind(&*message.task_type)
            .bind(&message.payload[..])
            .bind(headers)
            .bind(i64::from(message.max_retry))
            .bind(i64::from(message.retried))
            .bind(message.last_error.as_str())
            .bind(message.last_failed_at.map(Timestamp::unix_micros))
            .bind(message.timeout.map(micros))
            .bind(message.deadline.map(Timestamp::unix_micros))
            .bind(micros(message.retention))
            .bind(message.completed_at.map(Timestamp::unix_micros))
            .bind(message.group.as_ref().map(|group| group.as_str()))
            .bind(self.unique_key)
            .bind((!message.unknown_fields.is_empty()).then_some(&message.unknown_fields[..])))
    }
}

/// One statement for each number of [`ROWS`].
static INSERT: LazyLock<[String; ROWS.len()]> = LazyLock::new(|| ROWS.map(insert_statement));

fn insert_statement(rows: usize) -> String {
    const ONE: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    format!(
        "INSERT INTO asynq_tasks (queue, id, state, at, place, since, type, payload, headers, max_retry, retried, \
         last_error, last_failed_at, timeout, deadline, retention, completed_at, group_name, unique_key, unknown_fields) \
         VALUES {} ON CONFLICT (queue, id) DO NOTHING RETURNING queue, id",
        vec![ONE; rows].join(", ")
    )
}

/// Stores those whose ids are free. Their number is one of [`ROWS`].
async fn insert(
    connection: &mut SqliteConnection,
    tasks: &[Placed<'_>],
) -> Result<Vec<Receipt>, sqlx::Error> {
    let which = ROWS.iter().position(|rows| *rows == tasks.len());
    let mut query = sqlx::query(INSERT[which.unwrap_or(ROWS.len() - 1)].as_str());
    for task in tasks {
        query = task.bind(query)?;
    }
    let rows = query.fetch_all(&mut *connection).await?;
    let mut receipts = Vec::with_capacity(tasks.len());
    if rows.len() == tasks.len() {
        receipts.extend(tasks.iter().map(Placed::accepted));
        return Ok(receipts);
    }
    let mut stored = HashSet::new();
    for row in &rows {
        stored.insert((row.try_get::<&str, _>(0)?, row.try_get::<&str, _>(1)?));
    }
    for task in tasks {
        let message = task.message;
        // Of two with the same id the first was stored.
        if stored.remove(&(message.queue.as_str(), message.id.as_str())) {
            receipts.push(task.accepted());
        } else {
            let taken = id_taken(connection, &message.queue, &message.id).await?;
            receipts.push(taken.unwrap_or(Receipt::IdTaken { state: None }));
        }
    }
    Ok(receipts)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    let mut all = vec![PING, STATE, LOCK, HOLDER];
    all.extend(INSERT.iter().map(String::as_str));
    all
}
