//! When a pool counts as saturated.

use super::*;
use warmgate_routing::ledger::{LoadGuard, RequestCost};

#[test]
fn all_that_take_requests_must_have_the_bound_and_one_token_less_is_not_enough() {
    let (router, now) = (router(&["a", "b"]), now());
    let queue = |name: &str, tokens| {
        let cost = RequestCost {
            uncached: Tokens(tokens),
            prompt: Tokens(tokens),
        };
        LoadGuard::take(&endpoint(&router, name).load, cost)
    };
    let is_saturated = || router.is_saturated("m", Tokens(100), now);
    assert!(!is_saturated());
    let _first = queue("a", 100);
    assert!(!is_saturated(), "the other is idle");
    let almost = queue("b", 99);
    assert!(!is_saturated());
    let mut last = queue("b", 1);
    assert!(is_saturated());
    drop(almost);
    assert!(!is_saturated());
    endpoint(&router, "b")
        .health
        .note_failure(Failure::Connect, now);
    assert!(is_saturated(), "who is ejected does not count");
    endpoint(&router, "a")
        .health
        .note_failure(Failure::Connect, now);
    assert!(!is_saturated(), "nobody is there");
    last.note_first_token();
}
