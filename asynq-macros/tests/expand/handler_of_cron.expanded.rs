#[doc = "The payload of the task that [`nightly_report`](struct@nightly_report) handles: its arguments.\n\nIts task type is `report:nightly`."]
#[derive(
    :: asynq_server :: __private :: serde :: Serialize,
    :: asynq_server :: __private :: serde :: Deserialize,
    Default,
)]
#[serde(crate = "::asynq_server::__private::serde")]
struct NightlyReport {
    #[doc = "The argument `format`."]
    format: Format,
}
const _: () = {
    #[automatically_derived]
    impl ::asynq_server::Task for NightlyReport {
        const TYPE: &'static str = "report:nightly";
        type Codec = ::asynq_server::JsonCodec;
        fn periodic() -> ::core::option::Option<::asynq_server::Schedule> {
            ::core::option::Option::Some(<Self as ::asynq_server::Periodic>::schedule())
        }
    }
    #[automatically_derived]
    impl ::asynq_server::Periodic for NightlyReport {
        fn schedule() -> ::asynq_server::Schedule {
            ::asynq_server::Schedule::new("0 3 * * *", || {
                <NightlyReport as ::asynq_server::__private::WithoutValues>::without_values()
            })
        }
    }
    const _: () = {
        #[allow(unused_imports)]
        use ::asynq_server::__private::NoTask as _;
        ::core::assert!(
            !::asynq_server::__private::IsTask::<Format>::IS_TASK,
            "`Format` is a payload with a task type of its own, so this handler cannot have another: write `#[task]` without `name`"
        );
    };
};
#[allow(non_camel_case_types)]
#[doc(hidden)]
#[derive(
    :: core :: clone :: Clone,
    :: core :: marker :: Copy,
    :: core :: fmt :: Debug,
    :: core :: default :: Default,
)]
struct nightly_report {}
#[allow(clippy::too_many_arguments)]
fn nightly_report(
    format: Format,
    argument_1: State<Store>,
) -> ::asynq_server::HandlerCall<
    nightly_report,
    impl ::core::future::Future<Output = Result<(), StoreError>>,
> {
    ::asynq_server::HandlerCall::new(nightly_report::nightly_report(format, argument_1))
}
const _: () = {
    impl nightly_report {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::too_many_arguments,
            clippy::unused_async
        )]
        async fn nightly_report(
            format: Format,
            State(store): State<Store>,
        ) -> Result<(), StoreError> {
            store.report(format).await
        }
    }
    use ::asynq_server::__private::Extract as __Extract;
    impl<__AppState> ::asynq_server::TaskHandler<__AppState> for nightly_report
    where
        __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
        State<Store>: __Extract<__AppState>,
    {
        type Task = NightlyReport;
        fn name(&self) -> &'static str {
            ::core::concat!(
                ::core::module_path!(),
                "::",
                ::core::stringify!(nightly_report)
            )
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
                match <State<Store> as __Extract<__AppState>>::extract(task, state).await {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(error) => return error.into_outcome(),
                };
            let returned = Self::nightly_report(payload.format, argument_1).await;
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
