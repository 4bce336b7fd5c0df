//! Clients that never stop asking, so that what a change costs them is seen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;

use crate::gateway_process::PATIENCE;
use crate::http_client::{self, Answer, chat};

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const OUTPUT_TOKENS: u32 = 3;
/// Turns before a client begins another conversation.
const TURNS: usize = 8;

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Vec<String>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicU64,
}

/// What became of all requests.
#[derive(Debug)]
pub struct Tally {
    /// Answered as they should be.
    pub answered: u64,
    /// What went wrong with each of the others.
    pub failures: Vec<String>,
}

impl Load {
    /// So many clients of a gateway, each with a conversation that grows, every other answer a
    /// stream.
    pub fn start(gateway: SocketAddr, clients: usize) -> Load {
        Load::of_turns(gateway, clients, TURNS)
    }

    /// Likewise, but nothing that is asked has been asked before: no endpoint is a better choice
    /// than another.
    pub fn of_strangers(gateway: SocketAddr, clients: usize) -> Load {
        Load::of_turns(gateway, clients, 1)
    }

    fn of_turns(gateway: SocketAddr, clients: usize, turns: usize) -> Load {
        let shared = Arc::new(Shared::default());
        let of_one = |client| converse(gateway, client, turns, Arc::clone(&shared));
        Load {
            clients: (0..clients).map(of_one).collect(),
            shared,
        }
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more are answered.
    pub async fn until_answered(&self, more: u64) {
        let (goal, deadline) = (self.answered() + more, Instant::now() + PATIENCE);
        while self.answered() < goal {
            assert!(Instant::now() < deadline, "{} of {goal}", self.answered());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Lets every client finish.
    pub async fn stop(mut self) -> Tally {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        while let Some(of_client) = self.clients.join_next().await {
            failures.extend(of_client.unwrap());
        }
        let answered = self.answered();
        Tally { answered, failures }
    }
}

impl Tally {
    /// Fails where any request did, or none was sent.
    pub fn assert_sound(&self) {
        let few: Vec<_> = self.failures.iter().take(5).collect();
        let all = self.failures.len();
        assert!(all == 0, "{all} failed, {} not: {few:#?}", self.answered);
        assert!(self.answered > 0);
    }
}

async fn converse(
    gateway: SocketAddr,
    client: usize,
    turns: usize,
    shared: Arc<Shared>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut ticks = tokio::time::interval(PAUSE);
    for number in 0.. {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        let turn = number % turns;
        let told = format!("client {client}, conversation {}: ", number / turns);
        let prompt = told.clone() + &"and so on, and on ".repeat(20 * (turn + 1));
        let is_stream = number % 2 == 0;
        let answer = http_client::send(gateway, chat(&prompt, OUTPUT_TOKENS, is_stream)).await;
        match fault(answer, is_stream) {
            None => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Some(fault) => failures.push(format!("{told}turn {turn}: {fault}")),
        }
        ticks.tick().await;
    }
    failures
}

fn fault(answer: std::io::Result<Answer>, is_stream: bool) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Some(error.to_string()),
    };
    let is_whole = answer.is_complete && (!is_stream || answer.text().ends_with("[DONE]\n\n"));
    let is_sound = answer.status == StatusCode::OK && is_whole;
    let by = answer.endpoint().to_owned();
    (!is_sound).then(|| format!("{} of {by}: {}", answer.status, answer.text()))
}
