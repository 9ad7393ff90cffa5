//! Chat Completions, read: as OpenAI writes it and as others do.

use polos_llm::{
    Block, Delta, Dialect, ErrorKind, Json, OpenAi, OpenAiOptions, Provider as _, Secret,
    StopReason, Usage,
};
use serde_json::json;

use crate::fake::{Answer, Fake, call, chunks, hello};

fn text(piece: &str) -> String {
    json!({"id": "chatcmpl-1", "model": "gpt-x", "choices": [{"index": 0, "delta": {"content": piece}}]})
        .to_string()
}

const CALL: &str = r#"{"id":"chatcmpl-1","model":"gpt-x","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""}}]},"finish_reason":null}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":168,"completion_tokens":29,"total_tokens":197,"prompt_tokens_details":{"cached_tokens":120,"cache_write_tokens":8},"completion_tokens_details":{"reasoning_tokens":11}}}"#;

fn finish(word: &str) -> String {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": word}]}).to_string()
}

async fn read(stream: impl Into<String>) -> Result<polos_llm::Response, polos_llm::Error> {
    let fake = Fake::start([Answer::stream(stream)]).await;
    polos_llm::complete(&fake.openai(), &hello()).await
}

async fn calls(list: &[&str]) -> Vec<Block> {
    let finish = finish("tool_calls");
    let list: Vec<&str> = list.iter().copied().chain([finish.as_str()]).collect();
    let response = read(chunks(&list)).await.unwrap();
    assert_eq!(response.stop, StopReason::ToolUse);
    response.content
}

fn tool(id: &str, name: &str, input: &str) -> Block {
    Block::tool_use(id, name, Json::parse(input).unwrap())
}

#[tokio::test]
async fn reads_text_and_usage() {
    let (first, second, end) = (text("Hel"), text("lo"), finish("stop"));
    let stream = chunks(&[&first, &second, &end, USAGE]);
    let fake = Fake::start([Answer::stream(stream).header("x-request-id", "req-9")]).await;
    let (deltas, response) = call(&fake.openai(), &hello()).await;
    let response = response.unwrap();
    assert_eq!(response.text(), "Hello");
    assert_eq!(response.stop, StopReason::EndTurn);
    assert_eq!(response.request_id.as_deref(), Some("req-9"));
    assert_eq!((response.model.as_str(), response.provider.as_str()), ("gpt-x", "openai"));
    let expected = Usage {
        input_uncached: 40,
        cache_read: 120,
        cache_write_short: 8,
        cache_write_long: 0,
        output: 29,
        reasoning: 11,
    };
    assert_eq!(response.usage, expected);
    assert!(response.usage_reported);
    let text = |text: &str| Delta::Text { text: text.into() };
    assert_eq!(deltas, [Delta::Started { model: "gpt-x".into() }, text("Hel"), text("lo")]);
    let asked = fake.asked().remove(0);
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], format!("Bearer {}", crate::fake::KEY));
    assert_eq!(asked.body, fake.openai().prepare(&hello()).unwrap().body());
}

