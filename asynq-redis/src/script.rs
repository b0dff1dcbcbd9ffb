//! The scripts, and how commands and scripts are sent together.

use std::sync::LazyLock;

use asynq_core::BrokerError;
use redis::{Cmd, Pipeline, Value};

use crate::connection::Link;
use crate::error::{CallError, is_missing_script, is_unknown_read_only_call};

/// A Lua script. Its header says what it does.
pub(crate) struct Script {
    pub(crate) source: &'static str,
    keys: Keys,
    /// Sent so that a user who may only read can run it, by servers that know how: Redis from version 7.0 on.
    only_reads: bool,
    hash: LazyLock<String>,
}

/// How many keys a script takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Exactly(usize),
    /// So many, and some more for each task.
    AtLeast(usize),
    /// So many for each queue.
    MultipleOf(usize),
}

impl Keys {
    fn allow(self, number: usize) -> bool {
        match self {
            Keys::Exactly(exactly) => number == exactly,
            Keys::AtLeast(least) => number >= least,
            Keys::MultipleOf(each) => number.is_multiple_of(each),
        }
    }
}

/// Declares scripts: how many keys each takes, its text (that of the libraries named, then its own), and whether it only
/// reads.
macro_rules! scripts {
    (@) => { false };
    (@ reads) => { true };
    ($($name:ident = $keys:ident($number:literal), [$($file:literal),+] $(, $reads:ident)?;)+) => {
        $(pub(crate) static $name: Script = Script {
            source: concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+),
            keys: Keys::$keys($number),
            only_reads: scripts!(@ $($reads)?),
            hash: LazyLock::new(|| redis::Script::new($name.source).get_hash().to_owned()),
        };)+

        #[cfg(test)]
        static ALL: &[(&str, &Script)] = &[$((stringify!($name), &$name)),+];
    };
}

scripts! {
    ENQUEUE = AtLeast(3), ["lib/common", "lib/insert", "enqueue"];
    DEQUEUE = MultipleOf(4), ["lib/common", "lib/lease", "dequeue"];
    RECLAIM_LEASED = Exactly(1), ["lib/common", "lib/lease", "reclaim_leased"];
    FINISH = AtLeast(11), ["lib/common", "lib/lease", "lib/counters", "finish"];
    EXTEND = AtLeast(1), ["lib/common", "lib/lease", "extend"];
    WRITE_RESULT = Exactly(2), ["lib/common", "lib/lease", "write_result"];
    FORWARD = Exactly(3), ["lib/common", "forward"];
    EXPIRED = Exactly(2), ["lib/common", "lib/lease", "expired"];
    PURGE = Exactly(2), ["lib/common", "lib/delete", "purge"];
    RECONCILE_ACTIVE = Exactly(2), ["lib/common", "reconcile_active"];
    RECONCILE_LEASES = Exactly(2), ["lib/common", "reconcile_leases"];
    RECONCILE_TASKS = AtLeast(9), ["lib/common", "reconcile_tasks"];
    RECONCILE_GROUPS = AtLeast(2), ["lib/common", "reconcile_groups"];
    SEAL = Exactly(4), ["lib/common", "seal"];
    READ_SET = Exactly(1), ["read_set"], reads;
    DROP_MEMBERS = Exactly(7), ["lib/common", "lib/counters", "drop_members"];
    FINISH_SET = AtLeast(5), ["lib/common", "lib/insert", "lib/delete", "lib/sets", "finish_set"];
    CLEAR_SET = Exactly(1), ["lib/common", "lib/delete", "lib/sets", "clear_set"];
    RECLAIM_SET = Exactly(2), ["lib/common", "reclaim_set"];
    ANNOUNCE = Exactly(2), ["lib/common", "announce"];
    QUEUE_INFO = Exactly(12), ["lib/common", "queue_info"], reads;
    TASK = Exactly(4), ["lib/common", "lib/describe", "task"], reads;
    TASKS = Exactly(4), ["lib/common", "lib/describe", "tasks"], reads;
    CANCEL = Exactly(1), ["cancel"];
    ENQUEUE_TICK = AtLeast(4), ["lib/common", "lib/insert", "enqueue_tick"];
    LAST_TICK = Exactly(1), ["lib/common", "last_tick"];
    PUBLISH_ENTRIES = Exactly(1), ["lib/common", "publish_entries"];
    RECORD_EVENT = Exactly(1), ["lib/common", "record_event"];
    PAGE = Exactly(4), ["lib/common", "lib/describe", "page"], reads;
    APPLY = AtLeast(6), ["lib/common", "lib/delete", "lib/pending", "apply"];
    CHANGE = Exactly(8), ["lib/common", "lib/insert", "change"];
    EMPTY_QUEUE = Exactly(8), ["lib/delete", "empty_queue"];
    SWEEP_QUEUE = AtLeast(8), ["lib/delete", "sweep_queue"];
    QUEUE_MEMORY = Exactly(7), ["queue_memory"], reads;
}

