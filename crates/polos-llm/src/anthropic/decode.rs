//! Puts a reply together from its events.
//!
//! Unknown events, fields, blocks and deltas are tolerated, as the API's versioning policy asks:
//! fields are kept in `extra`, blocks in [`Block::Other`], the rest is passed over. Usage values are
//! cumulative, so a later one replaces an earlier one.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::RawUsage;
use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::message::Block;
use crate::object::Object;
use crate::provider::OnDelta;
use crate::response::{Delta, Response, StopReason};

/// Says what an event meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A ping, or something unknown: the line lives.
    Ping,
    /// A part of the reply.
    Progress,
    /// The reply is whole.
    Done,
    /// The provider reports an error; the event's data says which.
    Failed,
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    started: Option<Started>,
    usage: RawUsage,
    blocks: Vec<Open>,
    stop: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Started {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: String,
}

/// Is a block that is being written.
#[derive(Debug)]
struct Open {
    wire_index: u64,
    /// The block as it started, without the fields that are collected below.
    rest: Object,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text { text: String, citations: Vec<Box<RawValue>> },
    Thinking { thinking: String, signature: String },
    ToolUse { id: String, name: String, start: Option<Box<RawValue>>, input: String },
    Other { input: String },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct MessageStart {
    message: StartedMessage,
}

#[derive(Deserialize)]
struct StartedMessage {
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(flatten)]
    started: Started,
}

#[derive(Deserialize)]
struct BlockStart {
    index: u64,
    content_block: Object,
}

#[derive(Deserialize)]
struct BlockDelta {
    index: u64,
    delta: PieceOfBlock,
}

