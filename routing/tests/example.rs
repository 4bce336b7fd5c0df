//! The example does what it says.

#[path = "../examples/decide.rs"]
mod decide;

#[test]
fn from_json_to_a_decision() {
    decide::main().unwrap();
}
