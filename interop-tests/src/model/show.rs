//! What is shown: servers and workers, and the looks of queues and tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use asynq_core::broker::{Inspect as _, Operate as _, Page, Presence as _, ServerId, ServerInfo, WorkerInfo};
use asynq_core::{GroupName, Inspector, QueueInfo, QueueName, Search, TaskInfo, TaskState};

use serde_json::{Value, json};

use super::filters::Sieve;
use super::inspect::list_of;
use super::op::Who;
use super::world::{Step, Stop, World, group_name, queue_name, same};
use crate::differences::Difference;
use crate::{hex, message};

const TTL: Duration = Duration::from_secs(10);
/// More tasks than there ever are.
const MANY: usize = 1000;

impl World<'_> {
    pub(super) async fn announce(&mut self, server: u8, workers: &[u16], who: Who) -> Step {
        let id = server_id(server);
        let mut shown: BTreeMap<String, WorkerInfo> = BTreeMap::new();
        for pick in workers.iter().filter(|_| !self.holders.is_empty()) {
            let holder = &self.holders[usize::from(*pick) % self.holders.len()];
            shown.insert(holder.key.id.to_string(), self.worker(&id, &holder.message));
        }
        let shown: Vec<WorkerInfo> = shown.into_values().collect();
        let info = self.server(id, shown.len());
        for side in World::sides(who) {
            self.must(*side, "write_server_state", |request| {
                let workers: Vec<Value> = shown.iter().map(message::worker_to_json).collect();
                request
                    .with("server", message::server_to_json(&info))
                    .with("workers", workers)
                    .with("ttl", TTL.as_micros() as i64)
            })?;
        }
        if who == Who::Ours {
            self.broker.announce(&info, &shown, TTL).await?;
        }
        Ok(())
    }

    fn worker(&self, server: &ServerId, message: &asynq_core::TaskMessage) -> WorkerInfo {
        let now = self.now();
        WorkerInfo {
            server: server.clone(),
            task_id: message.id.clone(),
            task_type: message.task_type.clone(),
            payload: message.payload.clone(),
            queue: message.queue.clone(),
            started_at: now,
            deadline: now.saturating_add(Duration::from_micros(1_800_000_001)),
        }
    }

    fn server(&self, id: ServerId, workers: usize) -> ServerInfo {
        ServerInfo {
            id,
            concurrency: 10,
            queues: BTreeMap::from([(queue_name(0), 6), (queue_name(1), 1)]),
            strict_priority: workers == 1,
            status: "active".to_owned(),
            started_at: self.now(),
            active_workers: u32::try_from(workers).unwrap_or(0),
        }
    }

    pub(super) async fn withdraw(&mut self, server: u8, who: Who) -> Step {
        let id = server_id(server);
        let info = self.server(id.clone(), 0);
        for side in World::sides(who) {
            self.must(*side, "clear_server_state", |request| {
                request.with("server", message::server_to_json(&info))
            })?;
        }
        if who == Who::Ours {
            self.broker.withdraw(&id).await?;
        }
        Ok(())
    }

    /// Reads all there is to see. Nothing may change, except that Go removes servers that have expired: then it does so
    /// on both sides.
    pub(super) async fn look(&mut self, queue: u8) -> Step {
        self.look_at_servers().await?;
        self.look_at_schedules().await?;
        self.look_at_queue(&queue_name(queue)).await
    }

    async fn look_at_servers(&mut self) -> Step {
        let shown = self.broker.servers().await?;
        let mut ours: Vec<String> = Vec::new();
        for (server, workers) in &shown {
            ours.push(message::server_to_json(server).to_string());
            ours.extend(
                workers
                    .iter()
                    .map(|worker| message::worker_to_json(worker).to_string()),
            );
        }
        let before: i64 = self.command(0, &["ZCARD", "asynq:servers"])?;
        let mut by_go: Vec<Vec<String>> = Vec::new();
        for side in [0, 1] {
            let mut listed = Vec::new();
            for operation in ["list_servers", "list_workers"] {
                let list = self.must(side, operation, |request| request)?;
                listed.extend(list.as_array().into_iter().flatten().map(Value::to_string));
            }
            listed.sort_unstable();
            by_go.push(listed);
        }
        let after: i64 = self.command(0, &["ZCARD", "asynq:servers"])?;
        if after < before {
            self.met(Difference::ReadOnlyListing);
        }
        ours.sort_unstable();
        same("servers by Go on either database", &by_go[0], &by_go[1])?;
        same("servers", &by_go[0], &ours)
    }

    async fn look_at_queue(&mut self, queue: &QueueName) -> Step {
        let go = self.must(0, "queues", |request| request)?;
        let mut go: Vec<String> = serde_json::from_value(go).unwrap_or_default();
        go.sort_unstable();
        let ours = self.broker.queues().await?;
        same("queues", go, ours.iter().map(QueueName::to_string).collect())?;
        let go = self.ask(0, "queue_info", |request| request.with("queue", queue.as_str()))?;
        let ours = self.broker.queue_info(queue).await?;
        match (&go, &ours) {
            (Err(error), None) if error.kind == "queue_not_found" => return Ok(()),
            (Ok(go), Some(ours)) => same("queue info", shown_of_go(go), shown_of_ours(ours))?,
            (go, ours) => return Err(Stop::Differs(format!("queue info: Go {go:?}, ours {ours:?}"))),
        }
        let memory = go.map_or(0, |info| info["MemoryUsage"].as_u64().unwrap_or_default());
        self.look_at_memory(queue, memory).await?;
        self.look_at_history(queue).await?;
        self.look_at_groups(queue).await?;
        for state in TaskState::ALL {
            let groups: &[u8] = if state == TaskState::Aggregating {
                &[0, 1]
            } else {
                &[0]
            };
            for group in groups {
                self.look_at_tasks(queue, state, &group_name(*group)).await?;
            }
        }
        Ok(())
    }

    /// An estimate, and ours stores more fields.
    async fn look_at_memory(&mut self, queue: &QueueName, go: u64) -> Step {
        let ours = self.broker.memory_usage(queue).await?;
        if go / 2 <= ours && ours <= go * 2 {
            return Ok(());
        }
        Err(Stop::Differs(format!("memory usage: Go {go}, ours {ours}")))
    }

    async fn look_at_history(&mut self, queue: &QueueName) -> Step {
        let go = self.must(0, "history", |request| {
            request.with("queue", queue.as_str()).with("size", 3)
        })?;
        let ours = self.broker.history(queue, 3).await?;
        let ours: Vec<Value> = ours
            .iter()
            .map(|day| json!([day.day.unix_seconds(), day.processed, day.failed]))
            .collect();
        same("history", go, Value::Array(ours))
    }

    async fn look_at_groups(&mut self, queue: &QueueName) -> Step {
        let go = self.must(0, "group_stats", |request| request.with("queue", queue.as_str()))?;
        let mut by_go: Vec<(String, u64)> = Vec::new();
        for group in go.as_array().into_iter().flatten() {
            let name = group["Group"].as_str().unwrap_or_default();
            by_go.push((name.to_owned(), group["Size"].as_u64().unwrap_or_default()));
        }
        by_go.sort_unstable();
        let ours = self.broker.group_sizes(queue).await?;
        let ours = ours.iter().map(|group| (group.group.to_string(), group.size));
        same("groups", by_go, ours.collect())
    }

    /// The whole list, a page of it, the same by cursor, and each task by itself.
    async fn look_at_tasks(&mut self, queue: &QueueName, state: TaskState, group: &GroupName) -> Step {
        let ours = self
            .broker
            .tasks(queue, state, Some(group), Page::first(MANY))
            .await?;
        let by_go = self.listed_by_go(queue, state, group, [MANY, 0])?;
        let by_ours: Vec<Value> = ours.iter().map(|info| cut_next(&info_json(info))).collect();
        if by_go != by_ours && matches!(state, TaskState::Scheduled | TaskState::Retry) {
            // Within a second Go lists by id alone.
            let sorted = |tasks: &[Value]| {
                let mut tasks = tasks.to_vec();
                tasks.sort_by_key(second_and_id);
                tasks
            };
            same(&format!("{state} tasks"), sorted(&by_go), sorted(&by_ours))?;
            self.met(Difference::OrderWithinSecond);
        } else {
            same(&format!("{state} tasks"), &by_go, &by_ours)?;
            let page = self.listed_by_go(queue, state, group, [2, 1])?;
            let ours = self
                .broker
                .tasks(queue, state, Some(group), Page { offset: 2, limit: 2 })
                .await?;
            let ours = ours.iter().map(|info| cut_next(&info_json(info))).collect();
            same("a page", page, ours)?;
        }
        self.search(queue, state, group, by_ours).await?;
        for task in ours {
            let go = self.must(0, "task_info", |request| {
                request
                    .with("queue", queue.as_str())
                    .with("id", task.id().as_str())
            })?;
            let ours = self.broker.task(queue, task.id()).await?;
            let ours = ours.as_ref().map_or(Value::Null, info_json);
            same("task info", cut_next(&go), cut_next(&ours))?;
        }
        Ok(())
    }

    fn listed_by_go(
        &mut self,
        queue: &QueueName,
        state: TaskState,
        group: &GroupName,
        [size, page]: [usize; 2],
    ) -> Result<Vec<Value>, Stop> {
        let listed = self.must(0, &format!("list_{state}"), |request| {
            request
                .with("queue", queue.as_str())
                .with("group", group.as_str())
                .with("size", size)
                .with("page", page)
        })?;
        Ok(listed.as_array().into_iter().flatten().map(cut_next).collect())
    }

    /// By cursor, the tasks come in the order of the list: all of them, and those that pass a filter.
    async fn search(
        &mut self,
        queue: &QueueName,
        state: TaskState,
        group: &GroupName,
        listed: Vec<Value>,
    ) -> Step {
        let inspector = Inspector::new(self.broker.clone());
        let search = || inspector.search(queue, list_of(state, group)).page_size(2);
        same("search", &listed, &found(search()).await?)?;
        for number in 0..Sieve::COUNT {
            let sieve = Sieve::number(number);
            let mut expected = listed.clone();
            expected.retain(|task| sieve.passes(&message::from_json(&task["message"])));
            let what = format!("search for {:?}", sieve.filter);
            same(&what, expected, found(search().matching(sieve.filter)).await?)?;
        }
        Ok(())
    }
}

