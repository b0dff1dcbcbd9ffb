//! The behaviours that every broker must show.
