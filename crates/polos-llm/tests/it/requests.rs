//! The bytes of requests: fixed, growing only at the end, marked for caching within the rules.

use polos_llm::{
    Anthropic, AnthropicOptions, Block, CacheFor, Effort, ErrorKind, ImageSource, Json, Message,
    OpenAi, OpenAiOptions, Provider, Request, Secret, Thinking, ToolChoice, ToolSpec,
};
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

const MARKER: &str = r#","cache_control":{"type":"ephemeral"}"#;

fn anthropic() -> Anthropic {
    Anthropic::new(AnthropicOptions {
        base_url: "http://127.0.0.1:1".into(),
        ..AnthropicOptions::new(Secret::new("k"))
    })
    .unwrap()
}

fn openai() -> OpenAi {
    OpenAi::new(OpenAiOptions::new(Secret::new("k")).with_base_url("http://127.0.0.1:1")).unwrap()
}

fn body(provider: &dyn Provider, request: &Request) -> String {
    String::from_utf8(provider.prepare(request).unwrap().body().to_vec()).unwrap()
}

fn tool(name: &str) -> ToolSpec {
    let input_schema = json!({"type": "object", "properties": {"z": {}, "a": {}}});
    ToolSpec { name: name.into(), description: format!("does {name}"), input_schema }
}

fn full() -> Request {
    Request {
        model: "claude-sonnet-4-6".into(),
        system: vec!["You mend code.".into(), " ".into()],
        messages: vec![
            Message::user("go"),
            Message::assistant(vec![
                Block::Thinking {
                    thinking: "hm".into(),
                    signature: Some("s==".into()),
                    extra: None,
                },
                Block::text("  "),
                Block::tool_use("t/1", "read", Json::parse(r#"{"z":1.0,"a":2}"#).unwrap()),
                Block::tool_use("t2", "list", Json::empty_object()),
            ]),
            Message {
                content: vec![
                    Block::text("also"),
                    Block::tool_result("t/1", "text"),
                    Block::tool_error("t2", ""),
                ],
                ..Message::user("")
            },
        ],
        tools: vec![tool("read"), tool("list")],
        ..Request::default()
    }
}

#[test]
fn anthropic_gets_this() {
    assert_eq!(
        body(&anthropic(), &full()),
        concat!(
            r#"{"model":"claude-sonnet-4-6","max_tokens":32000,"tools":["#,
            r#"{"name":"list","description":"does list","input_schema":{"properties":{"a":{},"z":{}},"type":"object"}},"#,
            r#"{"name":"read","description":"does read","input_schema":{"properties":{"a":{},"z":{}},"type":"object"}}],"#,
            r#""system":[{"type":"text","text":"You mend code."}],"messages":["#,
            r#"{"role":"user","content":[{"type":"text","text":"go"}]},"#,
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s=="},"#,
            r#"{"type":"tool_use","id":"t_1","name":"read","input":{"z":1.0,"a":2}},"#,
            r#"{"type":"tool_use","id":"t2","name":"list","input":{}}]},"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t_1","content":[{"type":"text","text":"text"}]},"#,
            r#"{"type":"tool_result","tool_use_id":"t2","is_error":true},"#,
            r#"{"type":"text","text":"also","cache_control":{"type":"ephemeral"}}]}],"stream":true}"#,
        )
    );
}

#[test]
fn openai_gets_this() {
    assert_eq!(
        body(&openai(), &full()),
        concat!(
            r#"{"model":"claude-sonnet-4-6","tools":["#,
            r#"{"type":"function","function":{"name":"list","description":"does list","parameters":{"properties":{"a":{},"z":{}},"type":"object"}}},"#,
            r#"{"type":"function","function":{"name":"read","description":"does read","parameters":{"properties":{"a":{},"z":{}},"type":"object"}}}],"#,
            r#""messages":[{"role":"system","content":"You mend code."},"#,
            r#"{"role":"user","content":"go"},"#,
            r#"{"role":"assistant","content":null,"tool_calls":["#,
            r#"{"id":"t/1","type":"function","function":{"name":"read","arguments":"{\"z\":1.0,\"a\":2}"}},"#,
            r#"{"id":"t2","type":"function","function":{"name":"list","arguments":"{}"}}]},"#,
            r#"{"role":"tool","tool_call_id":"t/1","content":"text"},"#,
            r#"{"role":"tool","tool_call_id":"t2","content":""},"#,
            r#"{"role":"user","content":"also"}],"stream":true,"stream_options":{"include_usage":true}}"#,
        )
    );
}

#[test]
fn options_are_written_for_each_provider() {
    let request = Request {
        max_tokens: Some(5),
        temperature: Some(0.5),
        thinking: Thinking::Budget(2_000),
        effort: Some(Effort::High),
        stop_sequences: vec!["END".into()],
        output_schema: Some(json!({"type": "object", "b": 1, "a": 2})),
        tool_choice: ToolChoice::Tool("read".into()),
        single_tool: true,
        cache_key: Some("session".into()),
        cache: CacheFor::OneHour,
        extra: json!({"service_tier": "auto", "metadata": {"z": 1, "a": 2}})
            .as_object()
            .unwrap()
            .clone(),
        tools: vec![tool("read")],
        ..Request::new("m", "go")
    };
    let written: Value = serde_json::from_str(&body(&anthropic(), &request)).unwrap();
    for (field, expected) in [
        ("max_tokens", json!(5)),
        ("temperature", json!(0.5)),
        ("thinking", json!({"type": "enabled", "budget_tokens": 2_000})),
        (
            "output_config",
            json!({"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object", "b": 1, "a": 2}}}),
        ),
        ("stop_sequences", json!(["END"])),
        ("tool_choice", json!({"type": "tool", "name": "read", "disable_parallel_tool_use": true})),
        ("service_tier", json!("auto")),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "text", "text": "go",
                "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]),
        ),
    ] {
        assert_eq!(written[field], expected, "{field}");
    }
    let written: Value = serde_json::from_str(&body(&openai(), &request)).unwrap();
    for (field, expected) in [
        ("max_tokens", json!(5)),
        ("reasoning_effort", json!("high")),
        ("stop", json!(["END"])),
        ("tool_choice", json!({"type": "function", "function": {"name": "read"}})),
        ("parallel_tool_calls", json!(false)),
        ("prompt_cache_key", json!("session")),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema":
                {"name": "output", "strict": true, "schema": {"type": "object", "b": 1, "a": 2}}}),
        ),
        ("metadata", json!({"z": 1, "a": 2})),
    ] {
        assert_eq!(written[field], expected, "{field}");
    }
}

