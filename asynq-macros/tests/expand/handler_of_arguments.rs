#[task(name = "image:resize", queue = "low", derive(Debug))]
async fn resize(
    /// Where the image is.
    url: String,
    #[serde(default)] width: u32,
    State(store): State<Store>,
) -> Result<u64, StoreError> {
    store.resize(&url, width).await
}
