//! Anthropic's stream, read.

use polos_llm::{Block, Delta, ErrorKind, Json, Message, StopReason, Usage};
use serde_json::json;

use crate::fake::{Answer, Fake, call, events, hello};

const START: &str = r#"{"type":"message_start","message":{"id":"msg_01A","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":0,"cache_read_input_tokens":4096,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

/// Thinking, text and a tool call; shapes as in the vendor's SDK, values invented.
fn golden() -> String {
    events(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Need the "}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"weather."}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM+/=="}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Là – "}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"☔."}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_01X","name":"get_weather","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Par"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"is\", \"at\": 1.50}"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":57}}"#,
        STOP,
    ])
}

fn stream_of(blocks: &[&str], stop: &str) -> String {
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{stop}"}},"usage":{{"output_tokens":5}}}}"#
    );
    let list: Vec<&str> =
        [START].into_iter().chain(blocks.iter().copied()).chain([delta.as_str(), STOP]).collect();
    events(&list)
}

#[tokio::test]
async fn reads_thinking_text_and_a_tool_call() {
    let fake = Fake::start([Answer::stream(golden()).header("request-id", "req_7")]).await;
    let (deltas, response) = call(&fake.anthropic(), &hello()).await;
    let response = response.unwrap();
    assert_eq!(
        serde_json::to_value(&response.content).unwrap(),
        json!([
            {"type": "thinking", "thinking": "Need the weather.", "signature": "EqQBCgIYAhIM+/=="},
            {"type": "text", "text": "Là – ☔."},
            {"type": "tool_use", "id": "toolu_01X", "name": "get_weather",
             "input": "{\"city\": \"Paris\", \"at\": 1.50}"},
        ])
    );
    assert_eq!(response.stop, StopReason::ToolUse);
    assert_eq!(
        response.usage,
        Usage { input_uncached: 12, cache_read: 4_096, output: 57, ..Usage::default() }
    );
    assert!(response.usage_reported);
    assert_eq!(response.model, "claude-sonnet-5-5");
    assert_eq!(response.id.as_deref(), Some("msg_01A"));
    assert_eq!(response.request_id.as_deref(), Some("req_7"));
    let text = |text: &str| Delta::Text { text: text.into() };
    let thinking = |text: &str| Delta::Thinking { text: text.into() };
    let input = |json: &str| Delta::ToolInput { index: 2, json: json.into() };
    assert_eq!(
        deltas,
        [
            Delta::Started { model: "claude-sonnet-5-5".into() },
            thinking("Need the "),
            thinking("weather."),
            text("Là – "),
            text("☔."),
            Delta::ToolStart { index: 2, id: "toolu_01X".into(), name: "get_weather".into() },
            input("{\"city\": \"Par"),
            input("is\", \"at\": 1.50}"),
        ]
    );
}

#[tokio::test]
async fn what_was_said_goes_back_byte_for_byte_even_through_a_journal() {
    let blocks = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"Enc+/=="}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":[]}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"z":1,"a":2.0}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"quoted"}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"query\":1.0}"}}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"z":0,"a":1}]}}"#,
        r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"t","input":{},"caller":{"type":"direct"}}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"z\":1.10,\"a\":12345678901234567890}"}}"#,
    ];
    let fake = Fake::start([Answer::stream(stream_of(&blocks, "tool_use"))]).await;
    let provider = fake.anthropic();
    let response = polos_llm::complete(&provider, &hello()).await.unwrap();
    // A journal that sorts keys must not change what is sent next.
    let sorted = serde_json::to_value(&response).unwrap();
    let replayed: polos_llm::Response = serde_json::from_value(sorted).unwrap();
    assert_eq!(replayed, response);
    let mut request = hello();
    request.messages.push(replayed.message());
    request.messages.push(Message::tool_results(vec![Block::tool_result("toolu_1", "done")]));
    let prepared = polos_llm::Provider::prepare(&provider, &request).unwrap();
    let body = std::str::from_utf8(prepared.body()).unwrap();
    for exact in [
        r#"{"type":"redacted_thinking","data":"Enc+/=="}"#,
        r#"{"type":"text","text":"quoted","citations":[{"z":1,"a":2.0}]}"#,
        r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":1.0}}"#,
        r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"z":0,"a":1}]}"#,
        r#"{"type":"tool_use","id":"toolu_1","name":"t","input":{"z":1.10,"a":12345678901234567890},"caller":{"type":"direct"}}"#,
    ] {
        assert!(body.contains(exact), "{exact}\nis not in\n{body}");
    }
}

