//! Periodic tasks from a YAML file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use asynq_core::{BoxError, Missed, RawTask, TaskOptions, When};
use asynq_cron::{Zone, parse_duration};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::entry::Entry;
use crate::provider::ConfigProvider;
use crate::scheduler::locked;

/// How often the file is looked at. An edit applies within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Periodic tasks that are listed in a YAML file, which is watched: an edit applies within a second.
///
/// ```yaml
/// configs:
///   - cronspec: "*/5 * * * *"
///     task_type: feed:poll
///   - name: nightly report        # stays the same entry when the rest changes
///     cronspec: "0 3 * * *"
///     tz: Europe/Paris
///     task_type: report:nightly
///     payload: { format: pdf }    # text as it is, anything else as JSON
///     options: { queue: low, max_retry: 3, timeout: 10m, retention: 24h }
///     missed: run_once            # or skip, or { run_all: 10 }
/// ```
///
/// Options are `queue`, `max_retry`, `timeout`, `unique`, `retention`, `process_in`, `group` and `headers`. While the file
/// is missing, is no YAML or says something that is not known here, all tasks stay as they were, and the log says which
/// line is wrong.
#[derive(Debug)]
pub struct YamlFile {
    path: PathBuf,
    /// What was read last; nothing if it could not be read.
    read: Mutex<Option<String>>,
}

/// The file cannot be read, or not understood.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
struct FileError {
    path: PathBuf,
    source: BoxError,
}

impl YamlFile {
    /// The tasks in this file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        YamlFile {
            path: path.as_ref().to_owned(),
            read: Mutex::new(None),
        }
    }

    async fn read(&self) -> io::Result<String> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        let bytes = read.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        String::from_utf8(bytes).map_err(|error| {
            let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + sound.iter().filter(|byte| **byte == b'\n').count();
            io::Error::new(io::ErrorKind::InvalidData, format!("is not UTF-8 at line {line}"))
        })
    }

    fn error(&self, source: impl Into<BoxError>) -> BoxError {
        Box::new(FileError {
            path: self.path.clone(),
            source: source.into(),
        })
    }
}

#[async_trait]
impl ConfigProvider for YamlFile {
    async fn configs(&self) -> Result<Vec<Entry>, BoxError> {
        let read = self.read().await;
        *locked(&self.read) = read.as_ref().ok().cloned();
        let text = read.map_err(|error| self.error(error))?;
        parse(&text).map_err(|error| self.error(error))
    }

    // Looking at the contents notices all edits, also those that replace the file or a link to it, on all file systems.
    async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let text = self.read().await.ok();
            if *locked(&self.read) != text {
                return;
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    configs: Vec<Config>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: Option<String>,
    cronspec: String,
    #[serde(default, deserialize_with = "zone")]
    tz: Option<Zone>,
    task_type: String,
    payload: Option<serde_json::Value>,
    #[serde(default)]
    options: Options,
    missed: Option<MissedConfig>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    queue: Option<String>,
    max_retry: Option<u32>,
    #[serde(deserialize_with = "duration")]
    timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    unique: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    retention: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    process_in: Option<Duration>,
    group: Option<String>,
    headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum MissedConfig {
    Skip,
    RunOnce,
    RunAll(usize),
}

/// The entries of a document: a list, or a list named `configs` as in the examples of Go asynq.
fn parse(text: &str) -> Result<Vec<Entry>, BoxError> {
    let is_list = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', '%']) && *line != "---")
        .is_some_and(|line| line.starts_with(['-', '[']));
    let configs = if is_list {
        serde_saphyr::from_str(text)
    } else {
        serde_saphyr::from_str::<Document>(text).map(|document| document.configs)
    };
    // The line and the column are in the message; a log has no place for a picture of them.
    let configs: Vec<Config> = configs.map_err(|error| error.without_snippet().to_string())?;
    Ok(configs.into_iter().map(Config::into_entry).collect())
}

impl Config {
    fn into_entry(self) -> Entry {
        let payload = match self.payload {
            None | Some(serde_json::Value::Null) => Bytes::new(),
            Some(serde_json::Value::String(text)) => text.into(),
            Some(value) => value.to_string().into(),
        };
        let mut entry =
            Entry::new(self.cronspec, RawTask::new(self.task_type, payload)).options(self.options.into());
        if let Some(name) = self.name {
            entry = entry.name(name);
        }
        if let Some(zone) = self.tz {
            entry = entry.zone(zone);
        }
        match self.missed {
            None => entry,
            Some(MissedConfig::Skip) => entry.missed(Missed::Skip),
            Some(MissedConfig::RunOnce) => entry.missed(Missed::RunOnce),
            Some(MissedConfig::RunAll(limit)) => entry.missed(Missed::RunAll { limit }),
        }
    }
}

impl From<Options> for TaskOptions {
    fn from(from: Options) -> Self {
        let mut options = TaskOptions::new();
        options.queue = from.queue;
        options.max_retry = from.max_retry;
        options.timeout = from.timeout;
        options.unique = from.unique;
        options.retention = from.retention;
        options.process = from.process_in.map(When::In);
        options.group = from.group;
        options.headers = from.headers;
        options
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let nanos = parse_duration(&text).map_err(|reason| {
        D::Error::custom(format!("{text:?} {reason}; expected a duration such as 1h30m"))
    })?;
    let nanos = u64::try_from(nanos).map_err(|_| D::Error::custom(format!("{text:?} is negative")))?;
    Ok(Some(Duration::from_nanos(nanos)))
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zone>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    name.map(|name| name.parse().map_err(D::Error::custom))
        .transpose()
}
