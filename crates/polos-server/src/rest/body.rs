//! Bodies: JSON that was checked before it is read, within a limit of bytes and time.

use super::error::Refusal;
use super::field::unknown_field;
use crate::json;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use futures_util::StreamExt;
use polos_protocol::limits::{BLOB_BYTES_MAX, VALUE_INLINE_BYTES_MAX};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What stands around a value in a body.
const ENVELOPE_BYTES: usize = 64 << 10;
/// The largest body with one inline value.
const BODY_BYTES_MAX: usize = VALUE_INLINE_BYTES_MAX + ENVELOPE_BYTES;
/// The largest body with a value that is kept apart.
pub(super) const LARGE_BODY_BYTES_MAX: usize = BLOB_BYTES_MAX + ENVELOPE_BYTES;
/// How many bodies larger than those with an inline value are in memory at once; others wait.
const LARGE_BODIES_MAX: usize = 3;
/// How much of a body that is too large is read, so that its sender hears the refusal.
const DISCARD_BYTES_MAX: usize = 2 * BLOB_BYTES_MAX;
/// How long a body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

static LARGE_BODIES: Semaphore = Semaphore::const_new(LARGE_BODIES_MAX);

/// A body that was read. An empty one reads as `{}`.
#[derive(Debug)]
pub(crate) struct JsonBody<T, const BYTES_MAX: usize = BODY_BYTES_MAX> {
    pub(crate) value: T,
    /// The body to the letter.
    pub(crate) text: String,
    /// Held for as long as a large body is in memory.
    _place: Option<SemaphorePermit<'static>>,
}

impl<S, T, const BYTES_MAX: usize> FromRequest<S> for JsonBody<T, BYTES_MAX>
where
    S: Sync,
    T: DeserializeOwned + JsonSchema + Send + 'static,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let reading = read(&parts.headers, body, BYTES_MAX);
        let (text, place) =
            tokio::time::timeout(BODY_TIME_MAX, reading).await.map_err(|_| {
                let seconds = BODY_TIME_MAX.as_secs();
                let message = format!("the body did not come within {seconds} s");
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message, "")
            })??;
        if text.is_empty() {
            return Ok(Self { value: parse("{}")?, text: "{}".into(), _place: place });
        }
        is_json(&parts.headers)?;
        let checked = move || checked(&text).map(|value| (value, text));
        let (value, text) = if place.is_some() { off_the_loop(checked).await? } else { checked()? };
        Ok(Self { value, text, _place: place })
    }
}

/// Does what takes long on a thread for it.
pub(super) async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Refusal::internal(&error)))
}

fn checked<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, Refusal> {
    json::check(text, json::TEXT_DEPTH_MAX)
        .map_err(|error| Refusal::invalid("invalid_json", error.to_string()))?;
    parse(text)
}

/// Every body is an object. Checked apart, since serde reads a struct from an array too.
fn parse<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, Refusal> {
    if !text.trim_start().starts_with('{') {
        return Err(Refusal::invalid("invalid_body", "the body is not an object"));
    }
    let mut unknown = None;
    let mut source = serde_json::Deserializer::from_str(text);
    let value = serde_ignored::deserialize(&mut source, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    })
    .map_err(|error| Refusal::invalid("invalid_body", error.to_string()))?;
    unknown.map_or(Ok(value), |path| Err(unknown_field::<T>(&path)))
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("the body is `{}`", essence.chars().take(128).collect::<String>()),
        "send JSON as `Content-Type: application/json`",
    ))
}

async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<(String, Option<SemaphorePermit<'static>>), Refusal> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > DISCARD_BYTES_MAX as u64) {
        return Err(too_large(bytes_max));
    }
    let mut pieces = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut count = 0;
    let mut place = None;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Refusal::invalid("body_broken", error.to_string()))?;
        count += piece.len();
        if count > DISCARD_BYTES_MAX {
            break;
        }
        if count > bytes_max {
            // The rest is only read so that its sender hears the refusal.
            (bytes, place) = (BytesMut::new(), None);
            continue;
        }
        if count > BODY_BYTES_MAX && place.is_none() {
            let waited = LARGE_BODIES.acquire().await;
            place = Some(waited.map_err(|error| Refusal::internal(&error))?);
        }
        bytes.extend_from_slice(&piece);
    }
    if count > bytes_max {
        return Err(too_large(bytes_max));
    }
    let text = String::from_utf8(bytes.into())
        .map_err(|error| Refusal::invalid("invalid_json", error.to_string()))?;
    Ok((text, place))
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body has more than {bytes_max} bytes"),
        "keep large things in a file or a bucket, and send where they are",
    )
}
