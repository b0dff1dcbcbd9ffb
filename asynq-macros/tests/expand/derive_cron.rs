#[derive(Serialize, Deserialize, Task)]
#[task(name = "report:nightly", queue = "low", cron = "0 3 * * *", tz = "Europe/Paris", missed = "run_all(10)")]
struct NightlyReport;
