//! Lists of models: whatever an engine answers, reading it must end within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warmgate_discovery::models::{MODEL_NAME_BYTES_MAX, MODELS_MAX, read_models};

fuzz_target!(|body: &[u8]| {
    let Ok(list) = read_models(body) else {
        return;
    };
    assert!(list.models.len() <= MODELS_MAX);
    let is_in_order = list.models.windows(2).all(|two| two[0].name < two[1].name);
    assert!(is_in_order, "sorted, each name once");
    for model in &list.models {
        assert!((1..=MODEL_NAME_BYTES_MAX).contains(&model.name.len()));
        let parent = model.parent.as_deref().unwrap_or_default();
        assert!(parent.len() <= MODEL_NAME_BYTES_MAX);
    }
});
