//! The scripted provider and the ledger of calls.

use std::time::Duration;

use polos_llm::{
    Block, Delta, ErrorKind, Ledger, Ledgered, Message, Provider as _, Request, Response, Script,
    Scripted, StopReason, ToolSpec, complete,
};
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, call};

const SCRIPT: &str = r#"
script = "a mended bug"

[[reply]]
agent = "coder"
thinking = "look first"
text = "I run the tests."
tools = [
    { name = "exec", input = { command = "sh test.sh", at = "/" } },
    { name = "read", input = { path = "a" }, id = "own" },
]
usage = { input_uncached = 100, cache_read = 900, output = 20 }

[[reply]]
agent = "coder"
expect = ["FAIL", "line 3"]
text = "It fails."
tools = [{ name = "exec", input = { command = "sed" } }]

[[reply]]
agent = "coder"
same_turn = true
text = "It passes."

[[reply]]
agent = "coder"
turn = "any"
seen = "rejected: shorter"
text = "Shorter then."

[[reply]]
agent = "planner"
expect_not = "urgent"
unseen = "secret"
text = "A plan."
stop = "max_tokens"
"#;

fn scripted() -> Scripted {
    Scripted::new(Script::from_toml(SCRIPT).unwrap())
}

fn request(agent: &str) -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.into(),
        description: String::new(),
        input_schema: json!({"type": "object"}),
    };
    Request {
        agent: Some(agent.into()),
        tools: vec![tool("exec"), tool("read")],
        ..Request::new("scripted", "mend it")
    }
}

/// Answers every call of a response with the same text.
fn after(mut request: Request, response: &Response, result: &str) -> Request {
    let results = response.tool_uses().map(|block| match block {
        Block::ToolUse { id, .. } => Block::tool_result(id, result),
        _ => unreachable!(),
    });
    let results = results.collect();
    request.messages.push(response.message());
    request.messages.push(Message::tool_results(results));
    request
}

#[tokio::test]
async fn replies_follow_turns_and_branch_on_results() {
    let provider = scripted();
    let first = complete(&provider, &request("coder")).await.unwrap();
    assert_eq!(first.stop, StopReason::ToolUse);
    assert_eq!((first.usage.cache_read, first.usage.output), (900, 20));
    assert_eq!((first.provider.as_str(), first.model.as_str()), ("scripted", "scripted"));
    assert_eq!(
        serde_json::to_value(&first.content).unwrap(),
        json!([
            {"type": "thinking", "thinking": "look first"},
            {"type": "text", "text": "I run the tests."},
            {"type": "tool_use", "id": "call_0_0", "name": "exec", "input": "{\"at\":\"/\",\"command\":\"sh test.sh\"}"},
            {"type": "tool_use", "id": "own", "name": "read", "input": "{\"path\":\"a\"}"},
        ])
    );
    let failed = after(request("coder"), &first, "FAIL: line 3");
    assert_eq!(complete(&provider, &failed).await.unwrap().text(), "It fails.");
    let passed = after(request("coder"), &first, "ok");
    assert_eq!(complete(&provider, &passed).await.unwrap().text(), "It passes.");
    let plan = complete(&provider, &request("planner")).await.unwrap();
    assert_eq!((plan.text().as_str(), plan.stop), ("A plan.", StopReason::MaxTokens));
}

#[tokio::test]
async fn the_reply_depends_on_the_request_alone() {
    let first = complete(&scripted(), &request("coder")).await.unwrap();
    let later = after(request("coder"), &first, "FAIL line 3");
    // Another process, another order, asked twice: the same bytes.
    let provider = scripted();
    let second = complete(&provider, &later).await.unwrap();
    assert_eq!(complete(&provider, &later).await.unwrap(), second);
    assert_eq!(complete(&provider, &request("coder")).await.unwrap(), first);
}

#[tokio::test]
async fn a_person_s_feedback_can_be_answered_at_any_turn() {
    let mut request = request("coder");
    for text in ["one", "two", "rejected: shorter", "four"] {
        request.messages.push(Message::assistant(vec![Block::text("ok")]));
        request.messages.push(Message::user(text));
    }
    assert_eq!(complete(&scripted(), &request).await.unwrap().text(), "Shorter then.");
}

#[tokio::test]
async fn where_no_reply_fits_the_error_says_where() {
    let mut urgent = request("planner");
    urgent.messages = vec![Message::user("urgent\nplease")];
    let error = complete(&scripted(), &urgent).await.unwrap_err();
    assert_eq!(
        error.message(),
        "script `a mended bug` has no reply for agent `planner`, turn 0, after `urgent please`"
    );
    assert!(!error.is_retryable());
    let unarmed = Request { tools: Vec::new(), ..request("coder") };
    let error = complete(&scripted(), &unarmed).await.unwrap_err();
    assert_eq!(error.message(), "the script calls tool `exec`, which is not declared");
}

