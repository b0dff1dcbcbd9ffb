#[automatically_derived]
impl my::queue::Task for Shape {
    const TYPE: &'static str = NAME;
    type Codec = Proto;
    fn options() -> my::queue::TaskOptions {
        my::queue::Configure::deadline(
            my::queue::Configure::timeout(my::queue::TaskOptions::new(), TIMEOUT),
            ::std::time::SystemTime::UNIX_EPOCH + ::core::time::Duration::from_secs(1896091200u64),
        )
    }
}
const _: () = {
    ::core::assert!(
        ::core::time::Duration::as_secs(&{ TIMEOUT }) >= 1
            && ::core::time::Duration::subsec_nanos(&{ TIMEOUT }) == 0,
        "timeout must be at least 1s, in whole seconds: tasks are stored so"
    );
};
