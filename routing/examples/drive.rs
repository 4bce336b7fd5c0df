//! Routing driven from outside: a simulator, another proxy, a notebook. Virtual time, prompts as
//! hashes, and the six calls there are: apply, observe, decide, send, first token, reported.
#![allow(clippy::print_stdout, reason = "an example shows its result")]
#![expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::SmallRng};
use warmgate_routing::block::{BlockHash, BlockSize, PromptBlocks};
use warmgate_routing::endpoint::Engine;
use warmgate_routing::feedback::Reported;
use warmgate_routing::report::EngineReport;
use warmgate_routing::router::{Ask, Router, RouterSettings};
use warmgate_routing::{EndpointEvent, EndpointSpec, Policy, Tokens};

const BLOCK_TOKENS: u32 = 512;

/// Run it with `cargo run -p warmgate-routing --example drive`.
///
/// # Errors
/// Where one of its own inputs is wrong.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let settings = RouterSettings {
        block_size: BlockSize::from_tokens(BLOCK_TOKENS).ok_or("a block has tokens")?,
        ..RouterSettings::default()
    };
    let router = Router::new(settings, Policy::default());
    for number in 1..=4 {
        let authority = format!("10.0.0.{number}:8000");
        let spec = EndpointSpec::at(&authority, authority.parse()?, false);
        let key = spec.key.clone();
        router.apply(EndpointEvent::Apply(spec));
        // Whenever a metrics page is read; what an engine does not say stays none.
        let page = EngineReport {
            capacity: Some(Tokens(1_000_000)),
            ..EngineReport::empty(Engine::Vllm)
        };
        router.observe(&key, page, start);
    }

    let mut rng = SmallRng::seed_from_u64(1);
    for turn in 0..5_u32 {
        let now = start + Duration::from_secs(20) * turn;
        // Equal hash, equal prefix: a trace's own chained ids will do.
        let blocks = 40 + 4 * turn;
        let prompt = PromptBlocks {
            hashes: (0..u64::from(blocks)).map(BlockHash).collect(),
            bytes: u64::from(blocks * BLOCK_TOKENS) * 4, // token ids: 4 bytes are one token
            further_bytes: 0,
            is_token_ids: true,
        };
        let ask = Ask {
            model: "m",
            prompt: &prompt,
            session: None,
            wanted: 1,
            explain: false,
        };
        let decision = router.decide(&ask, now, &mut rng)?;
        let choice = &decision.order[0];
        let mut sent = router.send(choice, &prompt, now);
        sent.note_first_token();
        // The engine's `usage`, whatever tier its hits came from; here it had what we believed.
        let answer = Reported {
            prompt_tokens: Some(decision.prompt),
            cached_tokens: Some(sent.predicted),
        };
        let lesson = router.reported(&sent, "m", &prompt, answer, now + Duration::from_secs(3));
        println!(
            "turn {turn}: {} of {} tokens cached at {}",
            lesson.predicted, decision.prompt, choice.endpoint.spec.authority
        );
        drop(sent); // the answer has ended: it weighs nothing any more
    }
    Ok(())
}