#[tokio::test]
async fn two_tool_calls_may_be_written_at_once() {
    let blocks = [
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"a","name":"first","input":{}}}"#,
        r#"{"type":"content_block_start","index":9,"content_block":{"type":"tool_use","id":"b","name":"second","input":{}}}"#,
        r#"{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{\"n\""}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"m\":"}}"#,
        r#"{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":":2}"}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
    ];
    let fake = Fake::start([Answer::stream(stream_of(&blocks, "tool_use"))]).await;
    let response = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap();
    let json = |text: &str| Json::parse(text).unwrap();
    assert_eq!(
        response.content,
        [
            Block::tool_use("a", "first", json(r#"{"m":1}"#)),
            Block::tool_use("b", "second", json(r#"{"n":2}"#)),
        ]
    );
    assert_eq!(response.tool_uses().count(), 2);
}

#[tokio::test]
async fn arguments_may_be_empty_whole_or_broken() {
    let call = |input: &str, pieces: &[&str]| {
        let start = format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"a","name":"t","input":{input}}}}}"#
        );
        let piece = |json: &&str| {
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": json}})
            .to_string()
        };
        let list: Vec<String> = std::iter::once(start).chain(pieces.iter().map(piece)).collect();
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        Answer::stream(stream_of(&list, "tool_use"))
    };
    let answers = [
        call("{}", &[]),
        call("{}", &["", ""]),
        call(r#"{"a":1}"#, &[]),
        call("{}", &["{\"a\": tr"]),
        call("{}", &["[1]"]),
    ];
    let fake = Fake::start(answers).await;
    let provider = fake.anthropic();
    let expected = [
        ("{}", None),
        ("{}", None),
        (r#"{"a":1}"#, None),
        ("{}", Some("{\"a\": tr")),
        ("{}", Some("[1]")),
    ];
    for (expected_input, expected_malformed) in expected {
        let response = polos_llm::complete(&provider, &hello()).await.unwrap();
        let Block::ToolUse { input, malformed, .. } = &response.content[0] else { panic!() };
        assert_eq!((input.as_str(), malformed.as_deref()), (expected_input, expected_malformed));
    }
}

#[tokio::test]
async fn the_unknown_is_passed_over() {
    let stream = events(&[
        r#"{"type":"before_all","x":1}"#,
        &START.replace(r#""id""#, r#""new_field":{"a":[1]},"id""#),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"},"extra":1}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"sparkle_delta","sparkle":"*"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"new_reason","stop_details":{}},"usage":{"output_tokens":2,"new_tokens":7}}"#,
        STOP,
        r#"{"type":"after_all"}"#,
    ]);
    let fake = Fake::start([Answer::stream(stream)]).await;
    let response = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap();
    assert_eq!(response.text(), "ab");
    assert_eq!(response.stop, StopReason::Other("new_reason".into()));
}

#[tokio::test]
async fn each_stop_reason_is_told() {
    let words = [
        ("end_turn", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("pause_turn", StopReason::PauseTurn),
        ("refusal", StopReason::Refusal),
        ("model_context_window_exceeded", StopReason::ContextWindow),
    ];
    let fake =
        Fake::start(words.iter().map(|(word, _)| Answer::stream(stream_of(&[], word)))).await;
    for (_, expected) in words {
        let response = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap();
        assert_eq!(response.stop, expected);
    }
}

#[tokio::test]
async fn usage_is_replaced_not_added_and_split_by_time_kept() {
    let usage = |start: &str, end: &str| {
        Answer::stream(events(&[
            &format!(r#"{{"type":"message_start","message":{{"model":"m","usage":{start}}}}}"#),
            &format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{end}}}"#
            ),
            STOP,
        ]))
    };
    let table = [
        (r#"{"input_tokens":10,"output_tokens":1}"#, r#"{"output_tokens":9}"#, [10, 0, 0, 0, 9, 0]),
        (
            r#"{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":1}"#,
            r#"{"input_tokens":20,"cache_read_input_tokens":5,"cache_creation_input_tokens":7,"output_tokens":9}"#,
            [20, 5, 7, 0, 9, 0],
        ),
        (
            r#"{"input_tokens":1,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}"#,
            r#"{"output_tokens":9,"cache_read_input_tokens":null,"output_tokens_details":{"thinking_tokens":4}}"#,
            [1, 0, 10, 20, 9, 4],
        ),
        (
            r#"{"input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":20}}"#,
            r#"{"output_tokens":0}"#,
            [1, 0, 0, 20, 0, 0],
        ),
    ];
    let fake = Fake::start(table.iter().map(|(start, end, _)| usage(start, end))).await;
    for (_, _, expected) in table {
        let response = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap();
        let got = response.usage;
        let got = [
            got.input_uncached,
            got.cache_read,
            got.cache_write_short,
            got.cache_write_long,
            got.output,
            got.reasoning,
        ];
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_is_an_error() {
    let delta =
        r#"{"type":"content_block_delta","index":5,"delta":{"type":"text_delta","text":"b"}}"#;
    let block =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}"#;
    let cases = [
        (events(&[START, delta]), ErrorKind::Protocol),
        (events(&[START, block, block]), ErrorKind::Protocol),
        ("event: message_start\ndata: {oops\n\n".to_owned(), ErrorKind::Protocol),
        (events(&[START, STOP]), ErrorKind::Truncated),
        (events(&[START, block]), ErrorKind::Truncated),
        (String::new(), ErrorKind::Truncated),
        (golden().trim_end().to_owned(), ErrorKind::Truncated),
    ];
    let fake = Fake::start(cases.iter().map(|(stream, _)| Answer::stream(stream))).await;
    for (stream, expected) in cases {
        let error = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{stream}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn too_many_tool_calls_are_refused() {
    let calls: Vec<String> = (0..129)
        .map(|index| {
            json!({"type": "content_block_start", "index": index,
                "content_block": {"type": "tool_use", "id": index.to_string(), "name": "t", "input": {}}})
            .to_string()
        })
        .collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let fake = Fake::start([Answer::stream(stream_of(&calls, "tool_use"))]).await;
    let error = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn the_request_carries_key_version_and_exactly_the_prepared_bytes() {
    let fake = Fake::start([Answer::stream(golden())]).await;
    let provider = fake.anthropic();
    let response = polos_llm::complete(&provider, &hello()).await.unwrap();
    let asked = fake.asked().remove(0);
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(asked.headers["x-api-key"], crate::fake::KEY);
    assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
    let prepared = polos_llm::Provider::prepare(&provider, &hello()).unwrap();
    assert_eq!(asked.body, prepared.body());
    assert_eq!(response.request_hash, prepared.hash());
}