async fn found(mut search: Search) -> Result<Vec<Value>, Stop> {
    let mut found = Vec::new();
    while let Some(page) = search.next().await {
        let page = page.map_err(|error| Stop::Differs(format!("search: {error}")))?;
        found.extend(page.iter().map(|info| cut_next(&info_json(info))));
    }
    Ok(found)
}

fn server_id(number: u8) -> ServerId {
    ServerId {
        host: "host".to_owned(),
        pid: 7 + u32::from(number % 2),
        id: format!("server-{}", number % 2),
    }
}

fn info_json(info: &TaskInfo) -> Value {
    json!({
        "message": message::to_json(&info.message),
        "state": info.state.as_str(),
        "next": info.next_process_at.map(|at| at.unix_micros()),
        "result": hex::to_json(info.result.as_deref().unwrap_or_default()),
    })
}

fn second_and_id(info: &Value) -> (i64, String) {
    let id = info["message"]["id"].as_str().unwrap_or_default();
    (info["next"].as_i64().unwrap_or_default(), id.to_owned())
}

/// Go shows whole seconds where ours is exact; the scores are compared with the key space.
fn cut_next(info: &Value) -> Value {
    let mut info = info.clone();
    if let Some(next) = info["next"].as_i64() {
        info["next"] = next.div_euclid(1_000_000).into();
    }
    if info["result"] == "" {
        info["result"] = Value::Null;
    }
    info
}

