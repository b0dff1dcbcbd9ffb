//! What the compiler says about each mistake: one file per mistake in `fail`, named after it.
//!
//! The texts hold for the toolchain that the project is built with. After a change of either:
//! `TRYBUILD=overwrite cargo test -p asynq-macros --test compile_fail`.

#[test]
fn every_mistake_is_explained_where_it_stands() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
