//! What the compiler says of an `#[async_task]` that cannot work.

#[test]
fn misuse_of_async_task_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
