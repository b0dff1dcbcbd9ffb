//! Goes through the lists of tasks.

use asynq_core::broker::{Filter, TaskPage};
use asynq_core::{BrokerError, Cursor, Now, QueueName, TaskId, TaskInfo, TaskList, TaskState, Timestamp};
use futures::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::aggregate::waiting;
use crate::broker::SqliteBroker;
use crate::inspect::task_info;
use crate::row::{Undecodable, message_columns, value};

/// How many tasks one call looks at.
pub(crate) const TASKS_PER_CALL: usize = 500;

/// Where a task stands in its list. No two of a queue have the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) state: TaskState,
    time: i64,
    place: i64,
}

impl Slot {
    /// Of a row with its state, times and place.
    pub(crate) fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        let state = state
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        // Active ones stand in the order in which they were taken out: the end of their lease changes.
        let time = match state {
            TaskState::Active => "since",
            _ => "at",
        };
        Ok(Slot {
            state,
            time: row.try_get(time)?,
            place: row.try_get("place")?,
        })
    }
}

/// Where to go on, and how many tasks there were when the first part was read: they are counted once, since SQLite takes
/// longer to count a long list than to read a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bookmark {
    time: i64,
    place: i64,
    total: u64,
}

impl Bookmark {
    fn to_cursor(self) -> Cursor {
        Cursor::new(format!("{}/{}/{}", self.time, self.place, self.total))
    }

    fn of(cursor: &Cursor) -> Result<Self, BrokerError> {
        let parse = || {
            let mut numbers = cursor.as_str().split('/');
            let bookmark = Bookmark {
                time: numbers.next()?.parse().ok()?,
                place: numbers.next()?.parse().ok()?,
                total: numbers.next()?.parse().ok()?,
            };
            numbers.next().is_none().then_some(bookmark)
        };
        parse().ok_or_else(|| {
            BrokerError::Config(format!(
                "{:?} is not a cursor of the SQLite broker",
                cursor.as_str()
            ))
        })
    }
}

/// Which part of a list to go through.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) queue: &'a QueueName,
    pub(crate) list: &'a TaskList,
    pub(crate) after: Option<&'a Cursor>,
    /// How many tasks to look at.
    pub(crate) most: usize,
}

/// How far somebody came.
#[derive(Default)]
pub(crate) struct Walk {
    pub(crate) examined: usize,
    pub(crate) total: u64,
    pub(crate) next: Option<Cursor>,
}

/// A task that was found.
pub(crate) struct Found {
    pub(crate) id: TaskId,
    pub(crate) slot: Slot,
}

impl SqliteBroker {
    /// The next tasks that pass, up to `limit`.
    pub(crate) async fn read_page(
        &self,
        part: Part<'_>,
        filter: &Filter,
        limit: usize,
    ) -> Result<TaskPage, BrokerError> {
        let now = self.now();
        let mut tasks = Vec::new();
        let look = |row: &SqliteRow, _| {
            // Those that cannot be decoded cannot be shown.
            tasks.extend(passing(row, filter, now).ok().flatten());
            tasks.len() >= limit
        };
        let walk = self.go_through(part, true, look).await?;
        Ok(TaskPage {
            tasks,
            examined: walk.examined,
            total: walk.total,
            next: walk.next,
        })
    }

    /// Where those that pass are, without what is in them.
    pub(crate) async fn find(
        &self,
        part: Part<'_>,
        filter: &Filter,
    ) -> Result<(Walk, Vec<Found>), BrokerError> {
        let now = self.now();
        let mut found = Vec::new();
        let needs_task = filter.needs_task();
        let look = |row: &SqliteRow, slot| {
            let id = value::<&str>(row, "id").map(TaskId::from_stored);
            let passes = |id: &TaskId| match needs_task {
                true => matches!(passing(row, filter, now), Ok(Some(_))),
                false => filter.passes_id(id),
            };
            found.extend(id.ok().filter(passes).map(|id| Found { id, slot }));
            false
        };
        let walk = self.go_through(part, needs_task, look).await?;
        Ok((walk, found))
    }

    /// Looks at one task after another, until one of them is enough. They come as they are read: many that are large would
    /// not fit into memory together.
    async fn go_through(
        &self,
        part: Part<'_>,
        with_tasks: bool,
        mut look: impl FnMut(&SqliteRow, Slot) -> bool + Send,
    ) -> Result<Walk, BrokerError> {
        const OPERATION: &str = "page";
        let failed = self.failed(OPERATION, Some(part.queue));
        let after = part.after.map(Bookmark::of).transpose()?;
        let mut reader = self.reader(OPERATION).await?;
        let mut walk = Walk {
            total: match after {
                Some(bookmark) => bookmark.total,
                None => count(&mut reader, part).await.map_err(failed)?,
            },
            ..Walk::default()
        };
        let mut rows = sqlx::query(statement(part.list, with_tasks))
            .bind(part.queue.as_str())
            .bind(which(part.list))
            .bind(after.map_or(i64::MIN, |after| after.time))
            .bind(after.map_or(i64::MIN, |after| after.place))
            // One more tells whether there are more.
            .bind(i64::try_from(part.most).unwrap_or(i64::MAX).saturating_add(1))
            .fetch(&mut *reader);
        let mut last = None;
        let mut is_enough = part.most == 0;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            if is_enough {
                walk.next = last.map(|slot| bookmark(slot, walk.total).to_cursor());
                break;
            }
            let slot = Slot::of(&row).map_err(failed)?;
            last = Some(slot);
            walk.examined += 1;
            is_enough = look(&row, slot) || walk.examined >= part.most;
        }
        Ok(walk)
    }
}

