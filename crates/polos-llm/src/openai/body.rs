//! Makes the body of a Chat Completions request: the same request gives the same bytes.

use serde_json::value::{RawValue, to_raw_value};

use super::Dialect;
use crate::error::Error;
use crate::message::{Block, ImageSource, Message, Role, join_text};
use crate::object::Object;
use crate::request::{Effort, Request, Thinking, ToolChoice, ToolSpec, with_extra};

const SCHEMA_NAME: &str = "output";

pub(super) fn assemble(request: &Request, dialect: Dialect) -> Result<Vec<u8>, Error> {
    let tools = tools(request);
    let has_tools = !tools.is_empty();
    let tokens_field = match dialect {
        Dialect::OpenAi => "max_completion_tokens",
        Dialect::Compatible => "max_tokens",
    };
    let body = Object::default()
        .with("model", &request.model)
        .with_some(tokens_field, request.max_tokens)
        .with_some("temperature", request.temperature)
        .with_some("stop", Some(&request.stop_sequences).filter(|stop| !stop.is_empty()))
        .with_some("reasoning_effort", effort(request))
        .with_some("response_format", response_format(request))
        .with_some("prompt_cache_key", request.cache_key.as_ref())
        .with_some("tool_choice", tool_choice(request).filter(|_| has_tools))
        .with_some("parallel_tool_calls", (has_tools && request.single_tool).then_some(false))
        .with_some("tools", has_tools.then_some(tools))
        .with("messages", messages(request)?)
        .with("stream", true)
        .with("stream_options", Object::default().with("include_usage", true));
    let body = with_extra(body, &request.extra)?;
    Ok(body.to_json().as_str().as_bytes().to_vec())
}

fn tools(request: &Request) -> Vec<Object> {
    let mut tools: Vec<&ToolSpec> = request.tools.iter().collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let write = |tool: &ToolSpec| {
        let function = Object::default()
            .with("name", &tool.name)
            .with("description", &tool.description)
            .with_canonical("parameters", &tool.input_schema);
        Object::of_type("function").with("function", function)
    };
    tools.into_iter().map(write).collect()
}

fn tool_choice(request: &Request) -> Option<Box<RawValue>> {
    let word = |word: &str| to_raw_value(word).ok();
    match &request.tool_choice {
        ToolChoice::Auto => None,
        ToolChoice::Any => word("required"),
        ToolChoice::None => word("none"),
        ToolChoice::Tool(name) => {
            let function = Object::default().with("name", name);
            Some(Object::of_type("function").with("function", function).to_json().raw())
        }
    }
}

fn effort(request: &Request) -> Option<&'static str> {
    match (request.effort, request.thinking) {
        (Some(effort), _) => Some(Effort::as_str(effort)),
        (None, Thinking::Off) => Some("none"),
        (None, _) => None,
    }
}

fn response_format(request: &Request) -> Option<Object> {
    let schema = request.output_schema.as_ref()?;
    let named = Object::default()
        .with("name", SCHEMA_NAME)
        .with("strict", true)
        .with_canonical("schema", schema);
    Some(Object::of_type("json_schema").with("json_schema", named))
}

fn messages(request: &Request) -> Result<Vec<Object>, Error> {
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    let system = request.system.iter().map(|block| block.text.as_str());
    let system: Vec<&str> = system.filter(|text| !is_blank(text)).collect();
    if !system.is_empty() {
        messages.push(message("system").with("content", system.join("\n\n")));
    }
    for (index, said) in request.messages.iter().enumerate() {
        match said.role {
            Role::Assistant => messages.extend(assistant(said)),
            Role::User => {
                let before = messages.len();
                user(said, &mut messages);
                if messages.len() == before {
                    return Err(Error::invalid(format!(
                        "message {index} of the user says nothing"
                    )));
                }
            }
        }
    }
    Ok(messages)
}

fn message(role: &str) -> Object {
    Object::default().with("role", role)
}

/// Reasoning is left out: there is no field for it that all servers accept.
fn assistant(said: &Message) -> Option<Object> {
    let text = join_text(&said.content);
    let calls: Vec<Object> = said.content.iter().filter_map(tool_call).collect();
    if is_blank(&text) && calls.is_empty() {
        return None;
    }
    let content = (!is_blank(&text)).then_some(text);
    let calls = (!calls.is_empty()).then_some(calls);
    Some(message("assistant").with("content", content).with_some("tool_calls", calls))
}

fn tool_call(block: &Block) -> Option<Object> {
    let Block::ToolUse { id, name, input, .. } = block else { return None };
    let function = Object::default().with("name", name).with("arguments", input.as_str());
    Some(Object::default().with("id", id).with("type", "function").with("function", function))
}

/// Results come first, each as a message of its own; what else was said follows. A tool's message
/// can hold text only, so its images are said by the user, after all texts.
fn user(said: &Message, messages: &mut Vec<Object>) {
    let mut parts: Vec<Object> = Vec::new();
    for block in &said.content {
        if let Block::ToolResult { tool_use_id, content, .. } = block {
            let result = message("tool").with("tool_call_id", tool_use_id);
            messages.push(result.with("content", join_text(content)));
            parts.extend(content.iter().filter_map(image));
        }
    }
    let texts: Vec<&str> = said.content.iter().filter_map(text).collect();
    parts.extend(said.content.iter().filter_map(image));
    if !parts.is_empty() {
        let texts = texts.iter().map(|text| Object::of_type("text").with("text", text));
        messages.push(message("user").with("content", texts.chain(parts).collect::<Vec<_>>()));
    } else if !texts.is_empty() {
        messages.push(message("user").with("content", texts.join("\n\n")));
    }
}

fn text(block: &Block) -> Option<&str> {
    match block {
        Block::Text { text, .. } if !is_blank(text) => Some(text),
        _ => None,
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn image(block: &Block) -> Option<Object> {
    let Block::Image { source } = block else { return None };
    let url = match source {
        ImageSource::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        ImageSource::Url { url } => url.clone(),
    };
    Some(Object::of_type("image_url").with("image_url", Object::default().with("url", url)))
}
