//! Periodic tasks from a YAML file that is edited while they run.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, reason = "all of this is tests, helpers too")]

mod support;

use std::path::PathBuf;

use asynq_core::{BoxError, Inspect, QueueName};
use asynq_scheduler::{ConfigProvider, PeriodicTasks, Scheduler, YamlFile};
use proptest::prelude::*;
use uuid::Uuid;

use support::*;

/// A file that is removed afterwards.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let file = File(std::env::temp_dir().join(format!("asynq-{}.yaml", Uuid::new_v4())));
        file.write(text);
        file
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(&self.0, text).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const ONE: &str = "configs:\n  - cronspec: '@every 1s'\n    task_type: a\n";

#[tokio::test(start_paused = true)]
async fn everything_an_entry_may_say_is_understood() {
    let file = File::new(
        r#"
# periodic tasks
configs:
  - cronspec: "@every 10s"
    task_type: plain
  - name: report
    cronspec: "0 3 * * *"
    tz: Europe/Paris
    task_type: report
    payload: {format: pdf, pages: [1, 2]}
    options:
      queue: low
      max_retry: 3
      timeout: 1m30s
      retention: 24h
      headers: {team: a}
    missed: {run_all: 10}
  - {cronspec: "@daily", task_type: text, payload: "as it is", missed: skip}
"#,
    );
    let broker = broker();
    let tasks = PeriodicTasks::new(Scheduler::new(broker), YamlFile::new(&file.0));
    tasks.start().await.unwrap();

    let shown = tasks.scheduler().entries_shown();

    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0].payload.len(), 0);
    assert_eq!(
        (shown[1].id.as_str(), &shown[1].payload[..]),
        ("report", &br#"{"format":"pdf","pages":[1,2]}"#[..])
    );
    let options = [
        "Queue(\"low\")",
        "MaxRetry(3)",
        "Timeout(1m30s)",
        "Retention(24h0m0s)",
        r#"Header(["team","a"])"#,
    ];
    assert_eq!(shown[1].options, options);
    assert_eq!(&shown[2].payload[..], b"as it is");
}

#[tokio::test(start_paused = true)]
async fn an_edit_applies_within_a_second() {
    let broker = broker();
    let file = File::new(ONE);
    let tasks = PeriodicTasks::new(Scheduler::new(broker.clone()), YamlFile::new(&file.0));
    tasks.start().await.unwrap();
    pass(2).await;

    file.write(ONE.replace("task_type: a", "task_type: b"));
    pass(1).await;

    let shown = tasks.scheduler().entries_shown();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].task_type, "b");
    file.write("[]");
    pass(1).await;
    assert!(tasks.scheduler().entries_shown().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_keeps_the_entries_and_says_which_line() {
    let file = File::new(ONE);
    let yaml = YamlFile::new(&file.0);
    for (text, line) in [
        ("configs:\n  - cronspec: '@daily'\n    task_tipe: a\n", "line 3"),
        (
            "configs:\n  - cronspec: '@daily'\n    task_type: a: b\n",
            "line 3",
        ),
        (
            "configs:\n  - cronspec: '@daily'\n    task_type: a\n    options: {timeout: 5}\n",
            "line 4",
        ),
        (
            "- cronspec: '@daily'\n  task_type: a\n  tz: Mars/Base\n",
            "line 3",
        ),
    ] {
        file.write(text);
        let error = yaml.configs().await.unwrap_err();
        let text = format!("{error}: {}", error.source().unwrap());
        assert!(text.contains(line), "{text}");
    }

    file.write(ONE);
    let broker = broker();
    let tasks = PeriodicTasks::new(Scheduler::new(broker.clone()), yaml);
    tasks.start().await.unwrap();
    file.write("configs: [");
    pass(5).await;
    std::fs::remove_file(&file.0).unwrap();
    pass(5).await;

    assert_eq!(tasks.scheduler().entries_shown()[0].task_type, "a");
    let queue = QueueName::default_queue();
    assert!(broker.queue_info(&queue).await.unwrap().unwrap().pending >= 9);
}

#[tokio::test]
async fn a_file_that_is_no_text_says_which_line() {
    let file = File::new(ONE);
    file.write(b"configs:\n  - cronspec: '\xff'\n");

    let error = YamlFile::new(&file.0).configs().await.unwrap_err();

    assert!(with_cause(&error).contains("line 2"), "{}", with_cause(&error));
}

fn with_cause(error: &BoxError) -> String {
    format!("{error}: {}", error.source().unwrap())
}

const SEVERAL: &str = "\
configs:
  - cronspec: \"@every 10s\"
    task_type: plain
  - name: report
    cronspec: '0 3 * * *'
    tz: Europe/Paris
    task_type: report
    payload: {format: pdf, pages: [1, 2]}
    options:
      queue: low
      timeout: 1m30s
    missed: {run_all: 10}
  - {cronspec: '@daily', task_type: text, payload: 'as it is', missed: skip}
";

/// What a slip of the hand does to a file. Places are taken modulo what there is.
#[derive(Debug, Clone)]
enum Slip {
    Insert(usize, String),
    Remove(usize, usize),
    SwapLines(usize, usize),
    RepeatLine(usize),
    CutOff(usize),
}

fn slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        (
            any::<usize>(),
            "[-\\[\\]:{}\"'&*!|>%@#,?<=~0-9a-e \t\n\r\u{0}é]{1,4}"
        )
            .prop_map(|(at, text)| Slip::Insert(at, text)),
        (any::<usize>(), 1..9_usize).prop_map(|(at, length)| Slip::Remove(at, length)),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Slip::SwapLines(one, other)),
        any::<usize>().prop_map(Slip::RepeatLine),
        any::<usize>().prop_map(Slip::CutOff),
    ]
}