/// Commands and script calls that go to the server in one round trip.
pub(crate) struct Batch {
    operation: &'static str,
    commands: Vec<Part>,
}

enum Part {
    Command(Cmd),
    Call(Call),
}

impl Part {
    fn to_command(&self, link: &Link) -> Cmd {
        match self {
            Part::Command(command) => command.clone(),
            Part::Call(call) => call.to_command(link.sends_read_only_scripts()),
        }
    }
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

    fn to_command(&self, sends_read_only: bool) -> Cmd {
        debug_assert!(self.script.keys.allow(self.keys.len()), "number of keys");
        let mut command = redis::cmd(if self.script.only_reads && sends_read_only {
            "EVALSHA_RO"
        } else {
            "EVALSHA"
        });
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
        self.commands.push(Part::Call(call));
        self
    }

    pub(crate) fn command(&mut self, name: &str, arguments: &[&str]) -> &mut Self {
        let mut command = redis::cmd(name);
        command.arg(arguments);
        self.commands.push(Part::Command(command));
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
        for part in &self.commands {
            pipeline.add_command(part.to_command(link));
        }
        let mut answers = link.send(self.operation, &pipeline).await?;
        // A second time for a server that forgets them in between, as a test does. Then the error stays.
        for _ in 0..3 {
            if answers.iter().any(is_unknown_read_only_call) {
                link.send_no_read_only_scripts();
            }
            let missing: Vec<usize> = (0..answers.len())
                .filter(|at| is_missing_script(&answers[*at]) || is_unknown_read_only_call(&answers[*at]))
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
            if let Part::Call(call) = &self.commands[*at]
                && !loaded.contains(&call.script.source)
            {
                pipeline.cmd("SCRIPT").arg("LOAD").arg(call.script.source);
                loaded.push(call.script.source);
            }
        }
        for at in missing {
            pipeline.add_command(self.commands[*at].to_command(link));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the script itself: what follows the last library.
    fn header(name: &str, script: &Script) -> String {
        let file = format!(
            "{}/src/scripts/{}.lua",
            env!("CARGO_MANIFEST_DIR"),
            name.to_lowercase()
        );
        let own = std::fs::read_to_string(file).unwrap();
        assert!(script.source.ends_with(&own), "{name} ends with its own file");
        own.lines()
            .take_while(|line| line.starts_with("--"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// How many keys a header names: `KEYS[2]` one by one, `KEYS[1…9]` several, `KEYS[10…]` an open number; or
    /// `KEYS  a, b` in a list, which may be `for each queue`.
    fn keys_in(header: &str) -> Keys {
        let mut lines = header
            .lines()
            .skip_while(|line| !line.starts_with("-- KEYS"))
            .peekable();
        let first = lines
            .peek()
            .expect("a line about KEYS")
            .trim_start_matches("-- KEYS");
        if !first.starts_with('[') {
            let rest = lines.skip(1).take_while(|line| line.starts_with("--   "));
            let list = std::iter::once(first.to_owned())
                .chain(rest.map(str::to_owned))
                .collect::<String>();
            let number = list.matches(',').count() + 1;
            return if list.contains("for each") {
                Keys::MultipleOf(number)
            } else {
                Keys::Exactly(number)
            };
        }
        let mut highest = 0;
        for line in header.lines().filter_map(|line| line.strip_prefix("-- KEYS[")) {
            let range = line.split(']').next().unwrap();
            match range.split_once('…') {
                Some((_, "")) => return Keys::AtLeast(highest),
                Some((_, last)) => highest = last.parse().unwrap(),
                None => highest = range.parse().unwrap(),
            }
        }
        Keys::Exactly(highest)
    }

    #[test]
    fn headers_and_callers_agree_on_the_number_of_keys() {
        for (name, script) in ALL {
            assert_eq!(keys_in(&header(name, script)), script.keys, "{name}");
        }
    }

    #[test]
    fn every_header_says_what_comes_back_and_what_go_does() {
        for (name, script) in ALL {
            let header = header(name, script);
            assert!(header.contains("Returns"), "{name}");
            assert!(header.contains("Go"), "{name}");
            assert!(header.contains("ARGV") || *name == "CANCEL", "{name}");
        }
    }

    #[test]
    fn scripts_that_change_nothing_are_sent_so() {
        for (name, script) in ALL {
            let says_so = header(name, script).contains("Changes nothing");
            assert_eq!(script.only_reads, says_so, "{name}");
        }
    }

    #[test]
    fn every_script_is_declared() {
        let directory = format!("{}/src/scripts", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(directory).unwrap().filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|extension| extension == "lua")
        });

        assert_eq!(files.count(), ALL.len());
    }
}
