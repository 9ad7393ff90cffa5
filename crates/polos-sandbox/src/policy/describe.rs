//! The second parser: a full grammar of bash, which says what a line would run.
//!
//! For lines that are a question it lists the commands in them, wherever they are nested. For
//! lines that would pass it must find exactly the words that the strict parser found: two parsers
//! that disagree are a question too.

use std::ops::Range;

use tree_sitter::{Node, Parser, Tree, TreeCursor};

/// The most commands that are listed.
const COMMANDS_MAX: usize = 100;

/// A command found somewhere in a line, as it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) name: String,
}

/// What the full grammar makes of a line.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) commands: Vec<Found>,
    /// Whether the line is well formed.
    pub(crate) is_whole: bool,
}

/// Lists all commands in the line, nested ones too.
pub(crate) fn describe(line: &str) -> Description {
    let Some(tree) = parse(line) else {
        return Description { commands: Vec::new(), is_whole: false };
    };
    let mut commands = Vec::new();
    walk(&tree, |node| {
        if matches!(node.kind(), "command" | "declaration_command" | "test_command")
            && commands.len() < COMMANDS_MAX
        {
            let name = node.child_by_field_name("name").unwrap_or(node);
            commands.push(Found {
                text: line[node.byte_range()].to_owned(),
                name: line[name.byte_range()].to_owned(),
            });
        }
    });
    Description { commands, is_whole: !tree.root_node().has_error() }
}

/// Whether the full grammar sees exactly these words and redirections, and nothing else.
pub(crate) fn agrees(line: &str, spans: &[Range<usize>]) -> bool {
    let Some(tree) = parse(line) else { return false };
    if tree.root_node().has_error() {
        return false;
    }
    let (mut seen, mut known) = (Vec::new(), true);
    walk(&tree, |node| match node.kind() {
        "program"
        | "list"
        | "pipeline"
        | "command"
        | "redirected_statement"
        | "&&"
        | "||"
        | "|"
        | ";"
        | "\n" => {}
        _ if is_within_word(node) => {}
        "command_name" | "file_redirect" => seen.push(node.byte_range()),
        _ if is_argument(node) => seen.push(node.byte_range()),
        _ => known = false,
    });
    seen.sort_by_key(|span| span.start);
    known && seen == spans
}

fn parse(line: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    parser.parse(line, None)
}

/// The kinds of which a plain word is made.
const WORD_KINDS: &[&str] =
    &["word", "number", "string", "string_content", "raw_string", "concatenation", "\"", "="];

fn is_argument(node: Node<'_>) -> bool {
    node.parent().is_some_and(|parent| parent.kind() == "command")
        && WORD_KINDS.contains(&node.kind())
}

/// Whether the node is a part of a word or a redirection that is counted as a whole.
fn is_within_word(node: Node<'_>) -> bool {
    let Some(parent) = node.parent() else { return false };
    let redirect_parts = ["file_descriptor", ">", ">&", "word", "number"];
    match parent.kind() {
        "file_redirect" => redirect_parts.contains(&node.kind()),
        "command_name" | "string" | "concatenation" => WORD_KINDS.contains(&node.kind()),
        _ => false,
    }
}

/// Visits every node, without recursion: the depth of a line is its writer's choice.
fn walk(tree: &Tree, mut visit: impl FnMut(Node<'_>)) {
    let mut cursor = tree.walk();
    loop {
        visit(cursor.node());
        if !cursor.goto_first_child() && !goto_next(&mut cursor) {
            return;
        }
    }
}

fn goto_next(cursor: &mut TreeCursor<'_>) -> bool {
    loop {
        if cursor.goto_next_sibling() {
            return true;
        }
        if !cursor.goto_parent() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::strict;

    #[test]
    fn nested_commands_are_found() {
        let description = describe("if true; then a $(b \"$(c)\"); fi > x; f() { d; }; e x <(g) &");
        let names: Vec<&str> =
            description.commands.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["true", "a", "b", "c", "d", "e", "g"]);
        assert!(!describe("a 'b").is_whole);
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let line = format!("{}x", "$(".repeat(4_000));
        assert!(describe(&line).commands.len() <= COMMANDS_MAX);
    }

    #[test]
    fn plain_lines_are_read_alike() {
        let lines = [
            "git commit -m \"fix: a b\" --author='x <y>'",
            "ls -la 2>&1 | wc -l; cat a.txt >/dev/null 2>/dev/null && echo done || echo 1",
            "git diff HEAD~1 src/*.rs a=b 1,5p",
            "p 'a'\"b\"c @x %y +z ,w",
            "a\n\nb\n",
        ];
        for line in lines {
            let parsed = strict::parse(line).unwrap();
            assert!(agrees(line, &parsed.spans), "{line}");
        }
    }

    #[test]
    fn other_words_are_a_disagreement() {
        let spans = strict::parse("p qr").unwrap().spans;
        assert!(agrees("p qr", &spans));
        assert!(!agrees("p q r", &spans));
        assert!(!agrees("p $q", &spans));
        assert!(!agrees("p qr &", &spans));
    }
}
