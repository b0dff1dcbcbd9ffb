//! Room on the disk that is set aside, so that tasks that were taken in can be finished when the disk is full.
//!
//! It is a file of zeros beside the database. When SQLite finds the disk full, the file is deleted: tasks are taken out,
//! kept and finished in its place, and nothing new is stored until there is room to write it again, or as much is free
//! within the database. Whether the file is there tells all processes on the database how things stand.
//!
//! How much is needed: SQLite writes to its log, and from there to the database, which starts the log anew. A log that is
//! started anew needs no further room, so what must fit is what the database is to grow by, and a little for the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::{Row, SqliteConnection};

const LEAST: u64 = 2 << 20;
/// For the log, and for what else the disk is written with while the reserve is in use.
const MARGIN: u64 = 1 << 20;
/// How much may be stored before it is computed again whether the reserve is large enough.
const UNCHECKED: u64 = 256 << 10;
/// How often a reserve that is gone is tried to be written again.
const TRY_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Reserve {
    database: PathBuf,
    path: PathBuf,
    /// Bytes that were stored since it was last computed how large it must be.
    unchecked: u64,
    try_at: Option<Instant>,
    has_warned: bool,
}

impl Reserve {
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-reserve");
        Reserve {
            database: database.to_owned(),
            path: path.into(),
            unchecked: UNCHECKED,
            try_at: None,
            has_warned: false,
        }
    }

    /// Makes sure that new tasks may be stored: the reserve is there, or as much is free within the database.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub(crate) async fn ensure(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.len() >= LEAST {
            return Ok(());
        }
        let Err(full) = self.write(LEAST) else {
            return Ok(());
        };
        if number(FREE_WITHIN, connection).await? < LEAST {
            return Err(full.into());
        }
        // Then the database must not grow at all.
        self.unchecked = UNCHECKED;
        Ok(())
    }

    /// Makes sure that it is large enough for what a transaction stores, `bytes` of it new, before it is committed.
    ///
    /// # Errors
    ///
    /// If there is no room.
    pub(crate) async fn cover(
        &mut self,
        connection: &mut SqliteConnection,
        bytes: u64,
    ) -> Result<(), sqlx::Error> {
        self.unchecked += bytes;
        if self.unchecked < UNCHECKED {
            return Ok(());
        }
        let size = number(SIZE, connection).await?;
        let growth = size.saturating_sub(fs::metadata(&self.database)?.len());
        let needed = (growth + MARGIN).next_multiple_of(MARGIN).max(LEAST);
        let len = self.len();
        if len < needed && growth > 0 {
            self.write(needed)?;
        } else if len > 4 * needed {
            self.cut(needed);
        }
        self.unchecked = 0;
        Ok(())
    }

    /// Gives the room away. False if that has been done.
    pub(crate) fn release(&mut self) -> bool {
        self.try_at = Some(Instant::now() + TRY_EVERY);
        // Cut first: somebody may have it open, and then deleting it frees nothing.
        let cut = File::options()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.set_len(0));
        let is_released = cut.is_ok() && fs::remove_file(&self.path).is_ok();
        if is_released {
            tracing::warn!(
                file = %self.database.display(),
                "the disk is full; tasks that were taken in can be finished, and new ones are refused until there is room"
            );
        }
        is_released
    }

    fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Writes it up to this length, unless there was no room a moment ago.
    fn write(&mut self, len: u64) -> io::Result<()> {
        if self.try_at.is_some_and(|try_at| Instant::now() < try_at) {
            return Err(self.full());
        }
        let before = self.len();
        match self.extend(len) {
            Ok(()) => {
                if self.try_at.take().is_some() {
                    tracing::info!(file = %self.database.display(), "the disk has room again");
                }
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.cut(before);
                self.try_at = Some(Instant::now() + TRY_EVERY);
                Err(self.full())
            }
            Err(error) => {
                // Better to go on without it than not at all.
                if !std::mem::replace(&mut self.has_warned, true) {
                    tracing::warn!(file = %self.path.display(), %error, "no room can be set aside for when the disk is full");
                }
                Ok(())
            }
        }
    }

    /// Cuts it to this length. Another process may have just done so.
    fn cut(&self, len: u64) {
        let _ = match len {
            0 => fs::remove_file(&self.path),
            len => File::options()
                .write(true)
                .open(&self.path)
                .and_then(|file| file.set_len(len)),
        };
    }

    /// There must be a margin more than that: the room that was just given away is not to be taken back at once.
    fn extend(&self, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let mut written = file.metadata()?.len();
        while written < len + MARGIN {
            file.write_all(&ZEROS)?;
            written += ZEROS.len() as u64;
        }
        file.set_len(len)
    }

    fn full(&self) -> io::Error {
        let text = format!(
            "the disk has no room for {}, which is set aside so that running tasks can be finished",
            self.path.display()
        );
        io::Error::new(ErrorKind::StorageFull, text)
    }
}

// As the transaction leaves it.
const SIZE: &str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
const FREE_WITHIN: &str = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size";

async fn number(statement: &'static str, connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(statement).fetch_one(connection).await?;
    Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
}

/// Whether an error says that the disk, or what this user may have of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static str> {
    vec![SIZE, FREE_WITHIN]
}
