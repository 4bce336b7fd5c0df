//! An HTTP server that answers as a test says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

#[derive(Clone)]
pub enum Answer {
    Status(u16, Bytes),
    Silence,
}

impl Answer {
    pub fn ok(body: &str) -> Answer {
        Answer::Status(200, Bytes::copy_from_slice(body.as_bytes()))
    }

    pub fn status(status: u16) -> Answer {
        Answer::Status(status, Bytes::new())
    }
}

#[derive(Default)]
struct Shared {
    answers: HashMap<&'static str, Answer>,
    asked: Vec<String>,
}

pub struct FakeEngine {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl FakeEngine {
    pub async fn start() -> FakeEngine {
        FakeEngine::start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub async fn start_at(address: SocketAddr) -> FakeEngine {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        FakeEngine {
            address,
            shared,
            task,
        }
    }

    /// Nobody listens there from now on.
    pub async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn answer(&self, path: &'static str, answer: Answer) {
        self.shared.lock().unwrap().answers.insert(path, answer);
    }

    /// Requests so far, as `METHOD /path host=... authorization=...`.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    // Dropped with the task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
        connections.spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    shared: Arc<Mutex<Shared>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name| {
        let value = request.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let (method, path) = (request.method(), request.uri().path());
    let (host, authorization) = (header(HOST), header(AUTHORIZATION));
    let asked = format!("{method} {path} host={host} authorization={authorization}");
    let answer = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push(asked);
        shared.answers.get(path).cloned()
    };
    let (status, body) = match answer {
        Some(Answer::Status(status, body)) => (status, body),
        Some(Answer::Silence) => std::future::pending().await,
        None => (404, Bytes::new()),
    };
    let response = Response::builder().status(status).body(Full::new(body));
    Ok(response.unwrap())
}
