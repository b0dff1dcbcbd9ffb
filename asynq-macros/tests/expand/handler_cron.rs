#[task(cron = "@every 90s")]
async fn tidy(tidy: Tidy) {
    tidy.up().await
}
