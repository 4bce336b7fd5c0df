//! An endpoint's answer on its way to the client: never held back, merged where it is already there.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Version};
use pingora::connectors::http::Connector;
use pingora::proxy::Session;
use warmgate_routing::Sent;

use crate::error::ErrorShape;
use crate::proxy::forward::Answer;
use crate::proxy::guards::Watch;
use crate::proxy::headers::{self, Framing};
use crate::proxy::stop::Stop;
use crate::stream::{Heard, Listener, ModelRewriter};

/// Bytes of ready chunks that are merged into one write.
pub const COALESCE_BYTES_MAX: usize = 64 * 1024;

/// What was heard while an answer passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passage {
    /// When something of the answer itself came first.
    pub first_token_at: Option<Instant>,
    /// Counts and errors.
    pub heard: Heard,
}

/// An answer to be passed on.
pub struct Relay<'a> {
    /// To give the connection back to.
    pub connector: &'a Connector,
    /// Its header has been read.
    pub answer: Answer,
    /// Its weight moves at the first token.
    pub sent: &'a mut Sent,
    /// Hears of the first token, where a guard watches and the answer is none of an error.
    pub watch: Option<Watch>,
    /// Puts the client's name for the model into the answer, where the engine has another.
    pub rewriter: Option<ModelRewriter>,
    /// Headers that this gateway adds.
    pub added: Vec<(HeaderName, HeaderValue)>,
    /// In which shape to report that an engine broke off.
    pub shape: ErrorShape,
    /// Longest wait for a client that does not read; none: for ever.
    pub client_timeout: Option<Duration>,
}

impl Relay<'_> {
    /// Passes the answer on to its end. What was heard is in `passage` on every path out.
    ///
    /// # Errors
    /// [`Stop::ClientGone`] where the client left (the engine's work is aborted), [`Stop::Cut`]
    /// where the engine broke off and the client cannot be told in its own format.
    pub async fn run(mut self, session: &mut Session, passage: &mut Passage) -> Result<(), Stop> {
        let is_http10 = session.req_header().version == Version::HTTP_10;
        let takes_chunks = !session.is_http2() && !is_http10;
        let framing = Framing {
            takes_chunks,
            keeps_length: self.rewriter.is_none(),
        };
        let header = headers::for_client(self.answer.header(), framing, &self.added)
            .map_err(|_| Stop::Cut)?;
        let content_type = header
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let mut listener = Listener::new(content_type);
        let downstream = session.as_downstream_mut();
        downstream.set_write_timeout(self.client_timeout);
        if is_http10 {
            // Without chunks the end of the connection is the end of the answer.
            downstream.set_keepalive(None);
        }
        let outcome = match downstream.write_response_header(Box::new(header)).await {
            Ok(()) => self.pump(session, &mut listener, passage).await,
            Err(_) => Err(Stop::ClientGone),
        };
        passage.heard = listener.heard();
        match outcome {
            Ok(()) => {
                self.answer.release(self.connector).await;
                Ok(())
            }
            // Some clients hang up at the last event and do not wait for the end of the body.
            Err(Stop::ClientGone) if passage.heard.is_done => {
                session.as_downstream_mut().set_keepalive(None);
                self.answer.abort().await;
                Ok(())
            }
            Err(stop) => {
                self.answer.abort().await;
                Err(stop)
            }
        }
    }

    async fn pump(
        &mut self,
        session: &mut Session,
        listener: &mut Listener,
        passage: &mut Passage,
    ) -> Result<(), Stop> {
        loop {
            let downstream = session.as_downstream_mut();
            let chunk = tokio::select! {
                biased;
                chunk = self.answer.next() => chunk,
                _ = downstream.read_body_or_idle(true) => return Err(Stop::ClientGone),
            };
            let (bytes, after) = match chunk {
                Ok(Some(first)) => self.coalesce(first),
                Ok(None) => (Bytes::new(), After::End),
                Err(_) => (Bytes::new(), After::Broken),
            };
            listener.feed(&bytes);
            if passage.first_token_at.is_none() && listener.has_begun() {
                let now = Instant::now();
                passage.first_token_at = Some(now);
                if let Some(watch) = &self.watch {
                    watch.begun(now);
                }
                self.sent.note_first_token();
            }
            let bytes = match &mut self.rewriter {
                Some(rewriter) => rewriter.feed(bytes),
                None => bytes,
            };
            let is_end = matches!(after, After::End);
            // An empty chunk would be the last one.
            if is_end || !bytes.is_empty() {
                write(session, bytes, is_end).await?;
            }
            match after {
                After::More => {}
                After::End => return Ok(()),
                After::Broken => return self.break_off(session, listener).await,
            }
        }
    }

    /// Takes what is already there, without waiting, into one piece.
    fn coalesce(&mut self, first: Bytes) -> (Bytes, After) {
        let mut merged: Option<BytesMut> = None;
        let mut length = first.len();
        while length < COALESCE_BYTES_MAX {
            match self.answer.next().now_or_never() {
                None => break,
                Some(Ok(Some(more))) => {
                    length += more.len();
                    merged
                        .get_or_insert_with(|| BytesMut::from(&first[..]))
                        .extend_from_slice(&more);
                }
                Some(Ok(None)) => return (freeze(first, merged), After::End),
                Some(Err(_)) => return (freeze(first, merged), After::Broken),
            }
        }
        (freeze(first, merged), After::More)
    }

    /// The engine broke off. A stream of events can say so; anything else can only be cut.
    async fn break_off(
        &mut self,
        session: &mut Session,
        listener: &mut Listener,
    ) -> Result<(), Stop> {
        listener.note_broken();
        if listener.is_events() {
            let event = crate::stream::broken_event(self.shape);
            write(session, event, true).await?;
        }
        Err(Stop::Cut)
    }
}

/// What came after a piece, as far as it is known.
enum After {
    More,
    End,
    Broken,
}

fn freeze(first: Bytes, merged: Option<BytesMut>) -> Bytes {
    merged.map_or(first, BytesMut::freeze)
}

async fn write(session: &mut Session, bytes: Bytes, is_end: bool) -> Result<(), Stop> {
    let downstream = session.as_downstream_mut();
    downstream
        .write_response_body(bytes, is_end)
        .await
        .map_err(|_| Stop::ClientGone)
}
