//! The real Go asynq: a child process that performs operations on request.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use asynq_core::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Something that makes the whole run worthless: a process that died, a reply that makes no sense.
pub(crate) type Broken = String;

/// Where the program built from `interop/` is, and which Redis it is to use.
#[derive(Debug, Clone)]
pub(crate) struct GoProgram {
    pub(crate) path: PathBuf,
    /// Host and port.
    pub(crate) redis: String,
}

impl GoProgram {
    pub(crate) fn new(path: &Path, redis: String) -> Self {
        GoProgram {
            path: path.to_owned(),
            redis,
        }
    }

    /// A command for one of its roles.
    pub(crate) fn role(&self, role: &str) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args([role, "-redis", &self.redis])
            // Go counts back days in local time.
            .env("TZ", "UTC");
        command
    }
}

/// A process of the role `operate`.
#[derive(Debug)]
pub(crate) struct Go {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
    /// How many operations it has performed.
    pub(crate) calls: u64,
}

/// What Go's asynq answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct GoError {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) code: String,
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    ok: Value,
    #[serde(default)]
    err: Option<GoError>,
}

/// An operation, with its arguments added one by one.
#[derive(Debug, Clone)]
pub(crate) struct Request(Map<String, Value>);

impl Request {
    pub(crate) fn new(operation: &str, database: i64, now: Timestamp) -> Self {
        let mut fields = Map::new();
        fields.insert("op".to_owned(), operation.into());
        fields.insert("db".to_owned(), database.into());
        fields.insert("now".to_owned(), now.unix_micros().into());
        Request(fields)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

impl Go {
    pub(crate) fn start(program: &GoProgram) -> Result<Self, Broken> {
        let mut child = program
            .role("operate")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", program.path.display()))?;
        let input = child.stdin.take().ok_or("the Go process has no input")?;
        let output = child.stdout.take().ok_or("the Go process has no output")?;
        Ok(Go {
            child,
            input,
            output: BufReader::new(output),
            line: String::new(),
            calls: 0,
        })
    }

    pub(crate) fn call(&mut self, request: Request) -> Result<Result<Value, GoError>, Broken> {
        self.calls += 1;
        let mut line = Value::Object(request.0).to_string();
        line.push('\n');
        let sent = self
            .input
            .write_all(line.as_bytes())
            .and_then(|()| self.input.flush());
        sent.map_err(|error| format!("the Go process is gone: {error}"))?;
        self.line.clear();
        let read = self.output.read_line(&mut self.line);
        read.map_err(|error| format!("the Go process is gone: {error}"))?;
        let reply: Reply = serde_json::from_str(&self.line)
            .map_err(|error| format!("the Go process answered {:?}: {error}", self.line))?;
        match reply.err {
            Some(error) if error.kind == "request" || error.kind == "panic" => {
                Err(format!("the Go process refused {line}: {}", error.text))
            }
            Some(error) => Ok(Err(error)),
            None => Ok(Ok(reply.ok)),
        }
    }

    /// As [`Go::call`], for what cannot fail.
    pub(crate) fn must(&mut self, request: Request) -> Result<Value, Broken> {
        let name = request.0.get("op").cloned().unwrap_or_default();
        self.call(request)?
            .map_err(|error| format!("Go's {name} failed: {}", error.text))
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
