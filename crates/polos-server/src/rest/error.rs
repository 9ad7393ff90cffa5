//! Refusals in the one shape of an error.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use polos_engine::error::Class;
use polos_protocol::rest::{ErrorBody, ErrorResponse};

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let body = ErrorBody {
            code: code.to_owned(),
            message: message.into(),
            hint: hint.into(),
            details: serde_json::Value::Null,
        };
        Self { status, body }
    }

    /// A request that makes no sense.
    pub(crate) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, "see /openapi.json for what is expected")
    }

    /// A thing that is not there.
    pub(crate) fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        polos_engine::Error::not_found(what, name).into()
    }

    /// Something that must not happen; the log has the cause, the client has not.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "an internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong in the server",
            "see the server's log",
        )
    }
}

/// The status of each class of the engine's refusals.
fn status(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict => StatusCode::CONFLICT,
        Class::Limit => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<polos_engine::Error> for Refusal {
    fn from(error: polos_engine::Error) -> Self {
        Self { status: status(error.class), body: error.body() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let mut response = (self.status, Json(ErrorResponse { error: self.body })).into_response();
        if unauthorized {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
