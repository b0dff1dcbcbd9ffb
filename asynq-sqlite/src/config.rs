//! Where the file is and how it is used.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use asynq_core::{BrokerError, Clock, SystemClock};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// What a task that was accepted survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, however it comes. A power failure may undo what was accepted in the last moments, but
    /// never damages the file.
    #[default]
    Normal,
    /// Power failure too. Each commit waits for the disk.
    Full,
}

/// What is known about a broker before it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Config {
    /// Of a path, or of a URL that begins with `sqlite:`.
    pub(crate) fn parse(location: &Path) -> Result<Self, BrokerError> {
        let mut config = Config {
            path: location.to_owned(),
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
        };
        if let Some(url) = location.to_str().filter(|text| text.starts_with("sqlite:")) {
            config.set_url(url)?;
        }
        let path = config.path.to_string_lossy();
        if path.is_empty() || path == ":memory:" {
            return Err(BrokerError::Config(
                "the SQLite broker needs a file, several connections share it: give a path, or use the memory broker".into(),
            ));
        }
        Ok(config)
    }

    fn set_url(&mut self, url: &str) -> Result<(), BrokerError> {
        let (location, parameters) = url.split_once('?').unwrap_or((url, ""));
        if location.ends_with(":memory:") {
            self.path = PathBuf::new();
            return Ok(());
        }
        // It undoes percent encoding.
        let options = SqliteConnectOptions::from_str(location)
            .map_err(|error| BrokerError::Config(format!("the URL {url:?} makes no sense: {error}")))?;
        self.path = options.get_filename().to_owned();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            self.durability = match parameter {
                "durability=normal" => Durability::Normal,
                "durability=full" => Durability::Full,
                _ => {
                    return Err(BrokerError::Config(format!(
                        "the URL {url:?} has {parameter:?}; expected durability=normal or durability=full"
                    )));
                }
            };
        }
        Ok(())
    }

    /// To connect for writing. Waiting for the lock is the writer's own business, except while it is opened.
    pub(crate) fn write_options(&self) -> SqliteConnectOptions {
        self.options()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match self.durability {
                Durability::Normal => SqliteSynchronous::Normal,
                Durability::Full => SqliteSynchronous::Full,
            })
    }

    /// To connect for reading. Readers do not wait for writers, only for a recovery after a crash.
    pub(crate) fn read_options(&self) -> SqliteConnectOptions {
        self.options().read_only(true)
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.busy_timeout)
            .statement_cache_capacity(200)
            // A hundred tasks are given in one go, without waiting until they are read.
            .row_buffer_size(1000)
            // Never on a disk, which may be full.
            .pragma("temp_store", "memory")
            .disable_statement_logging()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(location: &str) -> Result<Config, BrokerError> {
        Config::parse(Path::new(location))
    }

    #[test]
    fn paths_and_urls_name_files() {
        for (location, path) in [
            ("tasks.db", "tasks.db"),
            ("/var/lib/tasks?.db", "/var/lib/tasks?.db"),
            ("sqlite:tasks.db", "tasks.db"),
            ("sqlite://tasks.db", "tasks.db"),
            ("sqlite:///var/lib/my%20tasks.db", "/var/lib/my tasks.db"),
        ] {
            assert_eq!(parse(location).unwrap().path, Path::new(path), "{location}");
        }
    }

    #[test]
    fn a_url_chooses_the_durability() {
        assert_eq!(parse("sqlite://a.db").unwrap().durability, Durability::Normal);
        assert_eq!(
            parse("sqlite://a.db?durability=full").unwrap().durability,
            Durability::Full
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for location in [
            "",
            ":memory:",
            "sqlite::memory:",
            "sqlite://",
            "sqlite://a.db?durability=some",
            "sqlite://a.db?mode=ro",
        ] {
            assert!(
                matches!(parse(location), Err(BrokerError::Config(_))),
                "{location:?}"
            );
        }
    }
}
