//! A provider that reads its replies from a file: for demos, tests and writing agents offline.
//!
//! It is plainly labelled: its name is `scripted`, the model it reports is `scripted`, its tokens
//! cost nothing. Everything but the intelligence is real: it streams, it can be slow, it fails in
//! the ways that real providers fail, and it checks the request as they would.

mod choose;
mod script;

use std::sync::Arc;
use std::time::Duration;

pub use script::Script;

use crate::error::{Error, ErrorKind};
use crate::json::{Json, canonical};
use crate::message::Block;
use crate::provider::{OnDelta, Prepared, Provider, Streaming};
use crate::request::Request;
use crate::response::{Delta, Response, Usage};
use script::{Failing, Reply};

const NAME: &str = "scripted";
/// A rough measure, for scripts that give no usage.
const BYTES_PER_TOKEN: usize = 4;

/// Answers from a [`Script`].
#[derive(Clone, Debug)]
pub struct Scripted {
    script: Arc<Script>,
    pauses: bool,
}

impl Scripted {
    /// Answers from a script, as slowly as the script says.
    pub fn new(script: Script) -> Self {
        Self { script: Arc::new(script), pauses: true }
    }

    /// Leaves all pauses out.
    #[must_use]
    pub fn without_pauses(mut self) -> Self {
        self.pauses = false;
        self
    }

    /// Returns what the script says it is.
    pub fn label(&self) -> &str {
        self.script.label()
    }

    async fn answer(
        &self,
        request: &Request,
        on_delta: &mut OnDelta<'_>,
    ) -> Result<Response, Error> {
        let prepared = self.prepare(request)?;
        let reply = choose::choose(&self.script, request)?;
        let content = content(reply, request)?;
        self.pause(reply.delay).await;
        let failing = reply.error.as_ref().filter(|error| request.attempt < error.attempts);
        if let Some(failing) = failing {
            if failing.kind == ErrorKind::Truncated {
                self.speak(reply, &content, on_delta, Spoken::Half).await;
            }
            return Err(failing.error());
        }
        self.speak(reply, &content, on_delta, Spoken::Whole).await;
        Ok(Response {
            usage: reply.usage.unwrap_or_else(|| estimate(&prepared, &content)),
            usage_reported: true,
            content,
            stop: reply.stop.clone(),
            model: NAME.into(),
            provider: NAME.into(),
            id: None,
            request_id: None,
            request_hash: prepared.hash().to_owned(),
        })
    }

    async fn speak(
        &self,
        reply: &Reply,
        content: &[Block],
        on_delta: &mut OnDelta<'_>,
        spoken: Spoken,
    ) {
        let mut deltas = deltas(content);
        if spoken == Spoken::Half {
            deltas.truncate(deltas.len() / 2);
        }
        on_delta(Delta::Started { model: NAME.into() });
        for delta in deltas {
            self.pause(reply.token_pause).await;
            on_delta(delta);
        }
    }

    async fn pause(&self, pause: Duration) {
        if self.pauses && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Half,
    Whole,
}

impl Provider for Scripted {
    fn name(&self) -> &str {
        NAME
    }

    /// The bytes are the request itself, in canonical JSON.
    fn prepare(&self, request: &Request) -> Result<Prepared, Error> {
        request.validate()?;
        let sent = Request { agent: None, attempt: 0, ..request.clone() };
        let value =
            serde_json::to_value(sent).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Prepared::new(canonical(&value).into_bytes()))
    }

    fn stream<'a>(&'a self, request: &'a Request, on_delta: &'a mut OnDelta<'a>) -> Streaming<'a> {
        Box::pin(self.answer(request, on_delta))
    }
}

impl Failing {
    fn error(&self) -> Error {
        let message = format!("the script simulates `{}`", self.kind);
        Error::new(self.kind, message).with_retry_after(self.retry_after)
    }
}

fn content(reply: &Reply, request: &Request) -> Result<Vec<Block>, Error> {
    let mut content = Vec::new();
    if let Some(thinking) = &reply.thinking {
        let thinking = thinking.clone();
        content.push(Block::Thinking { thinking, signature: None, extra: None });
    }
    if let Some(text) = &reply.text {
        content.push(Block::text(text));
    }
    for (number, call) in reply.tools.iter().enumerate() {
        if !request.tools.iter().any(|tool| tool.name == call.name) {
            let message = format!("the script calls tool `{}`, which is not declared", call.name);
            return Err(Error::invalid(message));
        }
        let id = format!("call_{}_{number}", request.turns());
        let input = Json::from_value(&call.input.clone().into());
        content.push(Block::tool_use(call.id.clone().unwrap_or(id), &call.name, input));
    }
    Ok(content)
}

fn deltas(content: &[Block]) -> Vec<Delta> {
    let mut deltas = Vec::new();
    for (index, block) in content.iter().enumerate() {
        match block {
            Block::Thinking { thinking, .. } => {
                deltas.extend(words(thinking).map(|text| Delta::Thinking { text }));
            }
            Block::Text { text, .. } => deltas.extend(words(text).map(|text| Delta::Text { text })),
            Block::ToolUse { id, name, input, .. } => {
                let (id, name) = (id.clone(), name.clone());
                deltas.push(Delta::ToolStart { index, id, name });
                deltas.push(Delta::ToolInput { index, json: input.as_str().to_owned() });
            }
            _ => {}
        }
    }
    deltas
}

/// Cuts a text behind its white space; the pieces joined are the text.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(char::is_whitespace).map(str::to_owned)
}

fn estimate(prepared: &Prepared, content: &[Block]) -> Usage {
    let output: usize = content
        .iter()
        .map(|block| match block {
            Block::Text { text, .. } => text.len(),
            Block::Thinking { thinking, .. } => thinking.len(),
            Block::ToolUse { name, input, .. } => name.len() + input.as_str().len(),
            _ => 0,
        })
        .sum();
    let tokens = |bytes: usize| (bytes / BYTES_PER_TOKEN + 1) as u64;
    Usage {
        input_uncached: tokens(prepared.body().len()),
        output: tokens(output),
        ..Usage::default()
    }
}
