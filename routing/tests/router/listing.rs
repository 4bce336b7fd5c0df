//! Who is there, and what is forgotten of who has gone.

use super::*;

#[test]
fn a_list_counts_as_a_whole_when_it_is_complete() {
    let router = router(&["a", "b"]);
    let before = router.pool();
    router.apply(EndpointEvent::Init);
    router.apply(EndpointEvent::InitApply(spec("b")));
    router.apply(EndpointEvent::InitApply(spec("c")));
    assert!(
        Arc::ptr_eq(&before, &router.pool()),
        "nothing is published yet"
    );
    router.apply(EndpointEvent::InitDone);
    assert_eq!(names(&router), ["b", "c"]);
    assert_eq!(endpoint(&router, "b").id, before.all()[1].id);
}

#[test]
fn a_list_begun_again_starts_from_nothing() {
    let router = router(&[]);
    router.apply(EndpointEvent::Init);
    router.apply(EndpointEvent::InitApply(spec("a")));
    router.apply(EndpointEvent::Init);
    router.apply(EndpointEvent::InitApply(spec("b")));
    router.apply(EndpointEvent::InitDone);
    assert_eq!(names(&router), ["b"]);
}

#[test]
fn the_same_list_again_changes_nothing() {
    let router = router(&["a"]);
    let before = router.pool();
    router.apply(EndpointEvent::Init);
    router.apply(EndpointEvent::InitApply(spec("a")));
    router.apply(EndpointEvent::InitDone);
    router.apply(EndpointEvent::Apply(spec("a")));
    router.apply(EndpointEvent::Delete(key("unknown")));
    assert!(Arc::ptr_eq(&before, &router.pool()));
}

#[test]
fn ten_thousand_endpoints_make_one_pool_and_one_more_for_their_models() {
    const COUNT: usize = 10_000;
    let router = router(&[]);
    let mut pool = router.pool();
    let mut pools = 0;
    let mut count = |router: &Router| {
        let after = router.pool();
        pools += usize::from(!Arc::ptr_eq(&pool, &after));
        pool = after;
        pools
    };
    router.apply(EndpointEvent::Init);
    for number in 0..COUNT {
        router.apply(EndpointEvent::InitApply(spec(&format!("e{number}"))));
        assert_eq!(count(&router), 0);
    }
    router.apply(EndpointEvent::InitDone);
    assert_eq!(count(&router), 1);
    assert_eq!(router.pool().all().len(), COUNT);
    for number in 0..COUNT {
        router.observe_models(&key(&format!("e{number}")), models(&["m", "n"]));
        assert_eq!(count(&router), 2);
    }
    let pool = router.pool();
    assert_eq!(pool.serving("n").map(|serving| serving.len()), Some(COUNT));
    assert!(pool.serving("other").is_none(), "everybody has spoken");
}

#[test]
fn a_readiness_blip_keeps_what_was_learned_and_a_deletion_drops_it() {
    let router = router(&["a", "b"]);
    let prompt = prompt(1, 8);
    warm(&router, &prompt, "a");
    router.apply(EndpointEvent::Apply(EndpointSpec {
        serving: Serving::NotReady,
        ..spec("a")
    }));
    let decision = decide(&router, "m", &prompt).unwrap();
    assert_eq!(decision.order.len(), 1);
    assert_eq!(decision.order[0].endpoint.spec.key, key("b"));
    assert_eq!(held(&router, &prompt, "a"), Blocks(8));
    router.apply(EndpointEvent::Apply(spec("a")));
    let decision = decide(&router, "m", &prompt).unwrap();
    assert_eq!(decision.order[0].endpoint.spec.key, key("a"));

    let id = endpoint(&router, "a").id;
    router.apply(EndpointEvent::Delete(key("a")));
    assert_eq!(router.index().occupancy(id), Blocks::ZERO);
    router.apply(EndpointEvent::Apply(spec("a")));
    assert_eq!(held(&router, &prompt, "a"), Blocks::ZERO);
}

#[test]
fn a_restarted_container_is_cold_under_its_old_identity() {
    let router = router(&["a", "b"]);
    let of_pod = |restarts| EndpointSpec {
        pod: Some(Arc::new(Pod {
            restarts: Some(restarts),
            ..Pod::default()
        })),
        ..spec("a")
    };
    let prompt = prompt(1, 8);
    router.apply(EndpointEvent::Apply(of_pod(1)));
    let id = endpoint(&router, "a").id;
    warm(&router, &prompt, "a");
    router.apply(EndpointEvent::Apply(of_pod(1)));
    assert_eq!(held(&router, &prompt, "a"), Blocks(8));
    router.apply(EndpointEvent::Init);
    router.apply(EndpointEvent::InitApply(of_pod(2)));
    router.apply(EndpointEvent::InitApply(spec("b")));
    router.apply(EndpointEvent::InitDone);
    assert_eq!(held(&router, &prompt, "a"), Blocks::ZERO);
    assert_eq!(endpoint(&router, "a").id, id);
}

#[test]
fn what_is_sent_to_one_that_has_gone_is_not_remembered() {
    let router = router(&["a"]);
    let prompt = prompt(1, 8);
    let decision = decide(&router, "m", &prompt).unwrap();
    router.apply(EndpointEvent::Delete(key("a")));
    let guard = router.send(&decision.order[0], &prompt, now());
    let IndexStats {
        holdings, blocks, ..
    } = router.index().stats();
    assert_eq!((holdings, blocks), (0, 0));
    drop(guard);
    assert_eq!(decision.order[0].endpoint.load.now(), Load::default());
}
