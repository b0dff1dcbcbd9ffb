#[allow(non_camel_case_types)]
#[doc(hidden)]
#[derive(
    :: core :: clone :: Clone,
    :: core :: marker :: Copy,
    :: core :: fmt :: Debug,
    :: core :: default :: Default,
)]
struct tidy {}
#[allow(clippy::too_many_arguments)]
fn tidy(tidy: Tidy) -> ::asynq_server::HandlerCall<tidy, impl ::core::future::Future<Output = ()>> {
    ::asynq_server::HandlerCall::new(tidy::tidy(tidy))
}
const _: () = {
    impl tidy {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::too_many_arguments,
            clippy::unused_async
        )]
        async fn tidy(tidy: Tidy) {
            tidy.up().await
        }
    }
    impl<__AppState> ::asynq_server::TaskHandler<__AppState> for tidy
    where
        __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
    {
        type Task = Tidy;
        fn name(&self) -> &'static str {
            ::core::concat!(::core::module_path!(), "::", ::core::stringify!(tidy))
        }
        fn schedule(&self) -> ::core::option::Option<::asynq_server::Schedule> {
            const _: () = {
                #[allow(unused_imports)]
                use ::asynq_server::__private::NotPeriodic as _;
                ::core::assert!(
                    !::asynq_server::__private::IsPeriodic::<Tidy>::IS_PERIODIC,
                    "`Tidy` says itself when it is enqueued: leave out the `cron` here, or that of `#[derive(Task)]`"
                );
            };
            ::core::option::Option::Some(::asynq_server::Schedule::new("@every 90s", || {
                <Tidy as ::asynq_server::__private::WithoutValues>::without_values()
            }))
        }
        async fn run(
            &self,
            task: ::asynq_server::TaskParts<'_>,
            _: &__AppState,
        ) -> ::asynq_server::Outcome {
            let payload = match ::asynq_server::__private::decode::<Self, __AppState>(task) {
                ::core::result::Result::Ok(payload) => payload,
                ::core::result::Result::Err(outcome) => return outcome,
            };
            let returned = Self::tidy(payload).await;
            {
                #[allow(unused_imports)]
                use ::asynq_server::__private::{
                    ReturnedJson as _, ReturnedOther as _, ReturnedOutcome as _,
                };
                (&&&::asynq_server::__private::Returned::of(&returned)).outcome(returned)
            }
        }
    }
};
