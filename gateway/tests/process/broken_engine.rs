//! An engine that answers any POST with the same bytes and then breaks off, as no sound one would.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When it answers, and what follows.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// The connection is closed.
    Close,
    /// Likewise, but the body has not been read.
    CloseOnUnread,
    /// Nothing, for as long as the other side stays.
    Wait,
}

/// Serves for as long as the test runs.
pub async fn serve(answer: &str, then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Arc<str> = answer.into();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer_one(stream, Arc::clone(&answer), then));
        }
    });
    address
}

async fn answer_one(mut stream: TcpStream, answer: Arc<str>, then: Then) {
    let mut received = Vec::new();
    // Short requests: header and body are there when the body's last brace is.
    while !received.ends_with(b"}") {
        let has_header = received.windows(4).any(|bytes| bytes == b"\r\n\r\n");
        if matches!(then, Then::CloseOnUnread) && received.starts_with(b"POST") && has_header {
            break;
        }
        if received.starts_with(b"GET") && received.ends_with(b"\r\n\r\n") {
            // Errors of a client that has left are its own.
            let _ = stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                .await;
            received.clear();
        }
        if stream
            .read_buf(&mut received)
            .await
            .is_ok_and(|read| read > 0)
        {
            continue;
        }
        return;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    if let Then::Wait = then {
        let _ = stream.read_to_end(&mut received).await;
    }
}
