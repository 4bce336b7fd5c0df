//! One inference request from submission to its last byte, whatever its API.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;

use super::answer::Answer;
use super::api::{ApiError, Call, Ending, Head, OutputLimit, Reply, StreamToken, Usage};
use super::fault::FaultKind;
use super::model::{EventKind, SubmitError};
use super::runner::{Job, Runner, Running};

/// The response ends here without an end: hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the simulated engine was told to cut the connection")]
pub(super) struct Cut;

/// vLLM 0.32.0's words when its core dies while a stream is open.
const ENGINE_DEAD: &str = concat!(
    r#"data: {"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.", "#,
    r#""type": "InternalServerError", "param": null, "code": 500}}"#,
    "\n\ndata: [DONE]\n\n"
);

/// A fault inside a stream.
#[derive(Clone, Copy)]
enum StreamFault {
    Error { after_tokens: u64 },
    Reset { after_tokens: u64 },
}

/// A request that the model works on.
pub(super) struct Exchange {
    head: Head,
    reply: Box<dyn Reply>,
    output: OutputLimit,
    n: usize,
    answers: Vec<Answer>,
    generated: Vec<u64>,
    usage: Usage,
    finished: usize,
    /// None once the stream is over; dropping it aborts.
    running: Option<Running>,
    fault: Option<StreamFault>,
}

impl Exchange {
    /// Submits the call's answers to the model.
    pub(super) fn start(
        runner: &Arc<Runner>,
        block_tokens: u64,
        head: Head,
        call: Call,
    ) -> Result<Self, ApiError> {
        let Call {
            prompts,
            n,
            output,
            priority,
            reply,
            ..
        } = call;
        let mut answers = Vec::with_capacity(prompts.len() * n);
        let mut jobs = Vec::with_capacity(answers.capacity());
        for prompt in &prompts {
            let seed = prompt.seed();
            for choice in 0..n {
                let answer = Answer::new(seed, choice);
                jobs.push(Job {
                    blocks: prompt.blocks_with(&answer.text(output.tokens), block_tokens),
                    prompt_tokens: prompt.tokens(),
                    output_tokens: output.tokens,
                    priority,
                });
                answers.push(answer);
            }
        }
        let prompt_tokens = prompts.iter().map(super::prompt::Prompt::tokens).sum();
        let running = runner.submit(jobs).map_err(refusal)?;
        Ok(Self {
            head,
            reply,
            output,
            n,
            generated: vec![0; answers.len()],
            answers,
            usage: Usage {
                prompt_tokens,
                ..Usage::default()
            },
            finished: 0,
            running: Some(running),
            fault: None,
        })
    }

    /// Plans a fault inside the stream; other kinds are not this file's business.
    pub(super) fn with_fault(mut self, fault: Option<FaultKind>) -> Self {
        self.fault = match fault {
            Some(FaultKind::MidStreamError { after_tokens }) => {
                Some(StreamFault::Error { after_tokens })
            }
            Some(FaultKind::MidStreamReset { after_tokens }) => {
                Some(StreamFault::Reset { after_tokens })
            }
            _ => None,
        };
        self
    }

    /// Waits for everything and gives the whole response.
    pub(super) async fn whole(mut self) -> Result<String, Cut> {
        if let Some(StreamFault::Error { .. } | StreamFault::Reset { .. }) = self.fault {
            self.cut();
            return Err(Cut);
        }
        while self.finished < self.answers.len() {
            let (job, kind) = self.next_event().await;
            self.note(job, kind);
        }
        let ending = self.ending();
        Ok(self.reply.whole(&self.head, &ending))
    }

    /// Server-sent events as the model produces tokens.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, Cut>> {
        futures::stream::unfold(self, |mut exchange| async move {
            let item = exchange.next_chunk().await?;
            Some((item, exchange))
        })
    }

    async fn next_chunk(&mut self) -> Option<Result<Bytes, Cut>> {
        self.running.as_ref()?;
        let mut out = String::new();
        while out.is_empty() {
            if let Some(item) = self.faulty_chunk() {
                return Some(item);
            }
            let (job, kind) = self.next_event().await;
            let is_first = self.usage.completion_tokens == 0;
            if self.note(job, kind) {
                if is_first {
                    self.reply.opening(&self.head, self.usage, &mut out);
                }
                self.write_token(job, &mut out);
            }
            if self.finished == self.answers.len() {
                let ending = self.ending();
                self.reply.closing(&self.head, &ending, &mut out);
                self.running = None;
            }
        }
        Some(Ok(Bytes::from(out)))
    }

    fn faulty_chunk(&mut self) -> Option<Result<Bytes, Cut>> {
        let sent = self.usage.completion_tokens;
        match self.fault {
            Some(StreamFault::Error { after_tokens }) if sent >= after_tokens => {
                self.cut();
                Some(Ok(Bytes::from_static(ENGINE_DEAD.as_bytes())))
            }
            Some(StreamFault::Reset { after_tokens }) if sent >= after_tokens => {
                self.cut();
                Some(Err(Cut))
            }
            _ => None,
        }
    }

    fn cut(&mut self) {
        if let Some(running) = self.running.take() {
            running.cut();
        }
    }

    async fn next_event(&mut self) -> (usize, EventKind) {
        let running = self
            .running
            .as_mut()
            .expect("invariant: asked only while running");
        running
            .next()
            .await
            .expect("invariant: every answer finishes before its channel closes")
    }

    /// Books an event; true when it brought a token.
    fn note(&mut self, job: usize, kind: EventKind) -> bool {
        match kind {
            // The n answers to one prompt share it; the first tells what the client found warm.
            EventKind::FirstToken { cached_tokens, .. } if job.is_multiple_of(self.n) => {
                self.usage.cached_tokens += cached_tokens;
            }
            EventKind::FirstToken { .. } | EventKind::Token => {}
            EventKind::Finished => {
                self.finished += 1;
                return false;
            }
        }
        self.generated[job] += 1;
        self.usage.completion_tokens += 1;
        true
    }

    fn write_token(&self, job: usize, out: &mut String) {
        let index = self.generated[job] - 1;
        let token = StreamToken {
            choice: job,
            index,
            text: self.answers[job].token(index),
            finish: (index + 1 == self.output.tokens).then_some(self.output.finish),
        };
        self.reply.token(&self.head, token, out);
    }

    fn ending(&self) -> Ending {
        Ending {
            texts: self
                .answers
                .iter()
                .map(|answer| answer.text(self.output.tokens))
                .collect(),
            finish: self.output.finish,
            usage: self.usage,
        }
    }
}

fn refusal(error: SubmitError) -> ApiError {
    ApiError {
        status: 400,
        message: error.to_string(),
        kind: "BadRequestError",
        param: Some("input_tokens".to_owned()),
    }
}
