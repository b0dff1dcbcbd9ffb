//! One plain model, and brokers that must behave as it does: random operations by users, servers and time are carried out
//! on all of them, and after every step everything that can be seen is compared.
//!
//! Tasks are in all seven states, and the clock is moved by the operations. What a broker may do otherwise than the
//! model is in `ways.rs`, each with its reason; the end of locks on Redis is in `locks.rs`.
//!
//! A sequence that fails is made as short as it can and told in a form that is kept as a test in `tests/cases.rs`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod locks;
mod look;
mod operation;
mod random;
mod reference;
mod stage;
mod system;
mod ways;

pub use operation::{New, Operation};
pub use random::{Amount, compare};

/// Carries out a sequence on all brokers. The error tells the step after which one differs from the model, and how.
///
/// # Errors
///
/// If a broker differs from the model or fails, or if there is no Redis server.
pub fn replay(operations: &[Operation]) -> Result<(), String> {
    let played = stage::Stage::new().and_then(|mut stage| stage.play(operations));
    played.map_err(|stop| stop.to_string())
}
