//! What a measure costs: CPU of this process and of Redis, commands that Redis carries out.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use redis::aio::MultiplexedConnection;

use crate::Error;

/// Reads of counters at one moment.
pub(crate) struct Observation {
    worker_cpu: Option<f64>,
    redis_cpu: f64,
    scripts: u64,
    commands: u64,
}

/// What happened between two observations.
pub(crate) struct Cost {
    /// Seconds of CPU of this process, if the system tells.
    pub(crate) worker_cpu: Option<f64>,
    /// Seconds of CPU of Redis.
    pub(crate) redis_cpu: f64,
    /// Script calls.
    pub(crate) scripts: f64,
    /// All commands, those inside scripts too.
    pub(crate) commands: f64,
}

/// Of Redis only if there is one.
pub(crate) async fn observe(redis: Option<&mut MultiplexedConnection>) -> Result<Observation, Error> {
    let info: String = match redis {
        Some(redis) => {
            let mut command = redis::cmd("INFO");
            command.arg("cpu").arg("commandstats").query_async(redis).await?
        }
        None => String::new(),
    };
    let info: BTreeMap<&str, &str> = info.lines().filter_map(|line| line.split_once(':')).collect();
    let cpu = |name: &str| {
        info.get(name)
            .and_then(|text| text.trim().parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    let calls = |line: &str| -> u64 {
        let first = line
            .split(',')
            .next()
            .and_then(|field| field.strip_prefix("calls="));
        first.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let stats = || info.iter().filter(|(name, _)| name.starts_with("cmdstat_"));
    Ok(Observation {
        worker_cpu: own_cpu(),
        redis_cpu: cpu("used_cpu_user") + cpu("used_cpu_sys"),
        scripts: stats()
            .filter(|(name, _)| name.ends_with("_evalsha"))
            .map(|(_, line)| calls(line))
            .sum(),
        commands: stats()
            .filter(|(name, _)| !name.ends_with("_info") && !name.ends_with("_evalsha"))
            .map(|(_, line)| calls(line))
            .sum(),
    })
}

impl Observation {
    pub(crate) fn until(&self, later: &Observation) -> Cost {
        Cost {
            worker_cpu: self
                .worker_cpu
                .zip(later.worker_cpu)
                .map(|(before, after)| after - before),
            redis_cpu: later.redis_cpu - self.redis_cpu,
            scripts: (later.scripts - self.scripts) as f64,
            commands: (later.commands - self.commands) as f64,
        }
    }
}

/// Seconds of CPU that this process has used, on Linux.
fn own_cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    const TICKS_PER_SECOND: f64 = 100.0;
    Some(ticks / TICKS_PER_SECOND)
}

/// Commands that clients send during a while, without and with those inside scripts, by name.
pub(crate) async fn listen(
    client: &redis::Client,
    duration: Duration,
) -> Result<(BTreeMap<String, u64>, BTreeMap<String, u64>), Error> {
    let monitor = client.get_async_monitor().await?;
    let mut lines = monitor.into_on_message::<String>();
    let (mut sent, mut inside) = (BTreeMap::new(), BTreeMap::new());
    let _ = tokio::time::timeout(duration, async {
        while let Some(line) = lines.next().await {
            let name = line.split('"').nth(1).unwrap_or_default().to_lowercase();
            let of = if line.contains(" lua]") {
                &mut inside
            } else {
                &mut sent
            };
            *of.entry(name).or_insert(0) += 1;
        }
    })
    .await;
    Ok((sent, inside))
}
