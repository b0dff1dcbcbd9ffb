#[derive(Serialize, Deserialize, Task)]
#[task(name = "email:welcome", queue = "critical", max_retry = 5, timeout = "1m30s", alias = "mail:welcome")]
struct WelcomeEmail {
    username: String,
}
