//! A scheduler of ours as a process of its own, which is told on standard input what to register: the counterpart of the
//! role in `interop/roles.go`.

use std::io::BufRead as _;
use std::time::Duration;

use asynq_redis::RedisBroker;
use asynq_scheduler::{EntryId, Scheduler};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::message;

/// Runs until there is no more input. Argument: URL.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [url] = args else {
        return Err("scheduler needs a URL".to_owned());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let broker = RedisBroker::connect(url)
            .await
            .map_err(|error| error.to_string())?;
        let scheduler = Scheduler::builder(broker)
            .heartbeat_interval(Duration::from_secs(1))
            .build();
        scheduler.start().map_err(|error| error.to_string())?;
        let mut commands = lines();
        let mut entries: Vec<EntryId> = Vec::new();
        while let Some(line) = commands.recv().await {
            let command: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
            match obey(&scheduler, &mut entries, &command) {
                Ok(id) => println!("{}", json!({ "ok": id })),
                Err(text) => println!("{}", json!({"err": {"kind": "other", "text": text}})),
            }
        }
        scheduler.shutdown().await;
        Ok(())
    })
}

fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn obey(scheduler: &Scheduler, entries: &mut Vec<EntryId>, command: &Value) -> Result<String, String> {
    let text = |name: &str| command[name].as_str().unwrap_or_default();
    if text("do") == "unregister" {
        let known = entries.iter().find(|id| id.as_str() == text("id"));
        let id = known.ok_or("there is no such entry")?;
        scheduler.unregister(id).map_err(|error| error.to_string())?;
        return Ok(id.to_string());
    }
    let task = &command["task"];
    let id = scheduler
        .register(text("spec"), message::raw_task(task), message::task_options(task))
        .map_err(|error| error.to_string())?;
    entries.push(id.clone());
    Ok(id.to_string())
}
