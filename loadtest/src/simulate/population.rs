//! A workload at a given load: who arrives when, in how many copies, and what of it is new.
//!
//! *Open loop* (no sessions): all arrivals are divided by the load. *Closed loop* (sessions): the
//! load is the number of copies of the population, with think times as recorded; compressing time
//! would leave nobody any time to think, and measure nothing. Copies share no text, start at other
//! times, and a fraction of a copy is an even choice of its sessions.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use warmgate_routing::block::{BlockHash, NOMINAL_BYTES_PER_TOKEN, PromptBlocks};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::workload::{Moment, Turn, Workload};

/// Farthest that a session of a copy starts from its original.
const SHIFT_MAX: Duration = Duration::from_secs(300);
/// Share of an open loop that warms caches up and is not measured.
const WARM_UP_RATIO: f64 = 0.1;
/// Part of a closed loop that is measured: populations ramp up and down.
const CLOSED_WINDOW_RATIO: Range<f64> = 0.25..0.75;
/// Frac of the golden ratio: multiples of it are spread evenly however many are taken.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// One request that will be sent.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The prompt as routing wants it.
    pub prompt: Arc<PromptBlocks>,
    /// Length of the prompt.
    pub prompt_tokens: u64,
    /// Length of the answer.
    pub output_tokens: u64,
    /// Tokens that are new even to an endless cache that saw all requests in recorded order.
    pub fresh_tokens: u64,
    /// The conversation, different in each copy.
    pub session: Option<u64>,
    /// Those that wait for it: position, moment, pause.
    pub followers: Vec<(usize, Moment, Duration)>,
}

/// All requests of one run.
#[derive(Clone, Debug)]
pub struct Population {
    /// In order of recorded arrival.
    pub requests: Vec<Planned>,
    /// Those that wait for nobody, in order of arrival.
    pub starts: Vec<(Duration, usize)>,
    /// Requests due within are measured, and nothing is sent after it.
    pub window: Range<Duration>,
    /// Requests that would be due in the window if every answer took as long as recorded.
    pub expected: usize,
    /// Tokens of a block.
    pub block_tokens: u64,
}

impl Population {
    /// The workload at `load` times what was recorded.
    ///
    /// # Panics
    /// Where `load` is not above 0.
    #[must_use]
    pub fn new(workload: &Workload, load: f64, seed: u64) -> Population {
        assert!(load > 0.0 && load.is_finite(), "invariant: load is above 0");
        let is_closed = workload.is_closed_loop();
        let mut taken = if is_closed {
            copies(workload, load, seed)
        } else {
            (0..workload.turns.len())
                .map(|turn| Taken {
                    turn,
                    copy: 0,
                    at: workload.turns[turn].at.div_f64(load),
                })
                .collect()
        };
        taken.sort_by_key(|taken| (taken.at, taken.copy, taken.turn));
        let window = if is_closed {
            workload.span.mul_f64(CLOSED_WINDOW_RATIO.start)
                ..workload.span.mul_f64(CLOSED_WINDOW_RATIO.end)
        } else {
            let span = workload.span.div_f64(load);
            span.mul_f64(WARM_UP_RATIO)..span + Duration::from_nanos(1)
        };
        let expected = taken
            .iter()
            .filter(|taken| window.contains(&taken.at))
            .count();
        let (requests, starts) = plan(workload, &taken);
        Population {
            requests,
            starts,
            window,
            expected,
            block_tokens: workload.block_tokens,
        }
    }
}

/// One turn of one copy.
#[derive(Clone, Copy)]
struct Taken {
    turn: usize,
    copy: u64,
    at: Duration,
}

fn copies(workload: &Workload, load: f64, seed: u64) -> Vec<Taken> {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x5e55_10f5);
    let phase: f64 = rng.random();
    let mut taken = Vec::new();
    let mut sessions: HashMap<(u64, u64), Option<i64>> = HashMap::new();
    for copy in 0..load.ceil() as u64 {
        let share = (load - copy as f64).min(1.0);
        for (turn, recorded) in workload.turns.iter().enumerate() {
            // Who is alone is a session of one.
            let session = recorded.session.unwrap_or(u64::MAX - turn as u64);
            let number = sessions.len() as f64;
            let shift = *sessions.entry((copy, session)).or_insert_with(|| {
                let is_kept = (number * GOLDEN + phase).fract() < share;
                let most = SHIFT_MAX.as_millis() as i64;
                is_kept.then(|| {
                    if copy == 0 {
                        0
                    } else {
                        rng.random_range(-most..=most)
                    }
                })
            });
            let Some(shift_ms) = shift else { continue };
            let by = Duration::from_millis(shift_ms.unsigned_abs());
            let at = match shift_ms {
                ..0 => recorded.at.saturating_sub(by),
                _ => recorded.at + by,
            };
            taken.push(Taken { turn, copy, at });
        }
    }
    taken
}

fn plan(workload: &Workload, taken: &[Taken]) -> (Vec<Planned>, Vec<(Duration, usize)>) {
    let mut seen: HashSet<BlockHash> = HashSet::new();
    let mut place: HashMap<(u64, usize), usize> = HashMap::with_capacity(taken.len());
    let mut requests: Vec<Planned> = Vec::with_capacity(taken.len());
    for (position, one) in taken.iter().enumerate() {
        let planned = planned(
            &workload.turns[one.turn],
            one.copy,
            workload.block_tokens,
            &mut seen,
        );
        requests.push(planned);
        place.insert((one.copy, one.turn), position);
    }
    let mut starts = Vec::new();
    for (position, one) in taken.iter().enumerate() {
        match workload.turns[one.turn].after {
            None => starts.push((one.at, position)),
            Some(after) => {
                let before = place[&(one.copy, after.turn)];
                requests[before]
                    .followers
                    .push((position, after.moment, after.pause));
            }
        }
    }
    (requests, starts)
}

fn planned(turn: &Turn, copy: u64, block_tokens: u64, seen: &mut HashSet<BlockHash>) -> Planned {
    let hashes: Vec<BlockHash> = match copy {
        0 => turn.chain.to_vec(),
        _ => turn
            .chain
            .iter()
            .map(|block| salted(*block, copy))
            .collect(),
    };
    let known = hashes.iter().take_while(|hash| seen.contains(hash)).count();
    seen.extend(&hashes[known..]);
    let known_tokens = (known as u64 * block_tokens).min(turn.prompt_tokens - 1);
    Planned {
        prompt: Arc::new(PromptBlocks {
            hashes,
            bytes: turn.prompt_tokens * u64::from(NOMINAL_BYTES_PER_TOKEN),
            further_bytes: 0,
            is_token_ids: true,
        }),
        prompt_tokens: turn.prompt_tokens,
        output_tokens: turn.output_tokens,
        fresh_tokens: turn.prompt_tokens - known_tokens,
        session: turn
            .session
            .map(|session| xxh3_64_with_seed(&session.to_le_bytes(), copy)),
        followers: Vec::new(),
    }
}

fn salted(block: BlockHash, copy: u64) -> BlockHash {
    BlockHash(xxh3_64_with_seed(&block.0.to_le_bytes(), copy))
}
