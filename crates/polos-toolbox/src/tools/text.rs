//! Replies as the text that the model reads. Images are the caller's to attach.

use std::fmt::Write as _;

use crate::message::{Edit, ExecResult, Glob, Grep, Output, Read, ReadContent, Reply, Write};

/// The text of a reply for the model.
pub fn text_of(reply: &Reply) -> String {
    match reply {
        Reply::Exec(result) => exec(result),
        Reply::Started(started) => format!(
            "running in the background as process `{}`; its output goes to {}",
            started.command, started.output_file
        ),
        Reply::Output(reply) => output(reply),
        Reply::Killed { command, was_running } => match was_running {
            true => format!("process `{command}` and all that it started were ended"),
            false => format!("process `{command}` had ended before"),
        },
        Reply::Read(reply) => read(reply),
        Reply::Write(reply) => write(reply),
        Reply::Edit(reply) => edit(reply),
        Reply::Glob(reply) => glob(reply),
        Reply::Grep(reply) => grep(reply),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn exec(result: &ExecResult) -> String {
    let mut text = format!("{}\n", result.why);
    section(&mut text, "stdout", &result.stdout);
    section(&mut text, "stderr", &result.stderr);
    if result.truncated.is_some() {
        line(&mut text, &format!("the whole output is in {}", result.output_file));
    }
    if result.left_running > 0 {
        let left = result.left_running;
        line(&mut text, &format!("processes it started that still run: {left}"));
    }
    text
}

fn section(text: &mut String, name: &str, content: &str) {
    if !content.is_empty() {
        line(text, &format!("<{name}>"));
        line(text, content.trim_end_matches('\n'));
        line(text, &format!("</{name}>"));
    }
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{content}");
}

fn output(reply: &Output) -> String {
    let state = match (&reply.result, reply.running) {
        (Some(result), _) => result.why.clone(),
        (None, true) => "still running".to_owned(),
        (None, false) => "not running, and its outcome is unknown".to_owned(),
    };
    let mut text = format!("{state}; go on with offset {}\n", reply.next_offset);
    section(&mut text, "output", &reply.text);
    text
}

fn read(reply: &Read) -> String {
    match &reply.content {
        ReadContent::Text { text, note: Some(note), .. } => format!("{text}[{note}]\n"),
        ReadContent::Text { text, note: None, .. } => text.clone(),
        ReadContent::Image { media_type, .. } => format!("{}: {media_type}", reply.path),
        ReadContent::Binary { media_type } => {
            let what = media_type.as_deref().unwrap_or("a binary file");
            format!("`{}` is {what} of {} bytes and is not shown", reply.path, reply.size_bytes)
        }
    }
}

fn write(reply: &Write) -> String {
    let did = match (reply.unchanged, reply.created) {
        (true, _) => "already had this content:",
        (false, true) => "created",
        (false, false) => "replaced",
    };
    format!("{did} {} ({} bytes)", reply.path, reply.size_bytes)
}

fn edit(reply: &Edit) -> String {
    let count = reply.replacements;
    let plural = if count == 1 { "replacement" } else { "replacements" };
    format!("edited {} ({count} {plural})\n{}", reply.path, reply.snippet)
}

fn glob(reply: &Glob) -> String {
    listed(&reply.paths, reply.note.as_deref(), "no files match")
}

fn grep(reply: &Grep) -> String {
    listed(&reply.lines, reply.note.as_deref(), "no matches")
}

fn listed(lines: &[String], note: Option<&str>, none: &str) -> String {
    let mut text = if lines.is_empty() { none.to_owned() } else { lines.join("\n") };
    text.push('\n');
    if let Some(note) = note {
        line(&mut text, &format!("[{note}]"));
    }
    text
}
