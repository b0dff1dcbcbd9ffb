#[allow(non_camel_case_types)]
#[derive(:: core :: clone :: Clone, :: core :: marker :: Copy, :: core :: fmt :: Debug)]
struct render;
const _: () = {
    impl ::core::ops::Deref for render {
        type Target = fn(Page, Context) -> ();
        fn deref(&self) -> &Self::Target {
            const CALL: fn(Page, Context) -> () = render::render;
            &CALL
        }
    }
    impl ::asynq_server::IntoTaskHandler<::asynq_server::AsItIs> for render {
        type Handler = Self;
        fn into_task_handler(self) -> Self {
            self
        }
    }
};
const _: () = {
    impl render {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::too_many_arguments,
            clippy::unused_async
        )]
        fn render(page: Page, cx: Context) {
            page.render(|| cx.is_cancelled());
        }
    }
    use ::asynq_server::__private::Extract as __Extract;
    impl<__AppState> ::asynq_server::TaskHandler<__AppState> for render
    where
        __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
        Context: __Extract<__AppState>,
    {
        type Task = Page;
        fn name(&self) -> &'static str {
            ::core::concat!(::core::module_path!(), "::", ::core::stringify!(render))
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
            let argument_1 = match <Context as __Extract<__AppState>>::extract(task, state).await {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(error) => return error.into_outcome(),
            };
            ::asynq_server::__private::run_blocking(task.context, move || {
                let returned = Self::render(payload, argument_1);
                {
                    #[allow(unused_imports)]
                    use ::asynq_server::__private::{
                        ReturnedJson as _, ReturnedOther as _, ReturnedOutcome as _,
                    };
                    (&&&::asynq_server::__private::Returned::of(&returned)).outcome(returned)
                }
            })
            .await
        }
    }
};
