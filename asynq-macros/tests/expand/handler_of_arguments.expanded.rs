#[doc = "The payload of the task that [`resize`](struct@resize) handles: its arguments.\n\nIts task type is `image:resize`."]
#[derive(
    :: asynq_server :: __private :: serde :: Serialize,
    :: asynq_server :: __private :: serde :: Deserialize,
    Debug,
)]
#[serde(crate = "::asynq_server::__private::serde")]
struct Resize {
    #[doc = " Where the image is."]
    url: String,
    #[doc = "The argument `width`."]
    #[serde(default)]
    width: u32,
}
const _: () = {
    #[automatically_derived]
    impl ::asynq_server::Task for Resize {
        const TYPE: &'static str = "image:resize";
        type Codec = ::asynq_server::JsonCodec;
        fn options() -> ::asynq_server::TaskOptions {
            ::asynq_server::Configure::queue(::asynq_server::TaskOptions::new(), "low")
        }
    }
    const _: () = {
        #[allow(unused_imports)]
        use ::asynq_server::__private::NoTask as _;
        ::core::assert!(
            !::asynq_server::__private::IsTask::<String>::IS_TASK,
            "`String` is a payload with a task type of its own, so this handler cannot have another: write `#[task]` without `name`"
        );
    };
    const _: () = {
        #[allow(unused_imports)]
        use ::asynq_server::__private::NoTask as _;
        ::core::assert!(
            !::asynq_server::__private::IsTask::<u32>::IS_TASK,
            "`u32` is a payload with a task type of its own, so this handler cannot have another: write `#[task]` without `name`"
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
struct resize {}
#[allow(clippy::too_many_arguments)]
fn resize(
    url: String,
    width: u32,
    argument_2: State<Store>,
) -> ::asynq_server::HandlerCall<
    resize,
    impl ::core::future::Future<Output = Result<u64, StoreError>>,
> {
    ::asynq_server::HandlerCall::new(resize::resize(url, width, argument_2))
}
const _: () = {
    impl resize {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::too_many_arguments,
            clippy::unused_async
        )]
        async fn resize(
            url: String,
            width: u32,
            State(store): State<Store>,
        ) -> Result<u64, StoreError> {
            store.resize(&url, width).await
        }
    }
    use ::asynq_server::__private::Extract as __Extract;
    impl<__AppState> ::asynq_server::TaskHandler<__AppState> for resize
    where
        __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
        State<Store>: __Extract<__AppState>,
    {
        type Task = Resize;
        fn name(&self) -> &'static str {
            ::core::concat!(::core::module_path!(), "::", ::core::stringify!(resize))
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
            let argument_2 =
                match <State<Store> as __Extract<__AppState>>::extract(task, state).await {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(error) => return error.into_outcome(),
                };
            let returned = Self::resize(payload.url, payload.width, argument_2).await;
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
