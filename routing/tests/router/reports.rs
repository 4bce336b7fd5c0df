//! What engines say of themselves.

use super::*;

#[test]
fn capacity_is_as_set_else_as_reported_else_the_default() {
    let blocks = |tokens: Tokens| Blocks((tokens.0 / 64) as u32);
    // Else a tier that nobody declared is reckoned with.
    let settings = RouterSettings {
        feedback: false,
        ..RouterSettings::default()
    };
    let unset = router_with(settings.clone(), &["a", "b"]);
    assert_eq!(capacity(&unset, "a"), blocks(DEFAULT_CAPACITY));
    assert_ne!(
        blocks(DEFAULT_CAPACITY),
        UNREPORTED,
        "the router has its own"
    );
    let says = |tokens: Option<Tokens>| EngineReport {
        capacity: tokens,
        ..report()
    };
    unset.observe(&key("a"), says(Some(Tokens(64_000))), now());
    assert_eq!(capacity(&unset, "a"), Blocks(1_000));
    assert_eq!(capacity(&unset, "b"), blocks(DEFAULT_CAPACITY));
    unset.observe(&key("a"), says(Some(Tokens(128_000))), now());
    assert_eq!(capacity(&unset, "a"), Blocks(2_000));
    unset.observe(&key("a"), says(None), now());
    assert_eq!(capacity(&unset, "a"), blocks(DEFAULT_CAPACITY));
    unset.observe(&key("a"), says(Some(Tokens(1))), now());
    assert_eq!(capacity(&unset, "a"), Blocks(1), "less than a block");

    let settings = RouterSettings {
        capacity: Some(Tokens(6_400)),
        ..settings
    };
    let set = router_with(settings, &["a"]);
    assert_eq!(capacity(&set, "a"), Blocks(100));
    set.observe(&key("a"), says(Some(Tokens(64_000))), now());
    assert_eq!(capacity(&set, "a"), Blocks(100));
}

#[test]
fn a_restart_forgets_the_cache_and_keeps_the_capacity() {
    let first = EngineReport {
        capacity: Some(Tokens(64_000)),
        process_start_s: Some(1_000.0),
        prefix_queries: Some(Tokens(500)),
        ..report()
    };
    let younger = EngineReport {
        process_start_s: Some(1_060.0),
        ..first.clone()
    };
    let backwards = EngineReport {
        prefix_queries: Some(Tokens(499)),
        ..first.clone()
    };
    let same = EngineReport {
        process_start_s: Some(1_000.4),
        prefix_queries: Some(Tokens(900)),
        ..first.clone()
    };
    let silent = EngineReport {
        process_start_s: None,
        prefix_queries: None,
        ..first.clone()
    };
    let cases = [(&younger, 0), (&backwards, 0), (&same, 8), (&silent, 8)];
    for (second, kept) in cases {
        let router = router(&["a", "b"]);
        let prompt = prompt(1, 8);
        warm(&router, &prompt, "b");
        router.observe(&key("a"), first.clone(), now());
        warm(&router, &prompt, "a");
        router.observe(&key("a"), second.clone(), now());
        assert_eq!(held(&router, &prompt, "a"), Blocks(kept), "{second:?}");
        assert_eq!(held(&router, &prompt, "b"), Blocks(8), "b did not restart");
        // Twice the device, as no tier is declared.
        assert_eq!(capacity(&router, "a"), Blocks(2_000));
    }
}

#[test]
fn gauges_less_what_is_ours_is_what_others_send_until_the_report_is_old() {
    let router = router(&["a"]);
    let decision = decide(&router, "m", &prompt(1, 8)).unwrap();
    let send = || router.send(&decision.order[0], &prompt(1, 8), now());
    let mut guards: Vec<_> = (0..3).map(|_| send()).collect();
    guards[0].note_first_token();
    let foreign = |running, waiting| {
        let says = EngineReport {
            running,
            waiting,
            ..report()
        };
        router.observe(&key("a"), says.clone(), now());
        router.observe(&key("a"), says, now());
        let load = endpoint(&router, "a").load.now();
        (load.foreign_running, load.foreign_waiting)
    };
    // One of ours decodes and two wait.
    assert_eq!(foreign(Some(1), Some(2)), (0, 0));
    assert_eq!(foreign(Some(5), Some(2)), (4, 0));
    assert_eq!(foreign(Some(5), Some(6)), (4, 4));
    assert_eq!(foreign(Some(0), Some(0)), (0, 0), "older than our requests");
    assert_eq!(foreign(Some(u32::MAX), Some(u32::MAX)).1, u32::MAX - 3);
    assert_eq!(foreign(None, None), (0, 0));

    let seen = now();
    let says = EngineReport {
        running: Some(10),
        ..report()
    };
    router.observe(&key("a"), says.clone(), seen);
    router.observe(&key("a"), says, seen);
    assert!(router.expire_reports(seen + REPORT_STALE_AFTER).is_empty());
    assert_eq!(endpoint(&router, "a").load.now().foreign_running, 7);
    let late = seen + REPORT_STALE_AFTER + Duration::from_millis(1);
    let stale = router.expire_reports(late);
    assert_eq!(stale.len(), 1);
    assert_eq!(endpoint(&router, "a").load.now().foreign_running, 0);
    assert_eq!(endpoint(&router, "a").load.now().inflight, 3);
}

#[test]
fn whoever_answers_a_probe_is_there_and_strangers_are_ignored() {
    let router = router(&["a"]);
    let health = Arc::clone(&endpoint(&router, "a").health);
    health.note_failure(Failure::Connect, now());
    assert_eq!(health.standing(now()), Standing::Ejected);
    router.observe(&key("a"), report(), now());
    assert_eq!(health.standing(now()), Standing::Healthy);
    health.note_failure(Failure::Connect, now());
    router.observe_models(&key("a"), models(&["m"]));
    assert_eq!(health.standing(now()), Standing::Healthy);
    router.observe(&key("stranger"), report(), now());
    router.observe_models(&key("stranger"), models(&["x"]));
    assert_eq!(router.pool().models().collect::<Vec<_>>(), ["m"]);
}

#[test]
fn a_report_and_a_list_of_models_leave_each_other_alone() {
    let router = router(&["a"]);
    router.observe(&key("a"), report(), now());
    router.observe_models(&key("a"), models(&["m"]));
    router.observe(&key("a"), report(), now());
    let seen = endpoint(&router, "a").observed.load_full();
    assert_eq!(seen.models, Some(models(&["m"])));
    assert!(seen.report.is_some());
}
