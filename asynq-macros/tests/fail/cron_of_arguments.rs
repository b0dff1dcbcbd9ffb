use asynq_server::prelude::*;

#[task(name = "report:nightly", cron = "0 3 * * *", tz = "Europe/Paris")]
async fn nightly_report(format: String) {
    println!("{format}");
}

fn main() {}
