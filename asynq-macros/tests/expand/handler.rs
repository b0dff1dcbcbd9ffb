/// Sends a welcome.
#[task(backoff = "exp(2s..10m)", concurrency = 20, timeout_cap = "500ms", on_decode_error = "retry")]
pub async fn send_welcome(
    email: WelcomeEmail,
    State(mailer): State<Mailer>,
    cx: Context,
    #[extract] tenant: Tenant,
) -> Result<(), MailError> {
    mailer.send(&email, &cx, tenant).await
}
