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

/// Payload of a handler whose macro reported mistakes.
impl Task for Broken {
    const TYPE: &'static str = "";
    type Codec = Broken;
}
