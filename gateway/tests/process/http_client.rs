//! A client that shows exactly what came: status, headers, bytes, and whether the answer ended as
//! it should or was cut.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// No exchange of these tests takes longer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body ended as its framing says; false where the connection was cut.
    pub is_complete: bool,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Host and port that the gateway says have answered.
    pub fn endpoint(&self) -> &str {
        self.header("x-warmgate-endpoint")
    }

    /// A header; empty where absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer of which only the header has been read.
pub struct Opened {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    // Dropped with the answer, which closes the connection.
    _connection: Connection,
}

/// Drives a connection for as long as it lives.
struct Connection(tokio::task::JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Opened {
    /// The next bytes; none at the end, an error where the answer was cut.
    pub async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_) => continue,
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Everything that is left.
    pub async fn finish(mut self) -> Answer {
        let mut body = BytesMut::new();
        let mut is_complete = true;
        while let Some(chunk) = self.next().await {
            match chunk {
                Ok(bytes) => body.extend_from_slice(&bytes),
                Err(_) => {
                    is_complete = false;
                    break;
                }
            }
        }
        Answer {
            status: self.status,
            headers: std::mem::take(&mut self.headers),
            body: body.freeze(),
            is_complete,
        }
    }
}

/// A POST of JSON with further headers.
pub fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

/// Sends a request over HTTP/1.1 on a connection of its own and reads the header of its answer.
pub async fn open<B>(to: SocketAddr, mut request: Request<B>) -> io::Result<Opened>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let host = to.to_string().parse().unwrap();
    request.headers_mut().entry(HOST).or_insert(host);
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let driven = Connection(tokio::spawn(async move {
        // What went wrong is seen by the sender or in the body.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await;
    opened(response, driven)
}

/// Likewise over HTTP/2 on a stream that is there already: prior knowledge, or ALPN.
pub async fn open_http2<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<Opened>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let driven = Connection(tokio::spawn(async move {
        // As above.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await;
    opened(response, driven)
}

/// Sends a request over HTTP/2 by prior knowledge and reads the whole answer.
pub async fn send_http2(to: SocketAddr, mut request: Request<Full<Bytes>>) -> io::Result<Answer> {
    *request.version_mut() = Version::HTTP_2;
    let exchange = async {
        let stream = TcpStream::connect(to).await?;
        Ok(open_http2(stream, request).await?.finish().await)
    };
    tokio::time::timeout(EXCHANGE_TIMEOUT, exchange)
        .await
        .expect("an exchange ends in time")
}

fn opened(
    response: hyper::Result<http::Response<Incoming>>,
    connection: Connection,
) -> io::Result<Opened> {
    let (parts, body) = response.map_err(io::Error::other)?.into_parts();
    Ok(Opened {
        status: parts.status,
        headers: parts.headers,
        body,
        _connection: connection,
    })
}

/// Sends a request and reads the whole answer.
pub async fn send<B>(to: SocketAddr, request: Request<B>) -> io::Result<Answer>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let exchange = async { Ok(open(to, request).await?.finish().await) };
    tokio::time::timeout(EXCHANGE_TIMEOUT, exchange)
        .await
        .expect("an exchange ends in time")
}

/// `GET path`.
pub async fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
    send(to, request).await
}

/// A chat completion of `prompt` with some output tokens.
pub fn chat(prompt: &str, max_tokens: u32, is_stream: bool) -> Request<Full<Bytes>> {
    post(
        "/v1/chat/completions",
        &[],
        chat_body(prompt, max_tokens, is_stream),
    )
}

/// Sends a short chat completion.
pub async fn ask(to: SocketAddr) -> Answer {
    send(to, chat("hello", 3, false)).await.unwrap()
}

/// The body of such a request.
pub fn chat_body(prompt: &str, max_tokens: u32, is_stream: bool) -> String {
    serde_json::json!({
        "model": "sim",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "stream": is_stream,
    })
    .to_string()
}

/// Whether somebody listens there.
pub async fn can_connect(to: SocketAddr) -> bool {
    TcpStream::connect(to).await.is_ok()
}

/// Writes bytes as they are, then reads until the other side closes.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut read = Vec::new();
    let all = stream.read_to_end(&mut read);
    tokio::time::timeout(EXCHANGE_TIMEOUT, all)
        .await
        .expect("the other side closes in time")
        .unwrap();
    read
}
