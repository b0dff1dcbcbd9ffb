#[allow(non_camel_case_types)]
#[doc(hidden)]
#[derive(
    :: core :: clone :: Clone,
    :: core :: marker :: Copy,
    :: core :: fmt :: Debug,
    :: core :: default :: Default,
)]
struct send {}
#[allow(clippy::too_many_arguments)]
fn send(
    email: Email,
    db: Db,
) -> ::asynq_server::HandlerCall<send, impl ::core::future::Future<Output = ()>> {
    ::asynq_server::HandlerCall::new({
        let _ = email;
        let _ = db;
        ::core::future::pending()
    })
}
const _: () = {
    #[allow(dead_code)]
    async fn send(email: Email, db: Db) {
        db.send(email).await;
    }
    impl<__AppState> ::asynq_server::TaskHandler<__AppState> for send
    where
        __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
    {
        type Task = ::asynq_server::__private::Broken;
        fn name(&self) -> &'static str {
            ::core::stringify!(send)
        }
        async fn run(
            &self,
            _: ::asynq_server::TaskParts<'_>,
            _: &__AppState,
        ) -> ::asynq_server::Outcome {
            ::asynq_server::Outcome::done()
        }
    }
};
::core::compile_error! { "`Db` cannot be asked for\nfor a shared value write `State(db): State<Db>`; an extractor of your own is marked `#[extract] db: Db`; the others are State<T>, Context, TaskId, QueueName, Attempt, Headers or RawTask" }
