//! Whom a request is sent to.

use super::*;

#[test]
fn tokens_are_reckoned_as_engines_have_counted() {
    let router = router(&["a"]);
    let prompt = prompt(1, 8);
    assert_eq!(decide(&router, "m", &prompt).unwrap().prompt, Tokens(512));
    let sent = router.send(
        &decide(&router, "m", &prompt).unwrap().order[0],
        &prompt,
        now(),
    );
    let reported = Reported {
        prompt_tokens: Some(Tokens(1_024)),
        cached_tokens: None,
    };
    router.reported(&sent, "m", &prompt, reported, now());
    assert_eq!(decide(&router, "m", &prompt).unwrap().prompt, Tokens(1_024));
    assert_eq!(decide(&router, "n", &prompt).unwrap().prompt, Tokens(512));
}

#[test]
fn what_was_sent_in_vain_is_not_remembered_and_what_was_there_before_is() {
    let router = router(&["a"]);
    let (first_turn, next_turn) = (prompt(1, 4), prompt(1, 6));
    warm(&router, &first_turn, "a");
    let decision = decide(&router, "m", &next_turn).unwrap();
    drop(router.send(&decision.order[0], &next_turn, now()));
    assert_eq!(held(&router, &next_turn, "a"), Blocks(6));
    router.take_back(&decision.order[0], &next_turn);
    assert_eq!(held(&router, &next_turn, "a"), Blocks(4));
}

#[test]
fn errors_say_whose_fault_it_is() {
    let router = router(&["a", "b"]);
    let prompt = prompt(1, 2);
    router.observe_models(&key("a"), models(&["m", "n"]));
    let served_by_b = decide(&router, "other", &prompt).unwrap();
    assert_eq!(served_by_b.order.len(), 1, "b has not said what it serves");
    router.observe_models(&key("b"), models(&["m"]));
    let no_model = Unroutable::NoSuchModel {
        model: "other".to_owned(),
        known: vec!["m".to_owned(), "n".to_owned()],
    };
    assert_eq!(decide(&router, "other", &prompt).unwrap_err(), no_model);
    router.apply(EndpointEvent::Apply(EndpointSpec {
        serving: Serving::Terminating,
        ..spec("a")
    }));
    let refused = decide(&router, "n", &prompt).unwrap_err();
    assert_eq!(refused, Unroutable::NoEndpoint);
    let empty = Router::new(RouterSettings::default(), Policy::default());
    let refused = decide(&empty, "m", &prompt).unwrap_err();
    assert_eq!(refused, Unroutable::NoEndpoint);
}

#[test]
fn a_model_that_appears_and_goes_changes_who_is_asked() {
    let router = router(&["a", "b"]);
    for name in ["a", "b"] {
        router.observe_models(&key(name), models(&["m"]));
    }
    router.observe_models(&key("b"), models(&["m", "lora"]));
    let decision = decide(&router, "lora", &prompt(1, 2)).unwrap();
    assert_eq!(decision.order.len(), 1);
    assert_eq!(decision.order[0].endpoint.spec.key, key("b"));
    router.observe_models(&key("b"), models(&["m"]));
    assert!(decide(&router, "lora", &prompt(1, 2)).is_err());
    assert_eq!(decide(&router, "m", &prompt(1, 2)).unwrap().order.len(), 2);
}
