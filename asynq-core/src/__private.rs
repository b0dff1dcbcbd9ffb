//! What generated code uses. Not part of the API: anything here may change at any time.

use bytes::Bytes;
pub use serde;

use crate::codec::Codec;
use crate::error::BoxError;
use crate::task::Task;

/// Codec of a payload whose derive reported mistakes. Never used: the program does not compile.
pub struct Broken;

impl<T> Codec<T> for Broken {
    fn encode(_: &T) -> Result<Bytes, BoxError> {
        Err("the payload type has mistakes".into())
    }

    fn decode(_: &[u8]) -> Result<T, BoxError> {
        Err("the payload type has mistakes".into())
    }
}

/// What the clock enqueues is made without values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made without values, as it has to be when the clock enqueues it",
    label = "enqueues a `{Self}`, which does not implement `Default`",
    note = "derive `Default` for it; where the arguments of a handler are the payload, with `#[task(…, derive(Default))]`",
    note = "or leave `cron` out and give the spec together with the values: `scheduler.register(\"0 3 * * *\", task, options)`"
)]
pub trait WithoutValues: Sized {
    fn without_values() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> WithoutValues for T {
    fn without_values() -> Self {
        T::default()
    }
}

/// Payload of a handler whose macro reported mistakes.
impl Task for Broken {
    const TYPE: &'static str = "";
    type Codec = Broken;
}
