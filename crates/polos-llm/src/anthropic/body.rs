//! Makes the body of a request: the same request gives the same bytes, and a longer conversation
//! gives the same bytes and more.
//!
//! Every content list is written as a list of blocks, even where a string would do, so that a
//! marker's coming and going changes nothing but the marker.

use std::borrow::Cow;

use serde::Serialize;

use super::markers::{self, Kind};
use crate::caps;
use crate::error::Error;
use crate::message::{Block, ImageSource, Message, Role};
use crate::models::{ModelFacts, model_facts};
use crate::object::Object;
use crate::request::{CacheFor, Effort, Request, Thinking, ToolChoice};

/// No tokenizer makes fewer bytes than this of a token of prose or code; where even that estimate
/// is below the shortest prefix that is cached, a marker is left out.
const BYTES_PER_TOKEN_MIN: u64 = 2;

pub(super) fn assemble(request: &Request) -> Result<Vec<u8>, Error> {
    let facts = model_facts(&request.model);
    let marker = marker(request.cache);
    let (mut tools, mut system) = (tools(request), system(request));
    let mut slots = caps::MARKERS_MAX;
    if let Some(marker) = &marker
        && is_cacheable(&facts, size(&tools) + size(&system))
        && let Some(last) = system.last_mut().or(tools.last_mut())
    {
        last.put("cache_control", marker);
        slots -= 1;
    }
    let mut messages = messages(request)?;
    if let Some(marker) = &marker {
        mark(&mut messages, slots, marker);
    }
    let body = Object::default()
        .with("model", &request.model)
        .with("max_tokens", request.max_tokens.unwrap_or(facts.max_tokens))
        .with_some("temperature", request.temperature)
        .with_some("stop_sequences", some_list(&request.stop_sequences))
        .with_some("thinking", thinking(request.thinking))
        .with_some("output_config", output_config(request))
        .with_some("tool_choice", tool_choice(request))
        .with_some("tools", some_list(&tools))
        .with_some("system", some_list(&system))
        .with("messages", &messages)
        .with("stream", true);
    let body = crate::request::with_extra(body, &request.extra)?;
    Ok(body.to_json().as_str().as_bytes().to_vec())
}

/// Is a message ready to be written.
#[derive(Serialize)]
struct Written {
    role: &'static str,
    content: Vec<Object>,
    #[serde(skip)]
    kinds: Vec<Kind>,
}

fn marker(cache: CacheFor) -> Option<Object> {
    let marker = Object::of_type("ephemeral");
    match cache {
        CacheFor::Off => None,
        CacheFor::FiveMinutes => Some(marker),
        CacheFor::OneHour => Some(marker.with("ttl", "1h")),
    }
}

fn is_cacheable(facts: &ModelFacts, bytes: usize) -> bool {
    bytes as u64 / BYTES_PER_TOKEN_MIN >= facts.cache_prefix_min
}

fn size(objects: &[Object]) -> usize {
    objects.iter().map(|object| object.to_json().as_str().len()).sum()
}

fn mark(messages: &mut [Written], slots: usize, marker: &Object) {
    let kinds: Vec<Vec<Kind>> = messages.iter().map(|message| message.kinds.clone()).collect();
    for (m, b) in markers::place(&kinds, slots) {
        messages[m].content[b].put("cache_control", marker);
    }
}

fn some_list<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn tools(request: &Request) -> Vec<Object> {
    let mut tools: Vec<_> = request.tools.iter().collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let write = |tool: &crate::request::ToolSpec| {
        Object::default()
            .with("name", &tool.name)
            .with("description", &tool.description)
            .with_canonical("input_schema", &tool.input_schema)
    };
    tools.into_iter().map(write).collect()
}

fn system(request: &Request) -> Vec<Object> {
    let texts = request.system.iter().map(|block| block.text.as_str());
    texts.filter(|text| !is_blank(text)).map(text).collect()
}

fn messages(request: &Request) -> Result<Vec<Written>, Error> {
    let mut messages = Vec::with_capacity(request.messages.len());
    for (index, message) in request.messages.iter().enumerate() {
        let written = write(message);
        match (written.content.is_empty(), message.role) {
            (false, _) => messages.push(written),
            // The model said nothing that may be sent back.
            (true, Role::Assistant) => {}
            (true, Role::User) => {
                return Err(Error::invalid(format!("message {index} of the user says nothing")));
            }
        }
    }
    Ok(messages)
}

