//! Instructions of the whole path, counted by valgrind: they see a change of one per cent on a
//! machine whose clock sees noise. How to run it, and the last counts: `docs/benchmarks.md`.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::exit,
    reason = "what the macros make is public, and measures"
)]

mod scene;

use std::hint::black_box;

use gungraun::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use scene::{Scene, Text};
use warmgate_routing::router::Sent;
use warmgate_routing::{Decision, PromptBlocks};

const KIB: usize = 1024;

/// A fleet, chance, and a decision already made, so that nothing is met for the first time.
struct Case {
    scene: Scene,
    rng: SmallRng,
    decision: Decision,
}

fn case(endpoints: usize, text: Text, bytes: usize) -> Case {
    let scene = Scene::new(endpoints, text, bytes);
    let mut rng = SmallRng::seed_from_u64(1);
    let (decision, _) = scene.plan(scene.body(0), &mut rng);
    Case {
        scene,
        rng,
        decision,
    }
}

// What is returned is dropped after the count.
#[library_benchmark(setup = case)]
#[bench::short_on_8(8, Text::Plain, KIB)]
#[bench::short_on_1000(1_000, Text::Plain, KIB)]
#[bench::long_plain_on_8(8, Text::Plain, 512 * KIB)]
#[bench::long_plain_on_1000(1_000, Text::Plain, 512 * KIB)]
#[bench::long_escaped_on_8(8, Text::Escaped, 512 * KIB)]
#[bench::long_escaped_on_1000(1_000, Text::Escaped, 512 * KIB)]
fn path(mut case: Case) -> (Case, Decision) {
    let body = black_box(case.scene.body(1));
    let (decision, _) = case.scene.plan(body, &mut case.rng);
    (case, decision)
}

// Reading the prompt again is not a part of sending it: it is done before the count.
fn send_case(endpoints: usize, bytes: usize) -> (Case, PromptBlocks) {
    let case = case(endpoints, Text::Plain, bytes);
    let prompt = case.scene.read(case.scene.body(0));
    (case, prompt)
}

#[library_benchmark(setup = send_case)]
#[bench::short_on_8(8, KIB)]
#[bench::short_on_1000(1_000, KIB)]
#[bench::long_on_8(8, 512 * KIB)]
#[bench::long_on_1000(1_000, 512 * KIB)]
fn send((case, prompt): (Case, PromptBlocks)) -> (Case, Sent) {
    let choice = black_box(&case.decision.order[0]);
    let sent = case.scene.router.send(choice, &prompt, case.scene.now);
    (case, sent)
}

library_benchmark_group!(name = routing, benchmarks = [path, send]);
main!(library_benchmark_groups = routing);