#[test]
fn images_go_where_each_provider_takes_them() {
    let data = ImageSource::Base64 { media_type: "image/png".into(), data: "AA==".into() };
    let image = Block::Image { source: data };
    let mut request = Request::new("m", "look");
    request.messages[0]
        .content
        .push(Block::Image { source: ImageSource::Url { url: "https://x/y".into() } });
    request.messages.push(Message::assistant(vec![Block::tool_use(
        "a",
        "shot",
        Json::empty_object(),
    )]));
    let result = Block::ToolResult {
        tool_use_id: "a".into(),
        content: vec![Block::text("here"), image],
        is_error: false,
    };
    request.messages.push(Message::tool_results(vec![result]));
    let written = body(&anthropic(), &request);
    assert!(written.contains(r#"{"type":"image","source":{"type":"url","url":"https://x/y"}}"#));
    assert!(written.contains(
        r#"{"type":"text","text":"here"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}]"#
    ));
    let written = body(&openai(), &request);
    assert!(written.contains(
        r#"{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"https://x/y"}}]}"#
    ));
    assert!(written.contains(
        r#"{"role":"tool","tool_call_id":"a","content":"here"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}"#
    ));
}

#[test]
fn requests_that_every_provider_refuses_are_refused_here() {
    let call = || Message::assistant(vec![Block::tool_use("a", "t", Json::empty_object())]);
    let result = |id: &str| Message::tool_results(vec![Block::tool_result(id, "x")]);
    let with = |messages: Vec<Message>| Request { messages, ..Request::new("m", "") };
    let cases = [
        (Request::default(), "the request names no model"),
        (with(vec![]), "the request has no messages"),
        (with(vec![Message::user("a"), call()]), "tool call `a` at the end has no result"),
        (
            with(vec![Message::user("a"), call(), Message::user("b")]),
            "tool call `a` has no result in message 2",
        ),
        (
            with(vec![Message::user("a"), call(), result("b")]),
            "tool call `a` has no result in message 2",
        ),
        (
            with(vec![Message::user("a"), result("b")]),
            "message 1 answers tool call `b`, which the turn before did not make",
        ),
        (with(vec![Message::user(" ")]), "message 0 of the user says nothing"),
        (
            Request { tools: vec![tool("x"), tool("x")], ..Request::new("m", "a") },
            "tool `x` is declared twice",
        ),
        (
            Request {
                extra: json!({"stream": false}).as_object().unwrap().clone(),
                ..Request::new("m", "a")
            },
            "`extra.stream` is already set by the request",
        ),
    ];
    for (request, expected) in cases {
        let error = anthropic().prepare(&request).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidRequest, expected));
    }
}

