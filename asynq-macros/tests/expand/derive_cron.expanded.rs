#[automatically_derived]
impl ::asynq_server::Task for NightlyReport {
    const TYPE: &'static str = "report:nightly";
    type Codec = ::asynq_server::JsonCodec;
    fn options() -> ::asynq_server::TaskOptions {
        ::asynq_server::Configure::queue(::asynq_server::TaskOptions::new(), "low")
    }
    fn periodic() -> ::core::option::Option<::asynq_server::Schedule> {
        ::core::option::Option::Some(<Self as ::asynq_server::Periodic>::schedule())
    }
}
#[automatically_derived]
impl ::asynq_server::Periodic for NightlyReport {
    fn schedule() -> ::asynq_server::Schedule {
        ::asynq_server::Schedule::new("0 3 * * *", || NightlyReport {})
            .zone("Europe/Paris")
            .missed(::asynq_server::Missed::RunAll { limit: 10usize })
    }
}