#[tokio::test]
async fn it_streams_word_by_word() {
    let (deltas, response) = call(&scripted(), &request("coder")).await;
    let text: String = deltas
        .iter()
        .filter_map(|delta| match delta {
            Delta::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, response.unwrap().text());
    assert!(deltas.contains(&Delta::Text { text: "run ".into() }));
    assert!(deltas.contains(&Delta::ToolStart { index: 3, id: "own".into(), name: "read".into() }));
}

#[tokio::test(start_paused = true)]
async fn it_is_as_slow_as_it_says_unless_told_otherwise() {
    let script = "script = \"slow\"\ndelay_ms = 1000\ntoken_ms = 10\n[[reply]]\ntext = \"a b c\"";
    let provider = Scripted::new(Script::from_toml(script).unwrap());
    let start = tokio::time::Instant::now();
    complete(&provider, &request("x")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(1_030));
    let start = tokio::time::Instant::now();
    complete(&provider.without_pauses(), &request("x")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn it_fails_as_told_and_recovers_by_attempt() {
    let script = r#"{"script": "failing", "reply": [
        {"agent": "limited", "text": "ok", "error": {"kind": "rate_limited", "retry_after_ms": 1500, "attempts": 2}},
        {"agent": "full", "error": {"kind": "overloaded"}},
        {"agent": "cut", "text": "one two three four", "error": {"kind": "truncated", "attempts": 1}}
    ]}"#;
    let provider = Scripted::new(Script::from_json(script).unwrap());
    let mut limited = request("limited");
    for attempt in 0..2 {
        limited.attempt = attempt;
        let error = complete(&provider, &limited).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1_500)));
    }
    limited.attempt = 2;
    assert_eq!(complete(&provider, &limited).await.unwrap().text(), "ok");
    let full = Request { attempt: 1_000, ..request("full") };
    assert_eq!(complete(&provider, &full).await.unwrap_err().kind(), ErrorKind::Overloaded);
    let (deltas, result) = call(&provider, &request("cut")).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Truncated);
    let text = |text: &str| Delta::Text { text: text.into() };
    assert_eq!(deltas[1..], [text("one "), text("two ")]);
}

#[test]
fn a_script_is_read_strictly() {
    for (script, expected) in [
        ("script = \"x\"", "the script has no `[[reply]]`"),
        (
            "script = \"x\"\n[[reply]]",
            "reply 1 of the script: it has neither `text` nor `tools` nor `error`",
        ),
        (
            "script = \"x\"\n[[reply]]\ntext = \"a\"\nturn = \"some\"",
            "reply 1 of the script: `turn` is a number or \"any\", not `some`",
        ),
        (
            "script = \"x\"\n[[reply]]\ntext = \"a\"\nsame_turn = true",
            "reply 1 of the script: `same_turn` needs a reply before it",
        ),
        (
            "script = \"x\"\n[[reply]]\nerror = { kind = \"bad\" }",
            "reply 1 of the script: `bad` is no kind of error",
        ),
    ] {
        let error = Script::from_toml(script).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Config, expected));
    }
    let error = Script::from_toml("script = \"x\"\n[[reply]]\nexpects = \"a\"").unwrap_err();
    assert!(error.message().contains("unknown field `expects`"), "{error}");
    assert!(Script::load("/nowhere/script.toml".as_ref()).is_err());
}

#[tokio::test]
async fn the_example_script_runs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mend.toml");
    let script = Script::load(path.as_ref()).unwrap();
    let provider = Scripted::new(script).without_pauses();
    let mut request = request("coder");
    request.tools.push(ToolSpec { name: "edit".into(), ..request.tools[0].clone() });
    let first = complete(&provider, &request).await.unwrap();
    request = after(request, &first, "FAIL");
    let limited = complete(&provider, &request).await.unwrap_err();
    assert_eq!(limited.kind(), ErrorKind::RateLimited);
    request.attempt = 1;
    let second = complete(&provider, &request).await.unwrap();
    let last = complete(&provider, &after(request, &second, "edited")).await.unwrap();
    assert_eq!(last.text(), "Done: the sum is right again.");
}

fn lines(ledger: &Ledger) -> Vec<Value> {
    let text = std::fs::read_to_string(ledger.path()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_ledger_has_one_line_for_each_call_that_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().join("calls.jsonl"));
    let provider = Ledgered::new(scripted(), ledger.clone());
    let first = complete(&provider, &request("coder")).await.unwrap();
    let next = after(request("coder"), &first, "ok");
    complete(&provider, &next).await.unwrap();
    complete(&provider, &Request { attempt: 1, ..next }).await.unwrap();
    // Preparing is no call.
    provider.prepare(&request("coder")).unwrap();
    let lines = lines(&ledger);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["request_hash"], first.request_hash);
    assert_eq!((&lines[0]["agent"], &lines[0]["turn"]), (&json!("coder"), &json!(0)));
    assert_eq!((&lines[2]["turn"], &lines[2]["attempt"]), (&json!(1), &json!(1)));
    assert_eq!(lines[1]["request_hash"], lines[2]["request_hash"]);
    assert_ne!(lines[0]["request_hash"], lines[1]["request_hash"]);
}

#[tokio::test]
async fn failed_calls_count_and_a_ledger_that_cannot_be_written_stops_them() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().join("calls.jsonl"));
    let fake = Fake::start([Answer::refusal(529, "")]).await;
    let provider = Ledgered::new(fake.anthropic(), ledger.clone());
    assert!(complete(&provider, &request("coder")).await.is_err());
    assert_eq!(lines(&ledger)[0]["provider"], "anthropic");
    let provider = Ledgered::new(fake.anthropic(), Ledger::new(folder.path().join("no/where")));
    let error = complete(&provider, &request("coder")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn many_writers_leave_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().join("calls.jsonl"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let provider = Ledgered::new(scripted(), ledger.clone());
                for _ in 0..50 {
                    futures_util::FutureExt::now_or_never(complete(&provider, &request("coder")))
                        .unwrap()
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(lines(&ledger).len(), 400);
}