#[test]
fn a_paused_turn_is_sent_back_as_it_is() {
    let mut request = full();
    let search = r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#;
    let paused = vec![Block::Other { json: Json::parse(search).unwrap() }];
    request.messages.push(Message::assistant(paused));
    assert!(
        body(&anthropic(), &request)
            .contains(&format!(r#"{{"role":"assistant","content":[{search}]}}]"#))
    );
}

#[test]
fn neither_agent_nor_attempt_nor_order_of_tools_changes_the_bytes() {
    let request = full();
    let mut other = request.clone();
    other.tools.reverse();
    (other.agent, other.attempt) = (Some("coder".into()), 3);
    for provider in [&anthropic() as &dyn Provider, &openai()] {
        let (a, b) = (provider.prepare(&request).unwrap(), provider.prepare(&other).unwrap());
        assert_eq!((a.body(), a.hash()), (b.body(), b.hash()));
        assert_eq!(a.hash().len(), 64);
    }
}

#[test]
fn a_static_prefix_that_can_be_cached_is_marked() {
    let mut request = full();
    let marks = |request: &Request| body(&anthropic(), request).matches(MARKER).count();
    assert_eq!(marks(&request), 1, "the prefix is too short for the provider to keep");
    request.system = vec!["x".repeat(4_000).into()];
    assert_eq!(marks(&request), 2);
    assert!(body(&anthropic(), &request).contains(&format!(r#"xxx"{MARKER}}}],"messages""#)));
    request.system.clear();
    request.tools[0].description = "x".repeat(4_000);
    assert!(
        body(&anthropic(), &request)
            .contains(&format!(r#""type":"object"}}{MARKER}}}],"messages""#))
    );
    request.cache = CacheFor::Off;
    assert_eq!(marks(&request), 0);
    request.cache = CacheFor::OneHour;
    assert_eq!(body(&anthropic(), &request).matches(r#""ttl":"1h""#).count(), 2);
}

/// One turn of an agent: what it says and which tools it calls, and the results.
fn turn() -> impl Strategy<Value = (Vec<Block>, Vec<Block>)> {
    let arguments = prop_oneof![Just("{}"), Just(r#"{"b":1.0,"a":"x"}"#), Just(r#"{"path": "é"}"#)];
    (any::<bool>(), "[a-z \n]{0,12}", proptest::collection::vec(arguments, 0..4), "[a-z]{1,9}")
        .prop_map(|(thinks, said, calls, heard)| {
            let (mut says, mut hears) = (Vec::new(), Vec::new());
            if thinks {
                let (thinking, signature) = ("hm".into(), Some("sig".into()));
                says.push(Block::Thinking { thinking, signature, extra: None });
            }
            says.push(Block::text(said));
            for (index, input) in calls.into_iter().enumerate() {
                let id = format!("t{index}");
                says.push(Block::tool_use(&id, "read", Json::parse(input).unwrap()));
                hears.push(Block::tool_result(&id, &heard));
            }
            hears.push(Block::text(heard));
            (says, hears)
        })
}

/// The messages as they were written, markers taken out.
fn frozen(body: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        messages: Vec<Box<RawValue>>,
    }
    let body: Body = serde_json::from_str(body).unwrap();
    body.messages.iter().map(|message| message.get().replace(MARKER, "")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_conversation_only_grows(turns in proptest::collection::vec(turn(), 1..25)) {
        let mut request = Request { tools: vec![tool("read")], ..full() };
        request.messages = vec![Message::user("go")];
        request.system = vec!["x".repeat(4_000).into()];
        let providers: [Box<dyn Provider>; 2] = [Box::new(anthropic()), Box::new(openai())];
        let mut before = [Vec::new(), Vec::new()];
        for (says, hears) in turns {
            request.messages.push(Message::assistant(says));
            request.messages.push(Message::tool_results(hears));
            for (provider, before) in providers.iter().map(AsRef::as_ref).zip(&mut before) {
                let written = body(provider, &request);
                prop_assert!(written.matches(MARKER).count() <= 4);
                prop_assert!(serde_json::from_str::<Value>(&written).is_ok());
                let now = frozen(&written);
                prop_assert!(now.len() > before.len());
                prop_assert_eq!(&now[..before.len()], &before[..]);
                prop_assert_eq!(body(provider, &request.clone()), written);
                *before = now;
            }
        }
    }
}
