//! Programs of Go and of ours on one Redis.

mod cancel;
mod dashboard;
mod kills;
mod options;
mod process;

use std::path::Path;

use crate::go::GoProgram;

/// What the mixed fleet went through.
#[derive(Debug, Default)]
pub(crate) struct Sailed {
    pub(crate) options: usize,
    pub(crate) requests: usize,
    pub(crate) tasks: usize,
    pub(crate) kills: usize,
    pub(crate) repeated: usize,
}

/// Everything, with this many tasks while servers are killed.
pub(crate) fn check(program: &GoProgram, asynqmon: &Path, tasks: usize, seed: u64) -> Result<Sailed, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut sailed = Sailed::default();
    for (database, direction) in [
        (110, options::Direction::GoToOurs),
        (112, options::Direction::OursToGo),
    ] {
        sailed.options += runtime.block_on(options::check(program, database, direction))?;
    }
    runtime.block_on(cancel::check(program, 114))?;
    runtime.block_on(cancel::schedule(program, 116))?;
    sailed.requests = runtime.block_on(dashboard::check(asynqmon, program, 120))?;
    runtime.block_on(kills::check(program, 118, tasks, seed, &mut sailed))?;
    Ok(sailed)
}
