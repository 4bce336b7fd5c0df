//! The examples are the first code that a reader runs: they have to.

#[path = "../examples/decide.rs"]
mod decide;
#[path = "../examples/drive.rs"]
mod drive;

#[test]
fn from_json_to_a_decision() {
    decide::main().expect("the example runs");
}

#[test]
fn from_outside_in_virtual_time() {
    drive::main().expect("the example runs");
}
