//! Picks the reply to a request from the request alone.
//!
//! There is no counter: the turn is the number of assistant messages in the request, so a replay, a
//! crash or another process gets the same reply.

use super::script::{Reply, Script};
use crate::error::Error;
use crate::message::{Block, Message, Role};
use crate::request::Request;

/// How much of the conversation an error quotes.
const QUOTE_CHARS_MAX: usize = 160;

/// Returns the first reply, in the script's order, whose conditions all hold.
pub(super) fn choose<'a>(script: &'a Script, request: &Request) -> Result<&'a Reply, Error> {
    let said = Said::new(request);
    script.replies.iter().find(|reply| said.matches(reply)).ok_or_else(|| said.no_reply(script))
}

/// Is what the conditions look at.
struct Said<'a> {
    request: &'a Request,
    turn: usize,
    last: String,
    all: String,
}

impl<'a> Said<'a> {
    fn new(request: &'a Request) -> Self {
        let users = request.messages.iter().filter(|message| message.role == Role::User);
        let texts: Vec<String> = users.map(text_of).collect();
        Self {
            request,
            turn: request.turns(),
            last: texts.last().cloned().unwrap_or_default(),
            all: texts.join("\n"),
        }
    }

    fn matches(&self, reply: &Reply) -> bool {
        let is = |want: &Option<String>, have: Option<&str>| {
            want.as_deref().is_none_or(|want| have == Some(want))
        };
        is(&reply.agent, self.request.agent.as_deref())
            && is(&reply.model, Some(&self.request.model))
            && reply.turn.is_none_or(|turn| turn == self.turn)
            && reply.expect.iter().all(|word| self.last.contains(word))
            && !reply.expect_not.iter().any(|word| self.last.contains(word))
            && reply.seen.iter().all(|word| self.all.contains(word))
            && !reply.unseen.iter().any(|word| self.all.contains(word))
    }

    fn no_reply(&self, script: &Script) -> Error {
        let (label, turn) = (&script.label, self.turn);
        let agent = self.request.agent.as_deref().unwrap_or("");
        let end: Vec<char> = self.last.chars().rev().take(QUOTE_CHARS_MAX).collect();
        let end: String = end.into_iter().rev().collect();
        let end = end.replace(char::is_control, " ");
        Error::invalid(format!(
            "script `{label}` has no reply for agent `{agent}`, turn {turn}, after `{end}`"
        ))
        .with_hint("add a `[[reply]]` whose conditions hold here, or one with `turn = \"any\"`")
    }
}

/// Joins what a user turn says: its texts and the texts of its tool results.
fn text_of(message: &Message) -> String {
    let mut parts = Vec::new();
    collect(&message.content, &mut parts);
    parts.join("\n")
}

fn collect<'a>(content: &'a [Block], parts: &mut Vec<&'a str>) {
    for block in content {
        match block {
            Block::Text { text, .. } => parts.push(text),
            Block::ToolResult { content, .. } => collect(content, parts),
            _ => {}
        }
    }
}
