//! The scripts, and how commands and scripts are sent together.

use std::sync::LazyLock;

use asynq_core::BrokerError;
use redis::{Cmd, Pipeline, Value};

use crate::connection::Link;
use crate::error::{CallError, is_missing_script};

/// A Lua script. Its header says what it does.
pub(crate) struct Script {
    pub(crate) source: &'static str,
    hash: LazyLock<String>,
}

/// Declares scripts: each is the text of the libraries named, then its own.
macro_rules! scripts {
    ($($name:ident = [$($file:literal),+];)+) => {
        $(pub(crate) static $name: Script = Script {
            source: concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+),
            hash: LazyLock::new(|| redis::Script::new($name.source).get_hash().to_owned()),
        };)+

        #[cfg(test)]
        pub(crate) static ALL: &[(&str, &Script)] = &[$((stringify!($name), &$name)),+];
    };
}

scripts! {
    ENQUEUE = ["lib/common", "lib/insert", "enqueue"];
    DEQUEUE = ["lib/common", "lib/lease", "dequeue"];
    RECLAIM_LEASED = ["lib/common", "lib/lease", "reclaim_leased"];
    FINISH = ["lib/common", "lib/lease", "lib/counters", "finish"];
    EXTEND = ["lib/common", "lib/lease", "extend"];
    WRITE_RESULT = ["lib/common", "lib/lease", "write_result"];
    FORWARD = ["lib/common", "forward"];
    EXPIRED = ["lib/common", "lib/lease", "expired"];
    PURGE = ["lib/common", "lib/delete", "purge"];
    RECONCILE_ACTIVE = ["lib/common", "reconcile_active"];
    RECONCILE_LEASES = ["lib/common", "reconcile_leases"];
    RECONCILE_TASKS = ["lib/common", "reconcile_tasks"];
    RECONCILE_GROUPS = ["lib/common", "reconcile_groups"];
    SEAL = ["lib/common", "seal"];
    READ_SET = ["read_set"];
    DROP_MEMBERS = ["lib/common", "lib/counters", "drop_members"];
    FINISH_SET = ["lib/common", "lib/insert", "lib/delete", "lib/sets", "finish_set"];
    CLEAR_SET = ["lib/common", "lib/delete", "lib/sets", "clear_set"];
    RECLAIM_SET = ["lib/common", "reclaim_set"];
    ANNOUNCE = ["lib/common", "announce"];
    QUEUE_INFO = ["lib/common", "queue_info"];
    TASK = ["lib/common", "lib/describe", "task"];
    TASKS = ["lib/common", "lib/describe", "tasks"];
    CANCEL = ["cancel"];
}

/// Commands and script calls that go to the server in one round trip.
pub(crate) struct Batch {
    operation: &'static str,
    commands: Vec<(Cmd, Option<&'static Script>)>,
}

/// A script call that is being put together.
pub(crate) struct Call {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(crate) fn new(script: &'static Script) -> Self {
        Call {
            script,
            keys: Vec::new(),
            arguments: Vec::new(),
        }
    }

    pub(crate) fn key(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.keys.push(key.into());
        self
    }

    pub(crate) fn arg(&mut self, argument: impl Into<Vec<u8>>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn number(&mut self, argument: impl ToString) -> &mut Self {
        self.arg(argument.to_string())
    }

    fn into_command(self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.hash.as_str()).arg(self.keys.len());
        for part in self.keys.iter().chain(&self.arguments) {
            command.arg(part.as_slice());
        }
        command
    }
}

impl Batch {
    pub(crate) fn new(operation: &'static str) -> Self {
        Batch {
            operation,
            commands: Vec::new(),
        }
    }

    pub(crate) fn call(&mut self, call: Call) -> &mut Self {
        let script = call.script;
        self.commands.push((call.into_command(), Some(script)));
        self
    }

    pub(crate) fn command(&mut self, name: &str, arguments: &[&str]) -> &mut Self {
        let mut command = redis::cmd(name);
        command.arg(arguments);
        self.commands.push((command, None));
        self
    }

    /// Sends everything and gives one answer for each command; those that are errors too.
    ///
    /// Scripts that the server does not know (any more) are loaded and only their calls repeated: the others were
    /// carried out.
    pub(crate) async fn send(&self, link: &Link) -> Result<Vec<Value>, CallError> {
        if self.commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(self.commands.len());
        for (command, _) in &self.commands {
            pipeline.add_command(command.clone());
        }
        let mut answers = link.send(self.operation, &pipeline).await?;
        // A second time for a server that forgets them in between, as a test does. Then the error stays.
        for _ in 0..3 {
            let missing: Vec<usize> = (0..answers.len())
                .filter(|at| is_missing_script(&answers[*at]))
                .collect();
            if missing.is_empty() {
                break;
            }
            self.repeat(link, &missing, &mut answers).await?;
        }
        Ok(answers)
    }

    async fn repeat(&self, link: &Link, missing: &[usize], answers: &mut [Value]) -> Result<(), CallError> {
        let mut pipeline = Pipeline::new();
        let mut loaded: Vec<&str> = Vec::new();
        for at in missing {
            if let (_, Some(script)) = &self.commands[*at]
                && !loaded.contains(&script.source)
            {
                pipeline.cmd("SCRIPT").arg("LOAD").arg(script.source);
                loaded.push(script.source);
            }
        }
        for at in missing {
            pipeline.add_command(self.commands[*at].0.clone());
        }
        let repeated = link.send(self.operation, &pipeline).await?;
        for (at, answer) in missing.iter().zip(repeated.into_iter().skip(loaded.len())) {
            answers[*at] = answer;
        }
        Ok(())
    }

    /// As [`Batch::send`], for what does no harm when it is carried out twice: tries once more over a new connection
    /// if the one there was had broken, as it has after a restart of the server.
    pub(crate) async fn send_idempotent(&self, link: &Link) -> Result<Vec<Value>, BrokerError> {
        match self.send(link).await {
            Err(failed) if failed.broken => self.send(link).await,
            sent => sent,
        }
        .map_err(|failed| failed.error)
    }
}
