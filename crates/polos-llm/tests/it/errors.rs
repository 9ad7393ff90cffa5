//! Refusals, before the stream and in it: what kind they are, and when to ask again.

use std::time::{Duration, SystemTime};

use polos_llm::{Error, ErrorKind};

use crate::fake::{Answer, Fake, KEY, events, hello};

fn body(kind: &str) -> String {
    format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}},"request_id":"req_body"}}"#
    )
}

async fn refused(answer: Answer) -> Error {
    let fake = Fake::start([answer]).await;
    let error = polos_llm::complete(&fake.anthropic(), &hello()).await.unwrap_err();
    assert_eq!(fake.asked().len(), 1, "a refusal is not retried here");
    error
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let limited = || Answer::refusal(429, body("rate_limit_error"));
    let after = |seconds: f64| Some(Duration::from_secs_f64(seconds));
    for (answer, expected) in [
        (limited(), None),
        (limited().header("retry-after", "7"), after(7.0)),
        (limited().header("retry-after", "0.5"), after(0.5)),
        (limited().header("retry-after-ms", "1250").header("retry-after", "9"), after(1.25)),
        (limited().header("retry-after", "soon"), None),
    ] {
        let error = refused(answer).await;
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(error.is_retryable());
        assert_eq!((error.retry_after(), error.status()), (expected, Some(429)));
    }
}

#[tokio::test]
async fn a_rate_limit_may_name_a_date() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
    let error =
        refused(Answer::refusal(429, body("rate_limit_error")).header("retry-after", &date)).await;
    let wait = error.retry_after().unwrap();
    assert!((3_500..=3_600).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn the_provider_has_the_last_word_on_retries() {
    let told = |status, kind: &str, word| {
        refused(Answer::refusal(status, body(kind)).header("x-should-retry", word))
    };
    assert!(!told(429, "rate_limit_error", "false").await.is_retryable());
    assert!(!told(500, "api_error", "false").await.is_retryable());
    assert!(told(400, "invalid_request_error", "true").await.is_retryable());
    assert!(told(500, "api_error", "perhaps").await.is_retryable());
}

#[tokio::test]
async fn a_reached_spending_limit_is_final() {
    let capped = r#"{"type":"error","error":{"type":"rate_limit_error","message":"cap","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
    for answer in [
        Answer::refusal(429, capped),
        Answer::refusal(429, capped).header("x-should-retry", "true"),
        Answer::refusal(402, body("billing_error")),
        Answer::refusal(429, r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#),
    ] {
        let error = refused(answer).await;
        assert_eq!(error.kind(), ErrorKind::SpendLimit);
        assert!(!error.is_retryable());
        assert!(error.hint().unwrap().contains("spending limit"));
    }
}

#[tokio::test]
async fn each_status_has_its_kind() {
    use ErrorKind as K;
    for (status, kind, expected, retryable) in [
        (400, "invalid_request_error", K::InvalidRequest, false),
        (401, "authentication_error", K::Auth, false),
        (403, "permission_error", K::Auth, false),
        (404, "not_found_error", K::NotFound, false),
        (408, "", K::Timeout, true),
        (409, "", K::Server, true),
        (413, "request_too_large", K::TooLong, false),
        (500, "api_error", K::Server, true),
        (502, "", K::Server, true),
        (503, "", K::Overloaded, true),
        (504, "timeout_error", K::Timeout, true),
        (529, "overloaded_error", K::Overloaded, true),
    ] {
        let answer = if kind.is_empty() {
            Answer::refusal(status, "<html>no</html>").header("content-type", "text/html")
        } else {
            Answer::refusal(status, body(kind))
        };
        let error = refused(answer).await;
        assert_eq!((error.kind(), error.is_retryable()), (expected, retryable), "{status}");
    }
}

#[tokio::test]
async fn an_error_after_the_stream_began_is_an_error() {
    let started = events(&[
        r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":1}}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_2"}"#,
    ]);
    let error = refused(Answer::stream(started)).await;
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Overloaded, true));
    assert_eq!((error.request_id(), error.status()), (Some("req_2"), None));
    assert_eq!(error.to_string(), "overloaded_error: Overloaded (request `req_2`)");
}

#[tokio::test]
async fn the_request_id_comes_from_header_or_body() {
    let answer = Answer::refusal(500, body("api_error"));
    assert_eq!(refused(answer.clone()).await.request_id(), Some("req_body"));
    let answer = Answer::refusal(500, "{}").header("request-id", "req_head");
    let error = refused(answer).await;
    assert_eq!(error.request_id(), Some("req_head"));
    assert_eq!(error.to_string(), "{} (http 500) (request `req_head`)");
}

#[tokio::test]
async fn keys_are_in_no_error() {
    let echo =
        format!(r#"{{"error":{{"type":"authentication_error","message":"bad key {KEY}"}}}}"#);
    let fake = Fake::start([Answer::refusal(401, echo)]).await;
    let provider = fake.anthropic();
    let error = polos_llm::complete(&provider, &hello()).await.unwrap_err();
    assert_eq!(error.message(), "authentication_error: bad key [redacted]");
    for shown in [format!("{error:?}"), format!("{provider:?}"), format!("{:?}", fake.openai())] {
        assert!(!shown.contains(KEY), "{shown}");
    }
    let url = format!("http://user:{KEY}@127.0.0.1:1");
    let provider = crate::fake::anthropic(&url, crate::fake::patient());
    let error = polos_llm::complete(&provider, &hello()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(!format!("{error} {error:?}").contains(KEY));
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_named() {
    let page = Answer::refusal(200, "<html>").header("content-type", "text/html");
    let error = refused(page).await;
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(error.message(), "the answer is `text/html`, not an event stream");
    let hidden = refused(Answer::refusal(200, body("overloaded_error"))).await;
    assert_eq!(hidden.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Fake::start([]).await;
    let answer = Answer::refusal(307, "").header("location", &target.url);
    let error = refused(answer).await;
    assert_eq!((error.kind(), error.status()), (ErrorKind::Config, Some(307)));
    assert!(target.asked().is_empty());
}

#[tokio::test]
async fn an_endless_error_body_is_cut() {
    let error = refused(Answer::refusal(500, "x".repeat(1_000_000))).await;
    assert_eq!((error.kind(), error.message().len()), (ErrorKind::Server, 1_000));
}
