#[automatically_derived]
impl ::asynq_server::Task for WelcomeEmail {
    const TYPE: &'static str = "email:welcome";
    const ALIASES: &'static [&'static str] = &["mail:welcome"];
    type Codec = ::asynq_server::JsonCodec;
    fn options() -> ::asynq_server::TaskOptions {
        ::asynq_server::Configure::timeout(
            ::asynq_server::Configure::max_retry(
                ::asynq_server::Configure::queue(::asynq_server::TaskOptions::new(), "critical"),
                5,
            ),
            ::core::time::Duration::new(90u64, 0u32),
        )
    }
}
