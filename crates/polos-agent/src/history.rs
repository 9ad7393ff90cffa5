//! What was said before in a session: the turns of its earlier runs, read once and recorded, so
//! that a run in progress does not change its mind when a later one ends.

use polos_llm::{Block, Message};
use polos_sdk::{Client, Ctx, Result, StepError};
use serde::{Deserialize, Serialize};

use crate::conversation::{Input, Output};
use crate::recorded::NOTE;
use crate::work::failure;

/// Turns that one request brings.
const PAGE: u32 = 100;
/// The text that is kept, in bytes; older turns than fit are left out.
const BYTES_MAX: usize = 256 << 10;
/// The most turns that are looked at.
const TURNS_MAX: usize = 10_000;

/// One turn of a session: what was said to the agent, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    user: Vec<Message>,
    agent: String,
}

/// The conversation before this run; nothing for a run without a session.
pub(crate) async fn of(ctx: &Ctx, client: Option<&Client>) -> Result<Vec<Message>> {
    if ctx.info().session().is_none() {
        return Ok(Vec::new());
    }
    let Some(client) = client.cloned() else {
        let message = "the run belongs to a session, and this worker has no client to read it\n\
                       hint: give `NativeConfig::client` the server's address";
        return Err(failure("history_unavailable", message));
    };
    let info = ctx.info().clone();
    let step = ctx.step("history", move || {
        let (client, info) = (client.clone(), info.clone());
        async move { read(&client, &info).await }
    });
    let turns: Vec<Said> = step.label(NOTE).await?;
    Ok(turns.into_iter().flat_map(Said::into_messages).collect())
}

async fn read(
    client: &Client,
    info: &polos_sdk::RunInfo,
) -> std::result::Result<Vec<Said>, StepError> {
    let mut turns = Vec::new();
    let Some(session) = info.session() else { return Ok(turns) };
    let mut cursor: Option<String> = None;
    while turns.len() < TURNS_MAX {
        let page = client.turns(session, cursor.as_deref(), Some(PAGE)).await?;
        for turn in page.items {
            // What came after this run was begun is not its past. Turns are the runs of the
            // session that nobody called: for a called agent, its caller is the present.
            if turn.run == info.root {
                return Ok(latest(turns));
            }
            let input = turn.input.parse::<Input>().ok();
            let output = turn.output.and_then(|output| output.parse::<Output>().ok());
            if let (Some(input), Some(output)) = (input, output) {
                turns.push(Said::of(input, output));
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(latest(turns))
}

/// The latest turns, as many as may be kept.
fn latest(turns: Vec<Said>) -> Vec<Said> {
    let mut room = BYTES_MAX;
    let fitting = turns.iter().rev().take_while(|turn| {
        let size = turn.size();
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    let count = fitting.count();
    let skip = turns.len() - count;
    turns.into_iter().skip(skip).collect()
}

impl Said {
    fn of(input: Input, output: Output) -> Self {
        let mut user = input.messages;
        user.extend(input.prompt.map(Message::user));
        Self { user, agent: output.text }
    }

    fn size(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |text| text.len())
    }

    /// An answer without a word is no message: providers refuse empty ones.
    fn into_messages(self) -> impl Iterator<Item = Message> {
        let text = if self.agent.is_empty() { "(no answer)".to_owned() } else { self.agent };
        self.user.into_iter().chain([Message::assistant(vec![Block::text(text)])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(user: &str, bytes: usize) -> Said {
        Said { user: vec![Message::user(user)], agent: "x".repeat(bytes) }
    }

    #[test]
    fn the_latest_turns_are_kept() {
        let small = said("c", 10).size();
        let large = BYTES_MAX - small - said("b", 0).size();
        let turns = vec![said("a", 10), said("b", large), said("c", 10)];
        assert_eq!(latest(turns.clone()), turns[1..]);
        assert_eq!(latest(vec![said("a", 1), said("b", BYTES_MAX)]), []);
    }

    #[test]
    fn a_turn_is_what_was_said_and_the_answer() {
        let messages: Vec<Message> = said("a", 2).into_messages().collect();
        assert_eq!(messages, [Message::user("a"), Message::assistant(vec![Block::text("xx")])]);
    }
}