fn write(message: &Message) -> Written {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let is_result = |block: &&Block| matches!(block, Block::ToolResult { .. });
    // The API wants the results before anything else that the user says.
    let (results, others): (Vec<_>, Vec<_>) = message.content.iter().partition(is_result);
    let blocks = results.into_iter().chain(others).filter_map(block);
    let (content, kinds) = blocks.unzip();
    Written { role, content, kinds }
}

/// Writes a block, or leaves out what the API would refuse.
fn block(block: &Block) -> Option<(Object, Kind)> {
    Some(match block {
        Block::Text { text: said, .. } if is_blank(said) => return None,
        Block::Text { text: said, extra } => (text(said).with_all(extra.as_ref()), Kind::Plain),
        Block::Thinking { signature: None, .. } => return None,
        Block::Thinking { thinking, signature, extra } => {
            let object = Object::of_type("thinking")
                .with("thinking", thinking)
                .with_some("signature", signature.as_ref())
                .with_all(extra.as_ref());
            (object, Kind::Unmarkable)
        }
        Block::RedactedThinking { data } => {
            (Object::of_type("redacted_thinking").with("data", data), Kind::Unmarkable)
        }
        Block::ToolUse { id, name, input, extra, .. } => {
            let object = Object::of_type("tool_use")
                .with("id", tool_id(id))
                .with("name", name)
                .with("input", input.raw())
                .with_all(extra.as_ref());
            (object, Kind::ToolUse)
        }
        Block::ToolResult { tool_use_id, content, is_error } => {
            (tool_result(tool_use_id, content, *is_error), Kind::ToolResult)
        }
        Block::Image { source } => (image(source), Kind::Plain),
        Block::Other { json } => (json.to().ok()?, Kind::Unmarkable),
    })
}

fn text(said: &str) -> Object {
    Object::of_type("text").with("text", said)
}

fn tool_result(id: &str, content: &[Block], is_error: bool) -> Object {
    let content: Vec<Object> = content.iter().filter_map(block).map(|(object, _)| object).collect();
    Object::of_type("tool_result")
        .with("tool_use_id", tool_id(id))
        .with_some("content", some_list(&content))
        .with_some("is_error", is_error.then_some(true))
}

fn image(source: &ImageSource) -> Object {
    let source = match source {
        ImageSource::Base64 { media_type, data } => {
            Object::of_type("base64").with("media_type", media_type).with("data", data)
        }
        ImageSource::Url { url } => Object::of_type("url").with("url", url),
    };
    Object::of_type("image").with("source", source)
}

/// The API takes letters, digits, `_` and `-`; another provider's ids may have more.
fn tool_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.chars().all(fits) {
        Cow::Borrowed(id)
    } else {
        Cow::Owned(id.chars().map(|c| if fits(c) { c } else { '_' }).collect())
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn thinking(thinking: Thinking) -> Option<Object> {
    match thinking {
        Thinking::Default => None,
        Thinking::Off => Some(Object::of_type("disabled")),
        Thinking::Adaptive => Some(Object::of_type("adaptive")),
        Thinking::Budget(tokens) => Some(Object::of_type("enabled").with("budget_tokens", tokens)),
    }
}

fn output_config(request: &Request) -> Option<Object> {
    let effort = request.effort.map(Effort::as_str);
    let format = request.output_schema.as_ref();
    let format =
        format.map(|schema| Object::of_type("json_schema").with_canonical("schema", schema));
    (effort.is_some() || format.is_some())
        .then(|| Object::default().with_some("effort", effort).with_some("format", format))
}

fn tool_choice(request: &Request) -> Option<Object> {
    if request.tools.is_empty() {
        return None;
    }
    let single = request.single_tool.then_some(true);
    let choice = match &request.tool_choice {
        ToolChoice::Auto if single.is_none() => return None,
        ToolChoice::None => return Some(Object::of_type("none")),
        ToolChoice::Auto => Object::of_type("auto"),
        ToolChoice::Any => Object::of_type("any"),
        ToolChoice::Tool(name) => Object::of_type("tool").with("name", name),
    };
    Some(choice.with_some("disable_parallel_tool_use", single))
}
