//! A fleet at work, and bodies for it: what the benches of the whole path measure on.
//!
//! Every endpoint has requests of its own in flight, holds the shared system prompt and three
//! conversations that are not asked for. Of each conversation that is asked for, one endpoint
//! holds all but the last tenth.

use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use warmgate_routing::block::{BlockHash, ChainRoot};
use warmgate_routing::endpoint::{Endpoint, Engine};
use warmgate_routing::ledger::{LoadGuard, RequestCost};
use warmgate_routing::report::{EngineReport, ServedModel};
use warmgate_routing::request::{Api, InferenceRequest, SessionKey};
use warmgate_routing::router::RouterSettings;
use warmgate_routing::{
    Ask, Decision, EndpointEvent, EndpointSpec, Policy, PromptBlocks, Router, Tokens,
};

/// The name that every endpoint lists and every body asks for.
pub const MODEL: &str = "meta-llama/Llama-3.1-8B-Instruct";
/// Conversations asked for in turn, so that what is looked up is not what was just looked up.
pub const CONVERSATIONS: usize = 4;
/// Longest system prompt: 4,000 tokens.
const SYSTEM_BYTES_MAX: usize = 16 << 10;
/// Length of a message in a long conversation.
const MESSAGE_BYTES: usize = 2 << 10;
/// Blocks of a conversation that is not asked for: 25,000 tokens.
const OTHER_BLOCKS: u64 = 400;
const OTHERS_PER_ENDPOINT: u64 = 3;
/// As many as the gateway wants by default: the first, and two to fall back on.
const WANTED: usize = 3;

/// What the text of a body is made of.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// Prose without a character that JSON escapes.
    Plain,
    /// Lines of source code: a newline every 40 bytes, a quote now and then.
    Escaped,
}

impl Text {
    /// So many bytes, different for each `number`.
    fn write(self, number: usize, bytes: usize) -> String {
        let line = match self {
            Text::Plain => format!("{number:06} the quick brown fox jumps over it. "),
            Text::Escaped => format!("{number:06}    let fox = jump(\"the dog\");\n"),
        };
        line.repeat(bytes / line.len())
    }
}

/// A chat of about so many bytes: the shared system prompt, then one conversation.
pub fn body(text: Text, bytes: usize, conversation: usize) -> Vec<u8> {
    let system_bytes = (bytes * 6 / 10).min(SYSTEM_BYTES_MAX);
    let mut messages = vec![json!({"role": "system", "content": text.write(0, system_bytes)})];
    let mut rest = bytes.saturating_sub(system_bytes + 150);
    for (turn, role) in ["user", "assistant"].iter().cycle().enumerate() {
        let length = rest.min(MESSAGE_BYTES);
        let number = (conversation + 1) * 10_000 + turn;
        messages.push(json!({"role": role, "content": text.write(number, length)}));
        rest -= length;
        if rest < MESSAGE_BYTES {
            break;
        }
    }
    json!({"messages": messages, "model": MODEL, "stream": true, "max_tokens": 256})
        .to_string()
        .into_bytes()
}

/// A router that knows a busy fleet.
pub struct Scene {
    pub router: Router,
    pub bodies: Vec<Vec<u8>>,
    pub now: Instant,
    // Requests in flight.
    _guards: Vec<LoadGuard>,
}

impl Scene {
    /// Endpoints that are warm for bodies of one kind.
    pub fn new(endpoints: usize, text: Text, bytes: usize) -> Scene {
        #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
        let now = Instant::now();
        let router = Router::new(RouterSettings::default(), Policy::default());
        let mut rng = SmallRng::seed_from_u64(7);
        join(&router, endpoints, now, &mut rng);
        let pool = router.pool();
        let guards = pool.all().iter();
        let guards = guards.flat_map(|endpoint| requests(endpoint, &mut rng));
        let guards = guards.collect();
        let bodies: Vec<_> = (0..CONVERSATIONS)
            .map(|conversation| body(text, bytes, conversation))
            .collect();
        let scene = Scene {
            router,
            bodies,
            now,
            _guards: guards,
        };
        scene.warm(&mut rng);
        scene
    }

