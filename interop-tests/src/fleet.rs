//! Programs of Go and of ours on one Redis.

mod cancel;
mod cli;
mod dashboard;
mod inspectors;
mod kills;
mod options;
mod process;
mod scene;
mod schedules;

use std::path::PathBuf;

use crate::go::GoProgram;
use process::{Kind, Ledger, Port, ServerProcess};

/// The tools of Go asynq.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    /// asynqmon, the dashboard.
    pub(crate) dashboard: PathBuf,
    /// asynq, the command line tool.
    pub(crate) cli: PathBuf,
}

/// What the mixed fleet went through.
#[derive(Debug, Default)]
pub(crate) struct Sailed {
    pub(crate) options: usize,
    /// Answered by the dashboard.
    pub(crate) requests: usize,
    /// Carried out by the command line tool.
    pub(crate) commands: usize,
    /// Given by both inspectors.
    pub(crate) answers: usize,
    pub(crate) tasks: usize,
    pub(crate) kills: usize,
    pub(crate) repeated: usize,
}

/// Everything, with this many tasks while servers are killed.
pub(crate) fn check(program: &GoProgram, tools: &Tools, tasks: usize, seed: u64) -> Result<Sailed, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut sailed = Sailed::default();
        for (database, direction) in [
            (110, options::Direction::GoToOurs),
            (112, options::Direction::OursToGo),
        ] {
            options::check(program, database, direction, &mut sailed).await?;
        }
        cancel::check(program, 114).await?;
        schedules::check(program, tools, 116, &mut sailed).await?;
        sailed.requests += dashboard::check(&tools.dashboard, program, 120).await?;
        sailed.commands += cli::check(&tools.cli, program, 122).await?;
        let scene = scene_of_both(program, 124, &mut sailed).await?;
        kills::check(program, 118, tasks, seed, &mut sailed).await?;
        // By now the leases of the servers that were killed there are over.
        sailed.answers += inspectors::compare(&scene, 3).await?;
        Ok(sailed)
    })
}

/// Tasks of both clients in all states, on servers of both kinds that are killed in the end.
async fn scene_of_both(program: &GoProgram, database: i64, sailed: &mut Sailed) -> Result<Port, String> {
    let port = scene::port(program, database);
    port.flush()?;
    let mut ledger = Ledger::new();
    let mut servers = Vec::new();
    for kind in [Kind::Go, Kind::Ours] {
        servers.push(ServerProcess::start(&port, kind, &ledger.sender)?);
    }
    for (kind, prefix) in [(Kind::Go, "go "), (Kind::Ours, "our ")] {
        scene::fill(&port, kind, prefix).await?;
    }
    scene::settled(&port, &mut ledger, 2).await?;
    sailed.answers += inspectors::compare(&port, 3).await?;
    drop(servers);
    Ok(port)
}