#[derive(Deserialize)]
struct PieceOfBlock {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    partial_json: String,
    #[serde(default)]
    citation: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct MessageDelta {
    delta: StopDelta,
    #[serde(default)]
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct StopDelta {
    #[serde(default)]
    stop_reason: Option<String>,
}

impl Decoder {
    /// Takes the next event's data.
    pub(super) fn event(&mut self, data: &str, on_delta: &mut OnDelta<'_>) -> Result<Step, Error> {
        if matches!(data.trim(), "" | "[DONE]") {
            return Ok(Step::Ping);
        }
        let envelope: Envelope<'_> = read(data)?;
        match &*envelope.kind {
            "message_start" => self.start(read(data)?, on_delta),
            "content_block_start" => self.block_start(read(data)?, on_delta)?,
            "content_block_delta" => self.block_delta(read(data)?, on_delta)?,
            "content_block_stop" => {}
            "message_delta" => self.message_delta(read(data)?),
            "message_stop" => return Ok(Step::Done),
            "error" => return Ok(Step::Failed),
            _ => return Ok(Step::Ping),
        }
        Ok(Step::Progress)
    }

    /// Makes the response, once the last event has come.
    pub(super) fn finish(self, request_id: Option<String>, hash: &str) -> Result<Response, Error> {
        let truncated = |message: &str| Error::new(ErrorKind::Truncated, message);
        let started = self.started.ok_or_else(|| truncated("the stream has no `message_start`"))?;
        let stop = self.stop.ok_or_else(|| truncated("the stream has no `stop_reason`"))?;
        Ok(Response {
            content: self.blocks.into_iter().map(Open::close).collect(),
            stop: StopReason::from_word(&stop),
            usage: self.usage.normalised(),
            usage_reported: self.usage.is_reported(),
            model: started.model,
            provider: super::NAME.into(),
            id: started.id,
            request_id,
            request_hash: hash.to_owned(),
        })
    }

    fn start(&mut self, start: MessageStart, on_delta: &mut OnDelta<'_>) {
        let message = start.message;
        if let Some(usage) = message.usage {
            self.usage.replace_with(&usage);
        }
        on_delta(Delta::Started { model: message.started.model.clone() });
        self.started = Some(message.started);
    }

    fn block_start(&mut self, start: BlockStart, on_delta: &mut OnDelta<'_>) -> Result<(), Error> {
        if self.blocks.iter().any(|open| open.wire_index == start.index) {
            return Err(Error::protocol(format!("block {} starts twice", start.index)));
        }
        let open = Open::new(start.index, start.content_block)?;
        let index = self.blocks.len();
        match &open.body {
            Body::Text { text, .. } if !text.is_empty() => {
                on_delta(Delta::Text { text: text.clone() });
            }
            Body::Thinking { thinking, .. } if !thinking.is_empty() => {
                on_delta(Delta::Thinking { text: thinking.clone() });
            }
            Body::ToolUse { id, name, .. } => {
                on_delta(Delta::ToolStart { index, id: id.clone(), name: name.clone() });
            }
            _ => {}
        }
        self.blocks.push(open);
        self.check_counts()
    }

    fn check_counts(&self) -> Result<(), Error> {
        let calls = self.blocks.iter().filter(|open| matches!(open.body, Body::ToolUse { .. }));
        let (blocks, calls) = (self.blocks.len(), calls.count());
        if blocks > caps::BLOCKS_MAX {
            let max = caps::BLOCKS_MAX;
            return Err(Error::new(ErrorKind::Limit, format!("the reply has over {max} blocks")));
        }
        if calls > caps::TOOL_CALLS_MAX {
            let max = caps::TOOL_CALLS_MAX;
            let message = format!("the reply has over {max} tool calls");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    fn block_delta(&mut self, delta: BlockDelta, on_delta: &mut OnDelta<'_>) -> Result<(), Error> {
        let index = self.blocks.iter().position(|open| open.wire_index == delta.index);
        let index = index.ok_or_else(|| {
            Error::protocol(format!("block {} goes on without a start", delta.index))
        })?;
        if let Some(delta) = self.blocks[index].grow(index, delta.delta) {
            on_delta(delta);
        }
        Ok(())
    }

    fn message_delta(&mut self, delta: MessageDelta) {
        if let Some(usage) = delta.usage {
            self.usage.replace_with(&usage);
        }
        self.stop = delta.delta.stop_reason.or(self.stop.take());
    }
}

impl Open {
    fn new(wire_index: u64, mut rest: Object) -> Result<Self, Error> {
        let kind: Option<String> = rest.get_string("type");
        let mut take = |name: &str| rest.take_string(name).unwrap_or_default();
        let body = match kind.as_deref() {
            Some("text") => Body::Text { text: take("text"), citations: Vec::new() },
            Some("thinking") => {
                Body::Thinking { thinking: take("thinking"), signature: take("signature") }
            }
            Some("tool_use") => Body::ToolUse {
                id: take("id"),
                name: take("name"),
                start: rest.take("input"),
                input: String::new(),
            },
            Some(_) => Body::Other { input: String::new() },
            None => return Err(Error::protocol(format!("block {wire_index} has no type"))),
        };
        Ok(Self { wire_index, rest, body })
    }

    /// Adds a piece, and says what there is to show of it.
    fn grow(&mut self, index: usize, piece: PieceOfBlock) -> Option<Delta> {
        match (&mut self.body, piece.kind.as_str()) {
            (Body::Text { text, .. }, "text_delta") => {
                text.push_str(&piece.text);
                Some(Delta::Text { text: piece.text })
            }
            (Body::Text { citations, .. }, "citations_delta") => {
                citations.extend(piece.citation);
                None
            }
            (Body::Thinking { thinking, .. }, "thinking_delta") => {
                thinking.push_str(&piece.thinking);
                Some(Delta::Thinking { text: piece.thinking })
            }
            (Body::Thinking { signature, .. }, "signature_delta") => {
                signature.push_str(&piece.signature);
                None
            }
            (Body::ToolUse { input, .. }, "input_json_delta") => {
                input.push_str(&piece.partial_json);
                let json = piece.partial_json;
                (!json.is_empty()).then_some(Delta::ToolInput { index, json })
            }
            (Body::Other { input }, "input_json_delta") => {
                input.push_str(&piece.partial_json);
                None
            }
            _ => None,
        }
    }

    fn close(self) -> Block {
        let mut rest = self.rest;
        match self.body {
            Body::Text { text, citations } => {
                if !citations.is_empty() {
                    rest.put("citations", citations);
                }
                Block::Text { text, extra: extra(rest) }
            }
            Body::Thinking { thinking, signature } => {
                let signature = (!signature.is_empty()).then_some(signature);
                Block::Thinking { thinking, signature, extra: extra(rest) }
            }
            Body::ToolUse { id, name, start, input } => {
                let written = start.map(|raw| raw.get().to_owned()).filter(|_| input.is_empty());
                let (input, malformed) = Json::tool_input(&written.unwrap_or(input));
                Block::ToolUse { id, name, input, malformed, extra: extra(rest) }
            }
            Body::Other { input } => {
                if let Ok(input) = Json::parse(&input) {
                    rest.put("input", input.raw());
                }
                other(&rest)
            }
        }
    }
}

fn extra(mut rest: Object) -> Option<Json> {
    rest.take("type");
    rest.into_extra()
}

fn other(rest: &Object) -> Block {
    let mut copy = rest.clone();
    match (copy.take_string("type").as_deref(), copy.take_string("data")) {
        (Some("redacted_thinking"), Some(data)) if copy.into_extra().is_none() => {
            Block::RedactedThinking { data }
        }
        _ => Block::Other { json: rest.to_json() },
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Error> {
    serde_json::from_str(data)
        .map_err(|error| Error::protocol(format!("an event cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [&str; 8] = [
        r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"t","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":5}}"#,
        r#"{"type":"message_stop"}"#,
    ];

    proptest! {
        /// Events in any order, some of them damaged: an answer or an error, never a panic, and
        /// never an answer without its beginning and its end.
        #[test]
        fn hostile_streams_end_in_an_answer_or_an_error(
            picks in proptest::collection::vec((0..EVENTS.len(), proptest::option::weighted(0.2, (any::<prop::sample::Index>(), any::<char>()))), 0..16),
        ) {
            let mut decoder = Decoder::default();
            for (pick, damage) in picks {
                let mut text: Vec<char> = EVENTS[pick].chars().collect();
                if let Some((at, with)) = damage {
                    let at = at.index(text.len());
                    text[at] = with;
                }
                let text: String = text.into_iter().collect();
                if decoder.event(&text, &mut |_| ()).is_err() {
                    return Ok(());
                }
            }
            let is_whole = decoder.started.is_some() && decoder.stop.is_some();
            prop_assert_eq!(decoder.finish(None, "hash").is_ok(), is_whole);
        }
    }
}
