//! What stands between a body and its endpoints: the whole path as the gateway takes it, and its
//! last steps alone. Bounds, with 1,000 endpoints: 1 KB within 10 us, 512 KB within 300 us.

mod cpu_time;
mod scene;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use scene::{CONVERSATIONS, Scene, Text};

const FLEETS: [usize; 3] = [8, 64, 1_000];
const KIB: usize = 1024;
const BODIES: [(&str, Text, usize); 7] = [
    ("1k", Text::Plain, KIB),
    ("32k_plain", Text::Plain, 32 * KIB),
    ("32k_escaped", Text::Escaped, 32 * KIB),
    ("128k_plain", Text::Plain, 128 * KIB),
    ("128k_escaped", Text::Escaped, 128 * KIB),
    ("512k_plain", Text::Plain, 512 * KIB),
    ("512k_escaped", Text::Escaped, 512 * KIB),
];

/// Bytes to endpoints.
fn path(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("path");
    for (name, text, bytes) in BODIES {
        for endpoints in FLEETS {
            let scene = Scene::new(endpoints, text, bytes);
            let mut rng = SmallRng::seed_from_u64(1);
            let mut turn = 0_usize;
            group.bench_function(BenchmarkId::new(name, endpoints), |bench| {
                bench.iter(|| {
                    turn = turn.wrapping_add(1);
                    scene.plan(black_box(scene.body(turn)), &mut rng)
                });
            });
        }
    }
    group.finish();
}

/// Blocks to endpoints.
fn pick(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("pick");
    for (name, text, bytes) in [BODIES[0], BODIES[5]] {
        for endpoints in FLEETS {
            let scene = Scene::new(endpoints, text, bytes);
            let prompts: Vec<_> = (0..CONVERSATIONS)
                .map(|turn| scene.read(scene.body(turn)))
                .collect();
            let mut rng = SmallRng::seed_from_u64(1);
            let mut turn = 0_usize;
            group.bench_function(BenchmarkId::new(name, endpoints), |bench| {
                bench.iter(|| {
                    turn = turn.wrapping_add(1);
                    scene.pick(black_box(&prompts[turn % CONVERSATIONS]), None, &mut rng)
                });
            });
        }
    }
    group.finish();
}

/// A decision is carried out, and the request ends: once for each attempt, after the choice.
fn send(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("send");
    for (name, text, bytes) in [BODIES[0], BODIES[5]] {
        for endpoints in FLEETS {
            let scene = Scene::new(endpoints, text, bytes);
            let mut rng = SmallRng::seed_from_u64(1);
            let planned: Vec<_> = (0..CONVERSATIONS)
                .map(|turn| {
                    let prompt = scene.read(scene.body(turn));
                    let mut decision = scene.pick(&prompt, None, &mut rng);
                    (decision.order.remove(0), prompt)
                })
                .collect();
            let mut turn = 0_usize;
            group.bench_function(BenchmarkId::new(name, endpoints), |bench| {
                bench.iter(|| {
                    turn = turn.wrapping_add(1);
                    let (choice, prompt) = black_box(&planned[turn % CONVERSATIONS]);
                    scene.router.send(choice, prompt, scene.now)
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50);
    targets = path, pick, send
}
criterion_main!(benches);
