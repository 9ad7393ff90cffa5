//! Anthropic's Messages API, and servers that speak it.

mod body;
mod decode;
mod markers;
mod usage;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::error::Error;
use crate::http::{self, Http, Timeouts};
use crate::provider::{OnDelta, Prepared, Provider, Streaming};
use crate::request::Request;
use crate::response::Response;
use crate::secret::Secret;
use decode::Decoder;

const NAME: &str = "anthropic";
const VERSION: &str = "2023-06-01";

/// Says how to reach the API.
#[derive(Clone, Debug)]
pub struct AnthropicOptions {
    pub api_key: Secret,
    /// Sends the key as `Authorization: Bearer` in place of `x-api-key`.
    pub bearer: bool,
    /// Without `/v1/messages`.
    pub base_url: String,
    /// Goes into `anthropic-beta`.
    pub betas: Vec<String>,
    pub timeouts: Timeouts,
}

impl AnthropicOptions {
    /// Starts with Anthropic's own address.
    pub fn new(api_key: Secret) -> Self {
        Self {
            api_key,
            bearer: false,
            base_url: "https://api.anthropic.com".into(),
            betas: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Calls Anthropic's models.
#[derive(Debug)]
pub struct Anthropic {
    http: Http,
}

impl Anthropic {
    /// Checks the options; connects to nothing yet.
    pub fn new(options: AnthropicOptions) -> Result<Self, Error> {
        let base = options.base_url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let url = http::url(base, "/v1/messages")?;
        let headers = headers(&options)?;
        Ok(Self { http: Http::new(url, headers, options.api_key, options.timeouts)? })
    }

    async fn call(&self, request: &Request, on_delta: &mut OnDelta<'_>) -> Result<Response, Error> {
        let prepared = self.prepare(request)?;
        let mut reply = self.http.post(prepared.body()).await?;
        let mut decoder = Decoder::default();
        while let Some(event) = reply.next().await? {
            if event.name == "error" {
                return Err(reply.failure(&event.data));
            }
            match decoder.event(&event.data, on_delta).map_err(|error| reply.sign(error))? {
                decode::Step::Ping => {}
                decode::Step::Progress => reply.progressed(),
                decode::Step::Done => {
                    reply.drain().await;
                    let request_id = reply.request_id().map(str::to_owned);
                    let response = decoder.finish(request_id, prepared.hash());
                    return response.map_err(|error| reply.sign(error));
                }
                decode::Step::Failed => return Err(reply.failure(&event.data)),
            }
        }
        Err(reply.truncated("`message_stop`"))
    }
}

impl Provider for Anthropic {
    fn name(&self) -> &str {
        NAME
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, Error> {
        request.validate()?;
        body::assemble(request).map(Prepared::new)
    }

    fn stream<'a>(&'a self, request: &'a Request, on_delta: &'a mut OnDelta<'a>) -> Streaming<'a> {
        Box::pin(self.call(request, on_delta))
    }
}

fn headers(options: &AnthropicOptions) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
    if options.bearer {
        let value = http::secret_header(&format!("Bearer {}", options.api_key.expose()))?;
        headers.insert(AUTHORIZATION, value);
    } else {
        let value = http::secret_header(options.api_key.expose())?;
        headers.insert(HeaderName::from_static("x-api-key"), value);
    }
    if !options.betas.is_empty() {
        let betas = options.betas.join(",");
        let value = HeaderValue::from_str(&betas).map_err(|_| {
            Error::config(format!("`{betas}` is not a header value"), "use the names of betas only")
        })?;
        headers.insert("anthropic-beta", value);
    }
    Ok(headers)
}