fn bookmark(slot: Slot, total: u64) -> Bookmark {
    Bookmark {
        time: slot.time,
        place: slot.place,
        total,
    }
}

/// The task of a row, if it passes.
fn passing(row: &SqliteRow, filter: &Filter, now: Timestamp) -> Result<Option<TaskInfo>, Undecodable> {
    let info = task_info(row, now)?;
    let since = match info.state {
        TaskState::Pending => "since",
        _ => "at",
    };
    let since = Timestamp::from_unix_micros(value(row, since)?);
    Ok(filter.passes(&info, Some(since), now).then_some(info))
}

const COUNT_IN_STATE: &str = "SELECT count(*) FROM asynq_tasks WHERE queue = ?1 AND state = ?2";
const COUNT_IN_GROUP: &str = concat!("SELECT count(*) FROM ", waiting!(), " AND group_name = ?2");

async fn count(connection: &mut SqliteConnection, part: Part<'_>) -> Result<u64, sqlx::Error> {
    let statement = match part.list {
        TaskList::Group(_) => COUNT_IN_GROUP,
        _ => COUNT_IN_STATE,
    };
    let row = sqlx::query(statement)
        .bind(part.queue.as_str())
        .bind(which(part.list))
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
}

fn which(list: &TaskList) -> &str {
    match list {
        TaskList::Group(group) => group.as_str(),
        list => list.state().as_str(),
    }
}

/// Statements that give the columns and go on after a time and a place.
macro_rules! go_on {
    (IN_STATE, $columns:expr) => {
        concat!(
            "SELECT state, at, since, place, ",
            $columns,
            " FROM asynq_tasks WHERE queue = ?1 AND state = ?2 AND (at, place) > (?3, ?4)
            ORDER BY at, place LIMIT ?5"
        )
    };
    (ACTIVE, $columns:expr) => {
        concat!(
            "SELECT state, at, since, place, ",
            $columns,
            " FROM asynq_tasks WHERE queue = ?1 AND state = ?2 AND (since, place) > (?3, ?4)
            ORDER BY since, place LIMIT ?5"
        )
    };
    (IN_GROUP, $columns:expr) => {
        concat!(
            "SELECT state, at, since, place, ",
            $columns,
            " FROM ",
            waiting!(),
            " AND group_name = ?2 AND (at, place) > (?3, ?4) ORDER BY at, place LIMIT ?5"
        )
    };
}

macro_rules! task {
    () => {
        concat!("result, ", message_columns!())
    };
}

const TASKS_IN_STATE: &str = go_on!(IN_STATE, task!());
const TASKS_ACTIVE: &str = go_on!(ACTIVE, task!());
const TASKS_IN_GROUP: &str = go_on!(IN_GROUP, task!());
const IDS_IN_STATE: &str = go_on!(IN_STATE, "id");
const IDS_ACTIVE: &str = go_on!(ACTIVE, "id");
const IDS_IN_GROUP: &str = go_on!(IN_GROUP, "id");

fn statement(list: &TaskList, with_tasks: bool) -> &'static str {
    match (list, with_tasks) {
        (TaskList::Active, true) => TASKS_ACTIVE,
        (TaskList::Active, false) => IDS_ACTIVE,
        (TaskList::Group(_), true) => TASKS_IN_GROUP,
        (TaskList::Group(_), false) => IDS_IN_GROUP,
        (_, true) => TASKS_IN_STATE,
        (_, false) => IDS_IN_STATE,
    }
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![
        COUNT_IN_STATE,
        COUNT_IN_GROUP,
        TASKS_IN_STATE,
        TASKS_ACTIVE,
        TASKS_IN_GROUP,
        IDS_IN_STATE,
        IDS_ACTIVE,
        IDS_IN_GROUP,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_survive_the_way_to_text_and_back() {
        let bookmark = Bookmark {
            time: 1_700_000_000_250_000,
            place: -7,
            total: 3,
        };

        assert_eq!(Bookmark::of(&bookmark.to_cursor()).unwrap(), bookmark);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "1/2", "1/2/x", "1/2/-3", "1/2/3/4", "z1;a"] {
            assert!(Bookmark::of(&Cursor::new(text)).is_err(), "{text:?}");
        }
    }
}
