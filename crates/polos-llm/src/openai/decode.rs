//! Puts a reply together from its chunks, the way the protocol's many speakers write them.
//!
//! Tolerated: usage missing, null or in a chunk of its own; `content` null or a list; arguments as
//! an object; tool calls without `index`, without `id`, or all with index 0; `reasoning_content` or
//! `reasoning`; no `[DONE]` after a `finish_reason`, no `finish_reason` before a `[DONE]`.

use super::chunk::{CallPiece, Choice, Chunk, RawUsage, arguments, texts};
use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::message::Block;
use crate::provider::OnDelta;
use crate::response::{Delta, Response, StopReason};

/// Says what a chunk meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Progress,
    Done,
    Failed,
}

#[derive(Debug)]
pub(super) struct Decoder {
    request_hash: String,
    id: Option<String>,
    model: Option<String>,
    thinking: String,
    text: String,
    refusal: String,
    calls: Vec<Call>,
    finish: Option<String>,
    usage: Option<RawUsage>,
    is_done: bool,
}

#[derive(Debug)]
struct Call {
    wire_index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    is_shown: bool,
}

impl Decoder {
    pub(super) fn new(request_hash: &str) -> Self {
        Self {
            request_hash: request_hash.to_owned(),
            id: None,
            model: None,
            thinking: String::new(),
            text: String::new(),
            refusal: String::new(),
            calls: Vec::new(),
            finish: None,
            usage: None,
            is_done: false,
        }
    }

    /// Says whether the reply itself is whole, whatever may still come.
    pub(super) fn is_complete(&self) -> bool {
        self.is_done || self.finish.is_some()
    }

    /// Takes the next event's data.
    pub(super) fn event(&mut self, data: &str, on_delta: &mut OnDelta<'_>) -> Result<Step, Error> {
        match data.trim() {
            "" => return Ok(Step::Progress),
            "[DONE]" => {
                // A `[DONE]` before anything else is an empty answer, not a finished one.
                self.is_done = self.model.is_some() || self.finish.is_some();
                return Ok(Step::Done);
            }
            _ => {}
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| Error::protocol(format!("a chunk cannot be read: {error}")))?;
        if chunk.error.is_some() {
            return Ok(Step::Failed);
        }
        self.id = self.id.take().or(chunk.id);
        if self.model.is_none() {
            let model = chunk.model.unwrap_or_default();
            on_delta(Delta::Started { model: model.clone() });
            self.model = Some(model);
        }
        self.usage = chunk.usage.or(self.usage.take());
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index == 0) {
            self.choice(choice, on_delta)?;
        }
        Ok(Step::Progress)
    }

    /// Makes the response, once the last chunk has come.
    pub(super) fn finish(self, request_id: Option<String>) -> Result<Response, Error> {
        let stop = self.stop();
        let mut content = Vec::new();
        if !self.thinking.is_empty() {
            let thinking = self.thinking;
            content.push(Block::Thinking { thinking, signature: None, extra: None });
        }
        let text = self.text + &self.refusal;
        if !text.is_empty() {
            content.push(Block::text(text));
        }
        content.extend(tool_uses(self.calls, self.id.as_deref().unwrap_or(&self.request_hash))?);
        Ok(Response {
            content,
            stop,
            usage: self.usage.as_ref().map(RawUsage::normalised).unwrap_or_default(),
            usage_reported: self.usage.is_some(),
            model: self.model.unwrap_or_default(),
            provider: super::NAME.into(),
            id: self.id,
            request_id,
            request_hash: self.request_hash,
        })
    }

    fn choice(&mut self, choice: Choice, on_delta: &mut OnDelta<'_>) -> Result<(), Error> {
        if let Some(piece) = choice.delta {
            for text in piece.reasoning_content.iter().flat_map(texts) {
                self.thinking.push_str(text);
                on_delta(Delta::Thinking { text: text.to_owned() });
            }
            for text in piece.content.iter().flat_map(texts) {
                self.text.push_str(text);
                on_delta(Delta::Text { text: text.to_owned() });
            }
            if let Some(text) = piece.refusal.filter(|text| !text.is_empty()) {
                self.refusal.push_str(&text);
                on_delta(Delta::Text { text });
            }
            for call in piece.tool_calls.into_iter().flatten() {
                self.call(call, on_delta)?;
            }
        }
        self.finish = choice.finish_reason.filter(|word| !word.is_empty()).or(self.finish.take());
        Ok(())
    }

    fn call(&mut self, piece: CallPiece, on_delta: &mut OnDelta<'_>) -> Result<(), Error> {
        let function = piece.function.unwrap_or_default();
        let id = piece.id.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let index = self.slot(piece.index, &id, &name);
        if index == self.calls.len() {
            if index == caps::TOOL_CALLS_MAX {
                let message = format!("the reply has over {} tool calls", caps::TOOL_CALLS_MAX);
                return Err(Error::new(ErrorKind::Limit, message));
            }
            self.calls.push(Call::new(piece.index));
        }
        let call = &mut self.calls[index];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        if !call.is_shown && !call.name.is_empty() {
            call.is_shown = true;
            let (id, name) = (call.id.clone(), call.name.clone());
            on_delta(Delta::ToolStart { index, id, name });
        }
        let json = function.arguments.as_deref().map(arguments).unwrap_or_default();
        if !json.is_empty() {
            call.arguments.push_str(&json);
            on_delta(Delta::ToolInput { index, json });
        }
        Ok(())
    }

    /// Finds the call that a piece belongs to; one past the end is a new call.
    ///
    /// A piece that names a function and an id of its own starts a call, even under an index that
    /// is taken: some servers number all calls 0.
    fn slot(&self, wire_index: Option<u64>, id: &str, name: &str) -> usize {
        let new = self.calls.len();
        if !id.is_empty()
            && let Some(index) = self.calls.iter().position(|call| call.id == id)
        {
            return index;
        }
        match wire_index {
            Some(wire) => {
                let taken = self.calls.iter().rposition(|call| call.wire_index == Some(wire));
                let other = |call: &Call| !id.is_empty() && !name.is_empty() && !call.id.is_empty();
                taken.filter(|&index| !other(&self.calls[index])).unwrap_or(new)
            }
            None if id.is_empty() && name.is_empty() => new.saturating_sub(1),
            None => new,
        }
    }

    fn stop(&self) -> StopReason {
        let by_content =
            if self.calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
        match self.finish.as_deref() {
            _ if !self.refusal.is_empty() => StopReason::Refusal,
            Some("length") => StopReason::MaxTokens,
            Some("content_filter") => StopReason::Refusal,
            // Servers say `stop` with calls and `tool_calls` without; the content knows.
            None | Some("stop" | "tool_calls" | "function_call") => by_content,
            Some(word) => StopReason::Other(word.to_owned()),
        }
    }
}

