//! sed and awk: their scripts are programs, so only the simplest scripts pass by a wildcard.

use polos_toolbox::message::Word;

use super::options::{Hazard, text};

/// Passes `sed` with plain options and scripts that only print, delete or substitute.
pub(crate) fn sed(argv: &[Word]) -> Vec<Hazard> {
    let mut found = Vec::new();
    let mut script_seen = argv.iter().any(|word| text(word) == "-e");
    let mut script_next = false;
    for (index, word) in argv.iter().enumerate().skip(1) {
        let argument = text(word);
        let is_literal = matches!(word, Word::Literal(_));
        if script_next || (!argument.starts_with('-') && !script_seen) {
            (script_next, script_seen) = (false, true);
            if !is_literal || !sed_script_is_plain(argument) {
                let why = format!("the sed script `{argument}` may write or run");
                found.push(Hazard::new(index, why));
            }
        } else if argument == "-e" {
            script_next = true;
        } else if argument.starts_with('-') && !SED_SAFE.contains(&argument) {
            found.push(Hazard::new(index, format!("`{argument}` may change files")));
        }
    }
    found
}

const SED_SAFE: &[&str] = &[
    "-n",
    "-E",
    "-r",
    "-u",
    "-z",
    "-ne",
    "-nE",
    "-nr",
    "--quiet",
    "--silent",
    "--regexp-extended",
    "--posix",
    "--debug",
    "--sandbox",
    "--",
];

fn sed_script_is_plain(script: &str) -> bool {
    !script.is_empty() && substitution_is_plain(script)
        || script.split(';').all(|command| line_command_is_plain(command.trim()))
}

/// `s/…/…/flags`, with a delimiter that occurs nowhere else and harmless flags.
fn substitution_is_plain(script: &str) -> bool {
    let Some(rest) = script.strip_prefix('s') else { return false };
    let Some(delimiter) = rest.chars().next().filter(|c| "/|#,:".contains(*c)) else {
        return false;
    };
    let parts: Vec<&str> = rest.split(delimiter).collect();
    let [_, pattern, replacement, flags] = parts.as_slice() else { return false };
    !pattern.ends_with('\\')
        && !replacement.ends_with('\\')
        && !script.contains('\n')
        && flags.chars().all(|c| "gpiI".contains(c) || c.is_ascii_digit())
}

/// `5p`, `1,20p`, `$d`, `/text/p` and the like.
fn line_command_is_plain(command: &str) -> bool {
    let Some(address) = command.strip_suffix(['p', 'd', 'q', '=']) else { return false };
    let is_plain_regex = |part: &str| {
        let inner = part.strip_prefix('/').and_then(|part| part.strip_suffix('/'));
        inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['/', '\\', '\n']))
    };
    let is_number = |part: &str| {
        let digits = part.strip_prefix('+').unwrap_or(part);
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    let parts: Vec<&str> = address.split(',').collect();
    address.is_empty()
        || is_plain_regex(address)
        || parts.len() <= 2 && parts.iter().all(|part| *part == "$" || is_number(part))
}

/// Passes `awk` programs that cannot run, write or read anything but their input.
pub(crate) fn awk(argv: &[Word]) -> Vec<Hazard> {
    let mut found = Vec::new();
    let mut program_seen = false;
    let mut value_next = false;
    for (index, word) in argv.iter().enumerate().skip(1) {
        let argument = text(word);
        if std::mem::take(&mut value_next) || program_seen {
            continue;
        }
        if argument == "-F" || argument == "-v" {
            value_next = true;
        } else if argument.starts_with("-F") {
        } else if argument.starts_with('-') {
            found.push(Hazard::new(index, format!("`{argument}` may load or run code")));
        } else {
            program_seen = true;
            if !matches!(word, Word::Literal(_)) || !awk_program_is_plain(argument) {
                let why = format!("the awk program `{argument}` may write or run");
                found.push(Hazard::new(index, why));
            }
        }
    }
    found
}

fn awk_program_is_plain(program: &str) -> bool {
    let words = ["system", "getline", "ENVIRON", "ARGV", "close", "fflush", "print >"];
    !program.contains(['|', '>', '<', '@', '\\'])
        && !words.iter().any(|word| program.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tool: fn(&[Word]) -> Vec<Hazard>, argv: &[&str], expected: &[usize]) {
        let words: Vec<Word> = argv.iter().map(|word| Word::Literal((*word).to_owned())).collect();
        let found: Vec<usize> = tool(&words).into_iter().map(|hazard| hazard.index).collect();
        assert_eq!(found, expected, "{argv:?}");
    }

    #[test]
    fn only_simple_sed_scripts_pass() {
        check(sed, &["sed", "-n", "1,5p", "f"], &[]);
        check(sed, &["sed", "s/a/b/g", "f"], &[]);
        check(sed, &["sed", "-e", "s|a|b|", "-e", "/x/d", "f"], &[]);
        check(sed, &["sed", "-n", "$p;3q", "f"], &[]);
        check(sed, &["sed", "s/x/id/e", "f"], &[1]);
        check(sed, &["sed", "w /etc/x", "f"], &[1]);
        check(sed, &["sed", "s/a/b/w /etc/x", "f"], &[1]);
        check(sed, &["sed", "1e id", "f"], &[1]);
        check(sed, &["sed", "-i", "s/a/b/", "f"], &[1]);
        check(sed, &["sed", "-n", "-i.bak", "p", "f"], &[2]);
        check(sed, &["sed", "--in-pl", "p", "f"], &[1]);
        check(sed, &["sed", "-f", "x", "f"], &[1, 2]);
        check(sed, &["sed", "s/a\\/b/c/e", "f"], &[1]);
        check(sed, &["sed", "p\nw x", "f"], &[1]);
    }

    #[test]
    fn only_simple_awk_programs_pass() {
        check(awk, &["awk", "{print $1}", "f"], &[]);
        check(awk, &["awk", "-F", ":", "NR==2 {print $1}", "f"], &[]);
        check(awk, &["awk", "BEGIN{system(\"id\")}"], &[1]);
        check(awk, &["awk", "{print > \"x\"}"], &[1]);
        check(awk, &["awk", "\"id\" | getline x"], &[1]);
        check(awk, &["awk", "-f", "x"], &[1]);
        check(awk, &["gawk", "-i", "inplace", "{print}"], &[1]);
    }
}
