#[derive(Clone, FromRef)]
struct App {
    mailer: Mailer,
    #[from_ref(skip)]
    started: Instant,
}
