//! The model step: one call, recorded as its reply. A failed call is tried again as its kind of
//! error says; what the provider asks to wait is waited, durably if it is long.

use std::time::Duration;

use polos_llm::{Delta, Error, Request};
use polos_sdk::{Ctx, Failure, Retry, StepContext, StepError};
use serde_json::json;

use crate::models::Model;
use crate::recorded::{MODEL, ModelReply};
use crate::spent::cost_of;
use crate::work::{Work, failure};

/// The longest that one reply may take.
const TIMEOUT: Duration = Duration::from_mins(20);
/// How long the tries of one call go on: about half an hour of an overloaded provider.
const ATTEMPTS: u32 = 12;
const WAIT_MAX_MS: u64 = 5 * 60_000;

/// Asks the model, or returns what it answered when it was asked.
pub(crate) async fn ask(
    ctx: &Ctx,
    work: &Work,
    model: Model,
    request: Request,
) -> polos_sdk::Result<ModelReply> {
    let prepared = model.provider.prepare(&request).map_err(|error| refused(&error))?;
    let prices = work.shop.models.prices().clone();
    let hash = prepared.hash().to_owned();
    ctx.step_with("model", move |step| {
        let (model, prices) = (model.clone(), prices.clone());
        let request = Request { attempt: step.attempt().saturating_sub(1), ..request.clone() };
        async move {
            let response = {
                let mut tell = |delta: Delta| stream(&step, &delta);
                let calling = model.provider.stream(&request, &mut tell);
                calling.await.map_err(|error| step_error(&error))?
            };
            let cost_micros = cost_of(&prices, &response, &request.model);
            if let Some(micros) = cost_micros {
                step.cost_micros(micros);
            }
            step.tokens(response.usage.input(), response.usage.output);
            Ok(ModelReply { response, cost_micros })
        }
    })
    .label(MODEL)
    .args(&json!({ "request": hash }))
    .retry(Retry { attempts: ATTEMPTS, max_ms: WAIT_MAX_MS, ..Retry::default() })
    .timeout(TIMEOUT)
    .await
}

/// Sends what comes to whoever watches.
fn stream(step: &StepContext, delta: &Delta) {
    match delta {
        Delta::Text { text } => step.stream("text", text),
        Delta::Thinking { text } => step.stream("thinking", text),
        Delta::ToolStart { name, id, .. } => {
            step.stream("tool_call", &json!({ "name": name, "id": id }));
        }
        Delta::Started { .. } | Delta::ToolInput { .. } => {}
    }
}

fn step_error(error: &Error) -> StepError {
    let told = StepError::from_failure(failure_of(error));
    let told = if error.is_retryable() { told } else { told.no_retry() };
    match error.retry_after() {
        Some(wait) => told.retry_after(wait),
        None => told,
    }
}

/// The error as it is recorded, with the way out in its words.
fn failure_of(error: &Error) -> Failure {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let code = format!("model_{}", error.kind().code());
    Failure::new(code, format!("{error}{hint}"))
}

/// A request or a configuration that cannot be sent at all.
pub(crate) fn refused(error: &Error) -> polos_sdk::Error {
    let told = failure_of(error);
    failure(&told.code, told.message)
}
