//! The loop: ask the model, do what it asks for, until it has answered or a limit is reached.

use std::sync::Arc;

use polos_llm::{Message, StopReason};
use polos_sdk::{Ctx, Result};
use serde_json::Value;

use crate::agent::Agent;
use crate::conversation::{Conversation, Input, Output};
use crate::model;
use crate::recorded::ModelReply;
use crate::schema;
use crate::spent::Spent;
use crate::turn::{self, Call};
use crate::work::{Work, failure};

/// How often an answer that does not follow the schema is sent back.
const REPAIRS_MAX: u32 = 2;

/// Runs an agent to its answer.
pub(crate) async fn run(
    ctx: Ctx,
    work: Arc<Work>,
    history: Vec<Message>,
    input: Input,
) -> Result<Output> {
    let mut conversation = Conversation::new(history, input);
    if !conversation.awaits_reply() {
        let message = "the input says nothing: give a text, `prompt` or `messages` that end with \
                       the user";
        return Err(polos_sdk::Error::terminal(message));
    }
    let began = ctx.now();
    let mut spent = Spent::default();
    let mut repairs = 0;
    loop {
        check_limits(&ctx, &work, &spent, began)?;
        let reply = ask(&ctx, &work, &conversation).await?;
        spent.add(&reply.response, reply.cost_micros);
        let calls: Vec<Call> = reply.response.content.iter().filter_map(Call::of).collect();
        conversation.push(reply.response.message());
        if !calls.is_empty() {
            conversation.push(answers(&ctx, &work, calls).await?);
            continue;
        }
        match finish(&work.agent, &reply)? {
            Finish::Answer(output) => return Ok(done(&reply, output, &spent)),
            Finish::GoOn => {}
            Finish::Repair(_) if repairs == REPAIRS_MAX => {
                let said: String = reply.response.text().chars().take(300).collect();
                let message = format!("the answer does not follow the agent's schema: {said}");
                return Err(failure("invalid_output", message));
            }
            Finish::Repair(why) => {
                repairs += 1;
                conversation.push(Message::user(why));
            }
        }
    }
}

fn check_limits(ctx: &Ctx, work: &Work, spent: &Spent, began: u64) -> Result<()> {
    let elapsed = ctx.now().saturating_sub(began).saturating_sub(work.waited_ms());
    match spent.reached(&work.agent, elapsed) {
        None => Ok(()),
        Some(reached) => {
            let id = &work.agent.id;
            let message = format!(
                "agent `{id}` stopped: {reached}\nhint: raise the limit, restart the worker, and \
                 resume the run; it goes on from here"
            );
            Err(failure("limit_reached", message))
        }
    }
}

async fn ask(ctx: &Ctx, work: &Work, conversation: &Conversation) -> Result<ModelReply> {
    let model = work.shop.models.of(&work.agent).map_err(|error| model::refused(&error))?;
    let request = conversation.request(&work.agent, &model.name, &work.toolset.specs);
    model::ask(ctx, work, model, request).await
}

/// The results of all calls of a turn, in the order of the calls; the calls go side by side.
async fn answers(ctx: &Ctx, work: &Arc<Work>, calls: Vec<Call>) -> Result<Message> {
    let shared = work.clone();
    let items = calls.into_iter().enumerate();
    let blocks = ctx
        .map("tools", items, move |ctx, (_, call)| turn::answer(ctx, shared.clone(), call))
        .key(|(number, _)| number.to_string())
        .await?;
    Ok(Message::tool_results(blocks))
}

enum Finish {
    Answer(Option<Value>),
    /// The provider has paused: it wants the conversation back as it is.
    GoOn,
    /// What to tell the model about its answer.
    Repair(String),
}

fn finish(agent: &Agent, reply: &ModelReply) -> Result<Finish> {
    let text = reply.response.text();
    match &reply.response.stop {
        StopReason::PauseTurn => return Ok(Finish::GoOn),
        StopReason::Refusal => {
            let message = format!("the model refused to answer: {text}");
            return Err(failure("model_refused", message));
        }
        StopReason::ContextWindow => {
            let message = "the conversation is longer than the model can read\nhint: give the \
                           agent smaller tasks, or a model with a larger window";
            return Err(failure("model_context_window", message));
        }
        _ => {}
    }
    let Some(schema) = &agent.output else { return Ok(Finish::Answer(None)) };
    let parsed = serde_json::from_str::<Value>(bare(&text)).map_err(|error| error.to_string());
    let fits = parsed.and_then(|value| schema::fits(schema, &value).map(|()| value));
    Ok(match fits {
        Ok(value) => Finish::Answer(Some(value)),
        Err(why) => Finish::Repair(format!(
            "Your answer does not follow the schema: {why}. Answer again, with the JSON and \
             nothing else."
        )),
    })
}

/// The text without the fence that some models put around JSON.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.trim_end().strip_suffix("```")).unwrap_or(text).trim()
}

fn done(reply: &ModelReply, output: Option<Value>, spent: &Spent) -> Output {
    Output {
        text: reply.response.text(),
        output,
        stop: reply.response.stop.to_string(),
        turns: spent.turns,
        usage: spent.usage,
        cost_micros: spent.cost(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_in_its_fence() {
        assert_eq!(bare(" {\"a\":1}\n"), "{\"a\":1}");
        assert_eq!(bare("```json\n{}\n```"), "{}");
        assert_eq!(bare("```\n[]\n```\n"), "[]");
    }
}