impl Call {
    fn new(wire_index: Option<u64>) -> Self {
        let (id, name, arguments) = (String::new(), String::new(), String::new());
        Self { wire_index, id, name, arguments, is_shown: false }
    }
}

/// Names calls that came without an id, or with one that stands twice, after the reply.
fn tool_uses(calls: Vec<Call>, reply: &str) -> Result<Vec<Block>, Error> {
    let mut seen: Vec<String> = Vec::new();
    let mut blocks = Vec::new();
    for (index, call) in calls.into_iter().enumerate() {
        if call.name.is_empty() {
            return Err(Error::protocol(format!("tool call {index} names no function")));
        }
        let is_unique = !call.id.is_empty() && !seen.contains(&call.id);
        let id = if is_unique { call.id } else { format!("call_{reply}_{index}") };
        seen.push(id.clone());
        let (input, malformed) = Json::tool_input(&call.arguments);
        blocks.push(Block::ToolUse { id, name: call.name, input, malformed, extra: None });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNKS: [&str; 7] = [
        r#"{"id":"c","model":"x","choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"delta":{"content":"text","reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"t","arguments":"{\"a\""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"u","arguments":{"b":1}}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":":1}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}}"#,
    ];

    proptest! {
        /// Chunks in any order, some of them damaged: an answer whose tool calls all have a name,
        /// an id of their own and an object to work on, or an error; never a panic.
        #[test]
        fn hostile_streams_end_in_an_answer_or_an_error(
            picks in proptest::collection::vec((0..CHUNKS.len(), proptest::option::weighted(0.2, (any::<prop::sample::Index>(), any::<char>()))), 0..16),
        ) {
            let mut decoder = Decoder::new("hash");
            for (pick, damage) in picks {
                let mut text: Vec<char> = CHUNKS[pick].chars().collect();
                if let Some((at, with)) = damage {
                    let at = at.index(text.len());
                    text[at] = with;
                }
                let text: String = text.into_iter().collect();
                if decoder.event(&text, &mut |_| ()).is_err() {
                    return Ok(());
                }
            }
            let mut ids = Vec::new();
            for block in decoder.finish(None).map(|response| response.content).unwrap_or_default() {
                if let Block::ToolUse { id, name, input, .. } = block {
                    prop_assert!(!name.is_empty() && !id.is_empty() && !ids.contains(&id));
                    prop_assert!(input.value().is_object());
                    ids.push(id);
                }
            }
        }
    }
}