    fn warm(&self, rng: &mut SmallRng) {
        let (pool, index) = (self.router.pool(), self.router.index());
        let prompts: Vec<_> = self.bodies.iter().map(|body| self.read(body)).collect();
        let pairs = prompts[0].hashes.iter().zip(&prompts[1].hashes);
        let shared = pairs.take_while(|(one, other)| one == other).count();
        let system = &prompts[0].hashes[..shared];
        assert!(shared > 0, "a system prompt is at least a block");
        for endpoint in pool.all().iter() {
            index.insert(system, endpoint.id);
            for _ in 0..OTHERS_PER_ENDPOINT {
                let other = (0..OTHER_BLOCKS).map(|_| BlockHash(rng.random()));
                let chain: Vec<_> = system.iter().copied().chain(other).collect();
                index.insert(&chain, endpoint.id);
            }
        }
        for prompt in &prompts {
            let home = pool.all()[rng.random_range(0..pool.all().len())].id;
            let known = (prompt.hashes.len() * 9 / 10).max(shared);
            index.insert(&prompt.hashes[..known], home);
        }
    }

    /// The body of one of the conversations.
    pub fn body(&self, turn: usize) -> &[u8] {
        &self.bodies[turn % CONVERSATIONS]
    }

    /// Bytes to blocks.
    pub fn read(&self, body: &[u8]) -> PromptBlocks {
        let request = InferenceRequest::parse(Api::ChatCompletions, body)
            .expect("invariant: the body is valid");
        self.blocks(&request)
    }

    fn blocks(&self, request: &InferenceRequest<'_>) -> PromptBlocks {
        let model = request.model.as_deref().unwrap_or_default();
        let root = ChainRoot::new(model, None, request.cache_salt.as_deref());
        request
            .prompt_blocks(root, self.router.block_size())
            .expect("invariant: the body is valid")
    }

    /// Blocks to endpoints.
    pub fn pick(
        &self,
        prompt: &PromptBlocks,
        session: Option<SessionKey>,
        rng: &mut SmallRng,
    ) -> Decision {
        let ask = Ask {
            model: MODEL,
            prompt,
            session,
            wanted: WANTED,
            explain: false,
        };
        self.router
            .decide(&ask, self.now, rng)
            .expect("invariant: all endpoints are ready")
    }

    /// Bytes to endpoints: all that stands between a body that has been read and a connection.
    pub fn plan(&self, body: &[u8], rng: &mut SmallRng) -> (Decision, Option<Vec<u8>>) {
        let request = InferenceRequest::parse(Api::ChatCompletions, body)
            .expect("invariant: the body is valid");
        let prompt = self.blocks(&request);
        let headers = [("host", "gateway"), ("content-type", "application/json")];
        let headers = headers.map(|(name, value)| (name, value.as_bytes()));
        let session = SessionKey::from_headers(headers).or(request.session_hint);
        let decision = self.pick(&prompt, session, rng);
        (decision, request.rewritten(None))
    }
}

/// Lists the endpoints, and lets each say what it serves and how it is.
fn join(router: &Router, endpoints: usize, now: Instant, rng: &mut SmallRng) {
    router.apply(EndpointEvent::Init);
    for number in 0..endpoints {
        let authority = format!("10.0.{}.{}:8000", number / 250, number % 250);
        let address = authority.parse().expect("invariant: an address");
        let spec = EndpointSpec::at(&authority, address, false);
        router.apply(EndpointEvent::InitApply(spec));
    }
    router.apply(EndpointEvent::InitDone);
    for endpoint in router.pool().all().iter() {
        let model = ServedModel {
            name: MODEL.to_owned(),
            parent: None,
            max_model_len: None,
        };
        router.observe_models(&endpoint.spec.key, vec![model]);
        let report = EngineReport {
            running: Some(rng.random_range(0..32)),
            waiting: Some(rng.random_range(0..4)),
            capacity: Some(Tokens(1_000_000)),
            ..EngineReport::empty(Engine::Vllm)
        };
        router.observe(&endpoint.spec.key, report, now);
    }
}

/// Up to 24 requests, three of four past their first token.
fn requests(endpoint: &Endpoint, rng: &mut SmallRng) -> Vec<LoadGuard> {
    let count = rng.random_range(0..=24);
    let request = |number: u32| {
        let prompt = rng.random_range(200..30_000);
        let cost = RequestCost {
            uncached: Tokens(rng.random_range(1..=prompt)),
            prompt: Tokens(prompt),
        };
        let mut guard = LoadGuard::take(&endpoint.load, cost);
        if !number.is_multiple_of(4) {
            guard.note_first_token();
        }
        guard
    };
    (0..count).map(request).collect()
}
