//! A load that keeps one gateway busy: many connections, each sends as soon as it has its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Failure;

/// Different conversations; each is sent again and again, as chats and agents do.
const CONVERSATIONS: usize = 64;

/// How much of what.
#[derive(Clone, Copy)]
pub struct Load {
    /// Length of each prompt.
    pub prompt_bytes: usize,
    /// Connections, each on a thread of its own.
    pub connections: usize,
    /// Requests over all connections.
    pub requests: usize,
}

/// What came back.
pub struct Totals {
    /// Requests that were answered with 200.
    pub answered: usize,
}

/// Sends the load and waits for all answers.
pub fn run(target: SocketAddr, load: &Load) -> Result<Totals, Failure> {
    let bodies: Vec<Vec<u8>> = (0..CONVERSATIONS)
        .map(|number| request(number, load.prompt_bytes))
        .collect();
    let each = load.requests.div_ceil(load.connections);
    let outcomes: Vec<std::io::Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.connections)
            .map(|connection| {
                let bodies = &bodies;
                scope.spawn(move || converse(target, bodies, connection, each))
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("a connection's thread panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    outcomes
        .into_iter()
        .collect::<std::io::Result<()>>()
        .map_err(|error| format!("{target}: {error}"))?;
    Ok(Totals {
        answered: each * load.connections,
    })
}

fn converse(
    target: SocketAddr,
    bodies: &[Vec<u8>],
    first: usize,
    count: usize,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for number in 0..count {
        stream.write_all(&bodies[(first + number) % bodies.len()])?;
        read_answer(&mut answers)?;
    }
    Ok(())
}

fn read_answer(answers: &mut impl BufRead) -> std::io::Result<()> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::other(format!(
            "answered {:?}",
            line.trim_end()
        )));
    }
    let mut length = 0;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    std::io::copy(&mut answers.by_ref().take(length), &mut std::io::sink())?;
    Ok(())
}

/// A whole request: text with line ends every forty bytes, as chats have.
fn request(number: usize, prompt_bytes: usize) -> Vec<u8> {
    let line = "the quick brown fox jumps over lazy dog\\n";
    let text: String = line
        .chars()
        .cycle()
        .take(prompt_bytes / line.len() * line.len())
        .collect();
    let body = format!(
        r#"{{"model":"sim","messages":[{{"role":"user","content":"conversation {number} {text}"}}],"max_tokens":8}}"#
    );
    let header = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [header.into_bytes(), body.into_bytes()].concat()
}
