#[automatically_derived]
impl ::asynq_server::FromRef<App> for Mailer {
    fn from_ref(state: &App) -> Self {
        ::core::clone::Clone::clone(&state.mailer)
    }
}
