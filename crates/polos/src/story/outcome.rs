//! What an entry gave, in words: a model's reply, a tool's outcome, a person's answer; everything
//! else is shown as the JSON that it is.

use crate::show::{amount, json};
use polos_agent::recorded::{EXEC, MODEL, NOTE, TOOL, ToolOutcome};
use polos_protocol::NewRecord;
use polos_protocol::record::{Answer, EventValue};
use serde_json::Value;

/// What a step of this label gave.
pub(super) fn of_step(label: &str, record: &NewRecord) -> String {
    let told = match label {
        MODEL => of_model(record),
        EXEC | TOOL => of_tool(record),
        NOTE => of_note(record),
        _ => None,
    };
    told.unwrap_or_else(|| plainly(record))
}

/// What a wait gave, by what it waited for.
pub(super) fn of_wait(by: &str, record: &NewRecord) -> String {
    let told = match by {
        "timer" => Some(String::new()),
        "approval" => of_person(record),
        "event" => of_event(record),
        _ => of_child(record),
    };
    told.unwrap_or_else(|| json::brief(&plainly(record), usize::MAX))
}

/// The error, the value, or where the value is.
pub(super) fn plainly(record: &NewRecord) -> String {
    match (&record.error, &record.value) {
        (Some(error), _) => format!("{} ({})", error.message, error.code),
        (None, Some(value)) => match (value.text(), value.reference()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(blob)) => format!("({} kept apart)", amount::bytes(blob.size)),
            (None, None) => String::new(),
        },
        (None, None) => String::new(),
    }
}

fn value(record: &NewRecord) -> Option<Value> {
    record.value.as_ref()?.parse().ok()
}

/// What a model said and which tools it called, in place of the whole reply.
fn of_model(record: &NewRecord) -> Option<String> {
    let reply = value(record)?;
    let blocks = reply.get("response").unwrap_or(&reply).get("content")?.as_array()?;
    let told = blocks.iter().filter_map(|block| {
        if let Some(text) = block.get("text").and_then(Value::as_str) {
            return Some(text.to_owned());
        }
        let name = block.get("name")?.as_str()?;
        let input = block.get("input").filter(|input| !input.is_null());
        let input =
            input.map(|input| input.as_str().map_or_else(|| input.to_string(), str::to_owned));
        Some(format!("→ {name} {}", input.unwrap_or_default()))
    });
    Some(told.collect::<Vec<_>>().join(" "))
}

/// The command with its exit status and last line; of other tools, what they were about.
fn of_tool(record: &NewRecord) -> Option<String> {
    let outcome: ToolOutcome = record.value.as_ref()?.parse().ok()?;
    let Some(ran) = &outcome.ran else {
        let failed = if outcome.is_error { ": failed" } else { "" };
        return Some(format!("{} {}{failed}", outcome.tool, outcome.about));
    };
    let status =
        ran.exit_code.map_or_else(|| "ended by force".to_owned(), |code| format!("exit {code}"));
    let last = ran.stdout.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(" · {}", line.trim())).unwrap_or_default();
    Some(format!("$ {} · {status}{last}", outcome.about))
}

/// What was decided or looked up.
fn of_note(record: &NewRecord) -> Option<String> {
    let value = value(record)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let word = [text("verdict"), text("outlook")].concat();
    Some(match word.as_str() {
        "run" if text("by") == "policy" => "allowed by the policy".to_owned(),
        "run" => format!("allowed before, for {}", text("by")),
        "ask" => "a person decides".to_owned(),
        "deny" => format!("denied: {}", text("reason")),
        "would" => format!("would change {}", text("path")),
        "refused" => format!("refused: {} {}", text("tool"), text("about")),
        _ => return None,
    })
}

fn of_person(record: &NewRecord) -> Option<String> {
    let answer: Answer = record.value.as_ref()?.parse().ok()?;
    let verdict = if answer.approved { "approved" } else { "rejected" };
    let scope = answer.scope.filter(|s| s != "once").map(|s| format!(", {s}")).unwrap_or_default();
    let said = answer.feedback.map(|text| format!(": {text}")).unwrap_or_default();
    Some(format!("{verdict} by {}{scope}{said}", answer.by))
}

fn of_event(record: &NewRecord) -> Option<String> {
    let event: EventValue = record.value.as_ref()?.parse().ok()?;
    let payload = event.payload.text().unwrap_or_default();
    Some(format!("{} {payload}", event.id))
}

/// An agent's answer is its text, whatever else it gave.
fn of_child(record: &NewRecord) -> Option<String> {
    let value = value(record).filter(|value| value.get("turns").is_some())?;
    value.get("text")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::{Kind, StepKey, Value as Recorded};

    fn check(label: &str, json: &str, expect: &str) {
        let mut record = NewRecord::new(1, Kind::Step, StepKey::from_recorded("a"), 0);
        record.value = Some(Recorded::from_text(json).unwrap());
        assert_eq!(of_step(label, &record), expect);
    }

    #[test]
    fn what_agents_record_is_told_in_words() {
        let ran = r#"{"tool":"exec","about":"sh test.sh","content":[],"ran":{"exit_code":1,
            "duration_ms":9,"stdout":"ok 1\n4 of 7 tests passed\n"}}"#;
        check(EXEC, ran, "$ sh test.sh · exit 1 · 4 of 7 tests passed");
        let failed = r#"{"tool":"edit","about":"a.txt","content":[],"is_error":true}"#;
        check(TOOL, failed, "edit a.txt: failed");
        check(NOTE, r#"{"verdict":"run","by":"policy"}"#, "allowed by the policy");
        check(NOTE, r#"{"verdict":"deny","reason":"no"}"#, "denied: no");
        check(NOTE, r#"{"outlook":"would","path":"/workspace/a"}"#, "would change /workspace/a");
        check(NOTE, r#"[{"user":[]}]"#, r#"[{"user":[]}]"#);
        check("step", r#"{"outlook":1}"#, r#"{"outlook":1}"#);
        check(TOOL, "7", "7");
    }
}