#[tokio::test]
async fn reads_two_interleaved_tool_calls() {
    let second = r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"call_2","function":{"name":"now","arguments":"{\"z\":"}}]}}]}"#;
    let more = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}},{"index":1,"function":{"arguments":"1.0}"}}]}}]}"#;
    let rest = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Paris\"}"}}]}}]}"#;
    assert_eq!(
        calls(&[CALL, second, more, rest]).await,
        [
            tool("call_1", "get_weather", r#"{"city":"Paris"}"#),
            tool("call_2", "now", r#"{"z":1.0}"#)
        ]
    );
}

#[tokio::test]
async fn reads_the_calls_of_servers_that_write_them_their_own_way() {
    // No arguments at all.
    assert_eq!(calls(&[CALL]).await, [tool("call_1", "get_weather", "{}")]);
    // Arguments as an object.
    let object = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"t","arguments":{"b":1,"a":2}}}]}}]}"#;
    assert_eq!(calls(&[object]).await, [tool("c", "t", r#"{"b":1,"a":2}"#)]);
    // No index.
    let first = r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"t","arguments":"{}"}}]}}]}"#;
    let second = r#"{"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"u","arguments":"{\"x\""}}]}}]}"#;
    let rest = r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":":1}"}}]}}]}"#;
    assert_eq!(
        calls(&[first, second, rest]).await,
        [tool("a", "t", "{}"), tool("b", "u", r#"{"x":1}"#)]
    );
    // Every call under index 0.
    let zero = |chunk: &str| chunk.replace(r#"{"id""#, r#"{"index":0,"id""#);
    assert_eq!(
        calls(&[&zero(first), &zero(second), rest]).await,
        [tool("a", "t", "{}"), tool("b", "u", r#"{"x":1}"#)]
    );
    // Another id with every piece.
    let start = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"r1","function":{"name":"t","arguments":"{\"x\""}}]}}]}"#;
    let next = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"r2","function":{"arguments":":1}"}}]}}]}"#;
    assert_eq!(calls(&[start, next]).await, [tool("r1", "t", r#"{"x":1}"#)]);
}

#[tokio::test]
async fn calls_without_an_id_of_their_own_get_one() {
    let same = r#"{"id":"chatcmpl-7","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"t","arguments":"{}"}},{"index":1,"function":{"name":"t","arguments":"{}"}}]}}]}"#;
    assert_eq!(
        calls(&[same]).await,
        [tool("call_chatcmpl-7_0", "t", "{}"), tool("call_chatcmpl-7_1", "t", "{}")]
    );
}

#[tokio::test]
async fn a_call_without_a_name_is_an_error() {
    let nameless = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"arguments":"{}"}}]}}]}"#;
    let error = read(chunks(&[nameless, &finish("tool_calls")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn reasoning_is_kept_apart_and_not_sent_back() {
    let thought =
        r#"{"choices":[{"delta":{"reasoning_content":"hm","content":null}}],"usage":null}"#;
    let other = r#"{"choices":[{"delta":{"reasoning":" so","content":""}}]}"#;
    let parts = r#"{"choices":[{"delta":{"content":[{"type":"text","text":"yes"}]}}]}"#;
    let response = read(chunks(&[thought, other, parts, &finish("stop")])).await.unwrap();
    let thinking = "hm so".to_owned();
    assert_eq!(
        response.content,
        [Block::Thinking { thinking, signature: None, extra: None }, Block::text("yes")]
    );
    assert!(!response.usage_reported);
    let mut request = hello();
    request.messages.push(response.message());
    request.messages.push(polos_llm::Message::user("and?"));
    let fake = Fake::start([]).await;
    let prepared = fake.openai().prepare(&request).unwrap();
    let body = std::str::from_utf8(prepared.body()).unwrap();
    assert!(body.contains(r#"{"role":"assistant","content":"yes"}"#), "{body}");
    let prepared = fake.anthropic().prepare(&request).unwrap();
    let body = std::str::from_utf8(prepared.body()).unwrap();
    assert!(
        body.contains(r#"{"role":"assistant","content":[{"type":"text","text":"yes"}]}"#),
        "{body}"
    );
}

#[tokio::test]
async fn each_finish_reason_is_told() {
    for (word, expected) in [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
        ("tool_calls", StopReason::EndTurn),
        ("weird", StopReason::Other("weird".into())),
    ] {
        let response = read(chunks(&[&text("a"), &finish(word)])).await.unwrap();
        assert_eq!(response.stop, expected, "{word}");
    }
    let response = read(chunks(&[CALL, &finish("stop")])).await.unwrap();
    assert_eq!(response.stop, StopReason::ToolUse);
    let refusal = r#"{"choices":[{"delta":{"refusal":"no"},"finish_reason":"stop"}]}"#;
    let response = read(chunks(&[refusal])).await.unwrap();
    assert_eq!((response.stop.clone(), response.text()), (StopReason::Refusal, "no".to_owned()));
}

#[tokio::test]
async fn the_end_may_be_told_in_either_way_but_must_be_told() {
    let finished = format!("data: {}\n\ndata: {}\n\n", text("a"), finish("stop"));
    assert_eq!(read(finished).await.unwrap().text(), "a");
    assert_eq!(read(chunks(&[&text("a")])).await.unwrap().stop, StopReason::EndTurn);
    let cut = format!("data: {}\n\n", text("a"));
    for stream in [cut, String::new(), "data: [DONE]\n\n".to_owned()] {
        let error = read(stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
}

#[tokio::test]
async fn usage_may_be_missing_or_odd() {
    for (usage, expected) in [
        (r#"{"prompt_tokens":5,"completion_tokens":2}"#, [5, 0, 0, 2]),
        (r#"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":null}"#, [5, 0, 0, 2]),
        (r#"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":9}}"#, [0, 9, 0, 0]),
        ("{}", [0, 0, 0, 0]),
    ] {
        let usage = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        let got = read(chunks(&[&text("a"), &finish("stop"), &usage])).await.unwrap().usage;
        let got = [got.input_uncached, got.cache_read, got.cache_write_short, got.output];
        assert_eq!(got, expected, "{usage}");
    }
}

#[tokio::test]
async fn an_error_in_the_stream_is_an_error() {
    let error = r#"{"error":{"message":"busy","type":"server_error","code":500}}"#;
    let error = read(chunks(&[&text("a"), error])).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Server, true));
    assert_eq!(error.message(), "server_error: busy");
}

#[test]
fn openai_itself_is_told_the_limit_in_its_own_word() {
    let request = polos_llm::Request { max_tokens: Some(9), ..hello() };
    let own = OpenAi::new(OpenAiOptions::new(Secret::new("k"))).unwrap();
    let options = OpenAiOptions::new(Secret::new("k")).with_base_url("http://127.0.0.1:1/v1/");
    assert_eq!(options.dialect, Dialect::Compatible);
    let other = OpenAi::new(options).unwrap();
    let body = |provider: &OpenAi| {
        String::from_utf8(provider.prepare(&request).unwrap().body().to_vec()).unwrap()
    };
    assert!(body(&own).contains(r#""max_completion_tokens":9"#));
    assert!(body(&other).contains(r#""max_tokens":9"#));
}
