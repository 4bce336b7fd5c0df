//! From JSON to a decision: three endpoints, one of them warm, and the table of why.
#![allow(clippy::print_stdout, reason = "an example shows its result")]
#![expect(clippy::disallowed_methods, reason = "a shell has the clock")]

use std::time::Instant;

use rand::{SeedableRng, rngs::SmallRng};
use warmgate_routing::block::ChainRoot;
use warmgate_routing::request::{Api, InferenceRequest};
use warmgate_routing::router::{Ask, Router, RouterSettings};
use warmgate_routing::{EndpointEvent, EndpointSpec, Policy};

/// Run it with `cargo run -p warmgate-routing --example decide`.
///
/// # Errors
/// Where one of its own inputs is wrong.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::new(RouterSettings::default(), Policy::default());
    for number in 1..=3 {
        let authority = format!("10.0.0.{number}:8000");
        let spec = EndpointSpec::at(&authority, authority.parse()?, false);
        router.apply(EndpointEvent::Apply(spec));
    }

    let question = "Which of these laws of robotics comes first? ".repeat(100);
    let body =
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": question}]})
            .to_string();
    let request = InferenceRequest::parse(Api::ChatCompletions, body.as_bytes())?;
    let prompt = request.prompt_blocks(ChainRoot::new("m", None, None), router.block_size())?;

    let ask = Ask {
        model: "m",
        prompt: &prompt,
        session: None,
        wanted: 3,
        explain: true,
    };
    let mut rng = SmallRng::seed_from_u64(1);
    let first = router.decide(&ask, Instant::now(), &mut rng)?;
    let underway = router.send(&first.order[0], &prompt, Instant::now());
    drop(underway); // answered: the endpoint is idle again, and warm
    let second = router.decide(&ask, Instant::now(), &mut rng)?;
    println!(
        "{}",
        second.explanation.ok_or("an explanation was asked for")?
    );
    Ok(())
}