impl Slip {
    fn apply(self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.is_empty() {
            return String::new();
        }
        let (place, line) = (letters.len() + 1, lines.len());
        match self {
            Slip::Insert(at, inserted) => drop(letters.splice(at % place..at % place, inserted.chars())),
            Slip::Remove(at, length) => {
                let start = at % place;
                letters.drain(start..letters.len().min(start + length));
            }
            Slip::CutOff(at) => letters.truncate(at % place),
            Slip::SwapLines(one, other) => {
                lines.swap(one % line, other % line);
                return lines.concat();
            }
            Slip::RepeatLine(at) => {
                lines.insert(at % line, lines[at % line]);
                return lines.concat();
            }
        }
        letters.into_iter().collect()
    }
}

/// The number after `line` in an error.
fn line_of(error: &str) -> Option<usize> {
    let (_, rest) = error.rsplit_once("at line ")?;
    rest.split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

proptest! {
    #[test]
    fn slips_name_a_line_or_make_sense_and_never_take_entries_away_with_an_error(
        slips in proptest::collection::vec(slip(), 1..5),
    ) {
        let text = slips.into_iter().fold(SEVERAL.to_owned(), |text, slip| slip.apply(&text));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let file = File::new(SEVERAL);
            let tasks = PeriodicTasks::new(Scheduler::new(broker()), YamlFile::new(&file.0));
            tasks.start().await.unwrap();
            let types = || tasks.scheduler().entries_shown().into_iter().map(|entry| entry.task_type).collect::<Vec<_>>();
            let before = types();
            assert_eq!(before, ["plain", "report", "text"]);

            file.write(&text);
            pass(1).await;

            if let Err(error) = YamlFile::new(&file.0).configs().await {
                let error = with_cause(&error);
                let line = line_of(&error).unwrap_or_else(|| panic!("no line in {error:?}"));
                // To YAML a carriage return ends a line too.
                let lines = 1 + text.matches(['\n', '\r']).count();
                assert!((1..=lines).contains(&line), "{error}");
                assert_eq!(types(), before);
            }
            file.write(SEVERAL);
            pass(1).await;
            let mut after = types();
            after.sort_unstable();
            assert_eq!(after, before);
            tasks.shutdown().await;
        });
    }
}
