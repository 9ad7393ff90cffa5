//! OpenAI's Chat Completions, and the many servers that speak it more or less.

mod body;
mod chunk;
mod decode;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::error::Error;
use crate::http::{self, Http, Timeouts};
use crate::provider::{OnDelta, Prepared, Provider, Streaming};
use crate::request::Request;
use crate::response::Response;
use crate::secret::Secret;
use decode::Decoder;

const NAME: &str = "openai";
const BASE_URL: &str = "https://api.openai.com/v1";

/// Names who is at the other end, where the protocol's speakers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI itself: `max_completion_tokens`.
    OpenAi,
    /// Anyone else: `max_tokens`.
    Compatible,
}

/// Says how to reach the API.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    pub api_key: Secret,
    /// With `/v1`, without `/chat/completions`.
    pub base_url: String,
    pub dialect: Dialect,
    pub timeouts: Timeouts,
}

impl OpenAiOptions {
    /// Starts with OpenAI's own address.
    pub fn new(api_key: Secret) -> Self {
        Self {
            api_key,
            base_url: BASE_URL.into(),
            dialect: Dialect::OpenAi,
            timeouts: Timeouts::default(),
        }
    }

    /// Sets another address, and takes what is there for a compatible server.
    #[must_use]
    pub fn with_base_url(self, base_url: impl Into<String>) -> Self {
        let base_url = base_url.into();
        let is_openai = base_url.starts_with("https://api.openai.com/");
        let dialect = if is_openai { Dialect::OpenAi } else { Dialect::Compatible };
        Self { base_url, dialect, ..self }
    }
}

/// Calls models behind Chat Completions.
#[derive(Debug)]
pub struct OpenAi {
    http: Http,
    dialect: Dialect,
}

impl OpenAi {
    /// Checks the options; connects to nothing yet.
    pub fn new(options: OpenAiOptions) -> Result<Self, Error> {
        let url = http::url(options.base_url.trim_end_matches('/'), "/chat/completions")?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let bearer = format!("Bearer {}", options.api_key.expose());
        headers.insert(AUTHORIZATION, http::secret_header(&bearer)?);
        let http = Http::new(url, headers, options.api_key, options.timeouts)?;
        Ok(Self { http, dialect: options.dialect })
    }

    async fn call(&self, request: &Request, on_delta: &mut OnDelta<'_>) -> Result<Response, Error> {
        let prepared = self.prepare(request)?;
        let mut reply = self.http.post(prepared.body()).await?;
        let mut decoder = Decoder::new(prepared.hash());
        loop {
            let event = match reply.next().await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                // All that is missing is the usage and a goodbye.
                Err(_) if decoder.is_complete() => break,
                Err(error) => return Err(error),
            };
            if event.name == "error" {
                return Err(reply.failure(&event.data));
            }
            match decoder.event(&event.data, on_delta).map_err(|error| reply.sign(error))? {
                decode::Step::Progress => reply.progressed(),
                decode::Step::Done => {
                    reply.drain().await;
                    break;
                }
                decode::Step::Failed => return Err(reply.failure(&event.data)),
            }
        }
        if !decoder.is_complete() {
            return Err(reply.truncated("`finish_reason` or `[DONE]`"));
        }
        let request_id = reply.request_id().map(str::to_owned);
        decoder.finish(request_id).map_err(|error| reply.sign(error))
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        NAME
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, Error> {
        request.validate()?;
        body::assemble(request, self.dialect).map(Prepared::new)
    }

    fn stream<'a>(&'a self, request: &'a Request, on_delta: &'a mut OnDelta<'a>) -> Streaming<'a> {
        Box::pin(self.call(request, on_delta))
    }
}