fn shown_of_go(info: &Value) -> Vec<(&'static str, i64)> {
    let number = |name: &'static str| (name, info[name].as_i64().unwrap_or_default());
    let mut shown: Vec<_> = [
        "Pending",
        "Active",
        "Scheduled",
        "Retry",
        "Archived",
        "Completed",
        "Aggregating",
        "Groups",
        "Processed",
        "Failed",
        "ProcessedTotal",
        "FailedTotal",
        "Size",
    ]
    .map(number)
    .into();
    shown.push(("Paused", i64::from(info["Paused"] == true)));
    // In nanoseconds.
    shown.push(("Latency", info["Latency"].as_i64().unwrap_or_default() / 1_000));
    shown
}

fn shown_of_ours(info: &QueueInfo) -> Vec<(&'static str, i64)> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let latency = info
        .oldest_pending_since
        .map_or(0, |since| info.timestamp.unix_micros() - since.unix_micros());
    vec![
        ("Pending", count(info.pending)),
        ("Active", count(info.active)),
        ("Scheduled", count(info.scheduled)),
        ("Retry", count(info.retry)),
        ("Archived", count(info.archived)),
        ("Completed", count(info.completed)),
        ("Aggregating", count(info.aggregating)),
        ("Groups", count(info.groups)),
        ("Processed", count(info.processed)),
        ("Failed", count(info.failed)),
        ("ProcessedTotal", count(info.processed_total)),
        ("FailedTotal", count(info.failed_total)),
        ("Size", count(info.size())),
        ("Paused", i64::from(info.paused)),
        ("Latency", latency),
    ]
}
