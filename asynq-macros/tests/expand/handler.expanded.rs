#[allow(non_camel_case_types)]
#[doc(hidden)]
#[derive(
    :: core :: clone :: Clone,
    :: core :: marker :: Copy,
    :: core :: fmt :: Debug,
    :: core :: default :: Default,
)]
pub struct send_welcome {}
#[doc = " Sends a welcome."]
#[allow(clippy::too_many_arguments)]
pub fn send_welcome(
    email: WelcomeEmail,
    argument_1: State<Mailer>,
    cx: Context,
    tenant: Tenant,
) -> ::asynq_server::HandlerCall<
    send_welcome,
    impl ::core::future::Future<Output = Result<(), MailError>>,
> {
    ::asynq_server::HandlerCall::new(send_welcome::send_welcome(email, argument_1, cx, tenant))
}
const _: () = {
    impl send_welcome {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::too_many_arguments,
            clippy::unused_async
        )]
        async fn send_welcome(
            email: WelcomeEmail,
            State(mailer): State<Mailer>,
            cx: Context,
            tenant: Tenant,
        ) -> Result<(), MailError> {
            mailer.send(&email, &cx, tenant).await
        }
    }
    use ::asynq_server::__private::Extract as __Extract;
    impl<__AppState> ::asynq_server::TaskHandler<__AppState> for send_welcome
    where
        __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
        State<Mailer>: __Extract<__AppState>,
        Context: __Extract<__AppState>,
        Tenant: __Extract<__AppState>,
    {
        type Task = WelcomeEmail;
        fn name(&self) -> &'static str {
            ::core::concat!(
                ::core::module_path!(),
                "::",
                ::core::stringify!(send_welcome)
            )
        }
        fn policy(&self) -> ::asynq_server::Policy {
            ::asynq_server::Policy::new()
                .backoff(::asynq_server::ExponentialBackoff::new(
                    ::core::time::Duration::new(2u64, 0u32),
                    ::core::time::Duration::new(600u64, 0u32),
                ))
                .concurrency(20)
                .timeout_cap(::core::time::Duration::new(0u64, 500000000u32))
                .on_decode_error(::asynq_server::OnDecodeError::Retry)
        }
        async fn run(
            &self,
            task: ::asynq_server::TaskParts<'_>,
            state: &__AppState,
        ) -> ::asynq_server::Outcome {
            let payload = match ::asynq_server::__private::decode::<Self, __AppState>(task) {
                ::core::result::Result::Ok(payload) => payload,
                ::core::result::Result::Err(outcome) => return outcome,
            };
            let argument_1 =
                match <State<Mailer> as __Extract<__AppState>>::extract(task, state).await {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(error) => return error.into_outcome(),
                };
            let argument_2 = match <Context as __Extract<__AppState>>::extract(task, state).await {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(error) => return error.into_outcome(),
            };
            let argument_3 = match <Tenant as __Extract<__AppState>>::extract(task, state).await {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(error) => return error.into_outcome(),
            };
            let returned = Self::send_welcome(payload, argument_1, argument_2, argument_3).await;
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
