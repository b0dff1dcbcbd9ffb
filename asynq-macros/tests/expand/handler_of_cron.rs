#[task(name = "report:nightly", cron = "0 3 * * *", derive(Default))]
async fn nightly_report(format: Format, State(store): State<Store>) -> Result<(), StoreError> {
    store.report(format).await
}
