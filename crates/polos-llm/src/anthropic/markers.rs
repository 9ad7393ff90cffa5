//! Where cache markers stand in a conversation.
//!
//! A marker says "the prompt up to here is worth keeping". At the next request the provider looks
//! for a kept prefix at each marker and up to 20 positions before it, where a run of parallel tool
//! calls, or of their results, is one position. So the last block is marked, and one more at every
//! 15th position before it, counted from the start: such a place stays the same from turn to turn,
//! and a turn that adds more than 20 positions still meets what an earlier one left.
//! (Anthropic's documentation of prompt caching, as of 2026-11.)

const STRIDE: usize = 15;

/// Says how a block counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text and images.
    Plain,
    ToolUse,
    ToolResult,
    /// A position of its own that must not be marked: reasoning, and blocks of unknown kind.
    Unmarkable,
}

/// Returns the places to mark, `(message, block)`, at most `slots_max` of them, the last first.
pub(super) fn place(messages: &[Vec<Kind>], slots_max: usize) -> Vec<(usize, usize)> {
    let candidates = candidates(messages);
    let Some(&(last, place)) = candidates.last() else { return Vec::new() };
    if slots_max == 0 {
        return Vec::new();
    }
    let mut places = vec![place];
    let mut target = last.saturating_sub(1) / STRIDE * STRIDE;
    while target > 0 && places.len() < slots_max {
        let near = candidates.iter().rfind(|(position, _)| *position <= target);
        if let Some(&(position, place)) = near
            && position + STRIDE > target
        {
            places.push(place);
        }
        target -= STRIDE;
    }
    places
}

/// Lists the blocks that may be marked, each with its position.
fn candidates(messages: &[Vec<Kind>]) -> Vec<(usize, (usize, usize))> {
    let (mut candidates, mut position) = (Vec::new(), 0);
    for (m, blocks) in messages.iter().enumerate() {
        for (b, &kind) in blocks.iter().enumerate() {
            let joins = matches!(kind, Kind::ToolUse | Kind::ToolResult)
                && b.checked_sub(1).is_some_and(|before| blocks[before] == kind);
            position += usize::from(!joins);
            if kind != Kind::Unmarkable {
                candidates.push((position, (m, b)));
            }
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::Kind::{Plain, ToolResult, ToolUse, Unmarkable};
    use super::*;

    fn check(messages: &[Vec<Kind>], slots: usize, expect: &[(usize, usize)]) {
        assert_eq!(place(messages, slots), expect);
    }

    #[test]
    fn short_conversations_have_one_marker_on_the_last_block() {
        check(&[], 3, &[]);
        check(&[vec![Plain]], 3, &[(0, 0)]);
        check(&[vec![Plain]], 0, &[]);
        check(
            &[vec![Plain], vec![Plain, ToolUse, ToolUse], vec![ToolResult, ToolResult]],
            3,
            &[(2, 1)],
        );
        check(&[vec![Plain], vec![Plain, Unmarkable]], 3, &[(1, 0)]);
        check(&[vec![Unmarkable]], 3, &[]);
    }

    #[test]
    fn long_ones_have_more_at_every_fifteenth_position() {
        let one = |count| vec![vec![Plain]; count];
        check(&one(15), 3, &[(14, 0)]);
        check(&one(16), 3, &[(15, 0), (14, 0)]);
        check(&one(31), 3, &[(30, 0), (29, 0), (14, 0)]);
        check(&one(100), 3, &[(99, 0), (89, 0), (74, 0)]);
        check(&one(100), 2, &[(99, 0), (89, 0)]);
    }

    #[test]
    fn parallel_calls_are_one_position() {
        let mut messages = vec![vec![Plain], vec![ToolUse; 40], vec![ToolResult; 40]];
        check(&messages, 3, &[(2, 39)]);
        messages.extend(vec![vec![Plain]; 13]);
        check(&messages, 3, &[(15, 0), (14, 0)]);
    }

    #[test]
    fn a_marker_moves_back_from_what_cannot_be_marked() {
        let mut messages = vec![vec![Plain]; 20];
        messages[14] = vec![Unmarkable];
        check(&messages, 3, &[(19, 0), (13, 0)]);
    }

    /// The claim of the module: whatever was marked last time is within reach this time.
    #[test]
    fn the_next_turn_meets_an_earlier_marker() {
        for before in 1..120 {
            for added in 1..=30 {
                let old = place(&vec![vec![Plain]; before], 3);
                let new = place(&vec![vec![Plain]; before + added], 3);
                let met = new
                    .iter()
                    .any(|(at, _)| old.iter().any(|(kept, _)| kept <= at && at - kept < 20));
                assert!(met, "{before} + {added}: {old:?} {new:?}");
            }
        }
    }
}
