::core::compile_error! { "unknown option `que`; did you mean `queue`?\nexpected one of: name, alias, queue, max_retry, timeout, deadline, retention, unique, group, codec, cron, tz, missed, crate" }
#[automatically_derived]
impl ::asynq_server::Task for Broken {
    const TYPE: &'static str = "";
    type Codec = ::asynq_server::__private::Broken;
}
