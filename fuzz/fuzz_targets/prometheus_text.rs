//! Pages of metrics: whatever an engine or a proxy before it answers, reading it must end, and
//! what is reported must be of the page. The first byte picks the engine that is configured.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warmgate_discovery::scrape::prometheus_text::samples;
use warmgate_discovery::scrape::{PageError, SERIES_MAX, read_page};
use warmgate_routing::endpoint::Engine;

const ENGINES: [Option<Engine>; 7] = [
    None,
    Some(Engine::Vllm),
    Some(Engine::Sglang),
    Some(Engine::Tgi),
    Some(Engine::Triton),
    Some(Engine::TensorrtLlm),
    Some(Engine::LlamaCpp),
];

fuzz_target!(|input: &[u8]| {
    let Some((pick, page)) = input.split_first() else {
        return;
    };
    let Ok(page) = std::str::from_utf8(page) else {
        return;
    };
    let engine = ENGINES[usize::from(*pick) % ENGINES.len()];
    let mut good = 0;
    for sample in samples(page).flatten() {
        good += 1;
        assert!(page.contains(sample.name));
        for (name, value) in sample.labels.iter() {
            assert!(page.contains(name));
            assert!(sample.labels.get(name).is_some(), "a label listed is found");
            assert!(value.len() <= page.len(), "unescaping never lengthens");
        }
    }
    match read_page(page, engine) {
        Ok(report) => {
            assert!(engine.is_none_or(|engine| engine == report.engine));
            let share = report.kv_usage.map(|usage| usage.get());
            assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
            assert!(engine.is_some() || good > 0, "no samples, no engine");
        }
        Err(PageError::NoEngine) => assert!(engine.is_none()),
        Err(PageError::OtherEngine { expected, found }) => {
            assert_eq!(engine, Some(expected));
            assert_ne!(expected, found);
        }
        Err(PageError::TooManySeries) => assert!(good > SERIES_MAX),
    }
});
