//! Git: a program with a program behind many an option.
//!
//! A wildcard approves the subcommands of daily work on a local repository. Others (those that
//! reach the network or run what they are given) pass only when the pattern names them. Hooks and
//! the repository's configuration are the business of the box, which keeps them read-only.

use polos_toolbox::message::Word;

use super::options::{Hazard, names_long, names_short, text};

/// Global options that change nothing but the form of the output.
const GLOBAL_SAFE: &[&str] =
    &["--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs", "--no-replace-objects"];

/// Subcommands that a wildcard approves.
const DAILY: &[&str] = &[
    "add",
    "blame",
    "branch",
    "cat-file",
    "check-ignore",
    "checkout",
    "cherry-pick",
    "clean",
    "commit",
    "count-objects",
    "describe",
    "diff",
    "diff-files",
    "diff-index",
    "diff-tree",
    "for-each-ref",
    "fsck",
    "grep",
    "init",
    "log",
    "ls-files",
    "ls-tree",
    "merge",
    "merge-base",
    "mv",
    "name-rev",
    "reflog",
    "reset",
    "restore",
    "rev-list",
    "rev-parse",
    "revert",
    "rm",
    "shortlog",
    "show",
    "show-branch",
    "show-ref",
    "stash",
    "status",
    "switch",
    "symbolic-ref",
    "tag",
    "var",
    "version",
    "whatchanged",
];

/// Options of any subcommand that run programs or write where they are told.
const LONG: &[&str] = &[
    "output",
    "output-directory",
    "ext-diff",
    "textconv",
    "open-files-in-pager",
    "exec",
    "exec-path",
    "upload-pack",
    "receive-pack",
    "edit-description",
    "template",
    "separate-git-dir",
    "gpg-sign",
    "sign",
    "config",
    "config-env",
    "tool",
    "extcmd",
    "remote-helper",
    "upload-archive",
    "strategy",
    "local-user",
];

/// Subcommands whose `--patch`, `--edit` and `--interactive` start the configured editor or filter.
const INTERACTIVE: &[&str] =
    &["add", "checkout", "cherry-pick", "commit", "merge", "reset", "restore", "revert", "stash"];
/// Those options. (`git log --patch` only prints.)
const LONG_INTERACTIVE: &[&str] = &["edit", "interactive", "patch"];

/// Harmless options that look like an abbreviation of one above.
const LONG_SAFE: &[&str] = &["text"];

pub(crate) fn hazards(argv: &[Word]) -> Vec<Hazard> {
    let mut found = Vec::new();
    let mut index = 1;
    while let Some(option) = argv.get(index).map(text).filter(|word| word.starts_with('-')) {
        let is_version = option == "--version" && argv.len() == 2;
        if !GLOBAL_SAFE.contains(&option) && !is_version {
            let why = format!("`git {option}` changes what git runs or where it works");
            found.push(Hazard::new(index, why));
        }
        index += 1;
    }
    let Some(subcommand) = argv.get(index) else { return found };
    let name = text(subcommand);
    if matches!(subcommand, Word::Glob { .. }) || !DAILY.contains(&name) {
        let why = format!("`git {name}` can reach other hosts, run programs or change settings");
        found.push(Hazard::new(index, why));
    }
    let arguments = argv.iter().enumerate().skip(index + 1);
    found.extend(arguments.filter_map(|(at, word)| {
        argument_hazard(name, text(word)).map(|why| Hazard::new(at, why))
    }));
    found
}

fn argument_hazard(subcommand: &str, argument: &str) -> Option<String> {
    if argument.contains("::") && is_url_like(argument) {
        return Some(format!("`{argument}` names a transport program"));
    }
    let clusters = before_value(subcommand, argument);
    let starts_editor =
        INTERACTIVE.contains(&subcommand) && names_long(argument, LONG_INTERACTIVE, LONG_SAFE);
    let dangerous = starts_editor
        || names_long(argument, LONG, LONG_SAFE)
        || names_short(clusters, short_options(subcommand));
    dangerous.then(|| format!("`{argument}` can run programs or write files"))
}

/// `ext::sh -c …` is a transport; `module::name` in a message or a path is not, if a blank or a
/// slash stands before the colons.
fn is_url_like(argument: &str) -> bool {
    let scheme = argument.split("::").next().unwrap_or_default();
    scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.'))
}

/// Short options that run programs or write files, by subcommand.
fn short_options(subcommand: &str) -> &'static str {
    match subcommand {
        "grep" => "O",
        "clone" => "uc",
        "rebase" => "xi",
        "add" => "eip",
        "stash" | "checkout" | "reset" | "restore" => "p",
        "am" => "S",
        "commit" => "Sep",
        "cherry-pick" | "revert" => "Se",
        "merge" => "Sse",
        "tag" => "su",
        "archive" | "format-patch" => "o",
        "difftool" | "mergetool" => "xt",
        "pull" | "fetch" => "uSs",
        _ => "",
    }
}

/// The part of a cluster that can only be options: after `-m` comes a message.
fn before_value<'a>(subcommand: &str, argument: &'a str) -> &'a str {
    let takes_value = match subcommand {
        "commit" => "mFcCt",
        "merge" | "tag" => "mF",
        "grep" => "ef",
        _ => return argument,
    };
    match argument.find(|c| takes_value.contains(c)) {
        Some(at) if argument.starts_with('-') && !argument.starts_with("--") => &argument[..at],
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expected: &[usize]) {
        let argv: Vec<Word> =
            command.split(' ').map(|word| Word::Literal(word.to_owned())).collect();
        let found: Vec<usize> = hazards(&argv).into_iter().map(|hazard| hazard.index).collect();
        assert_eq!(found, expected, "{command}");
    }

    #[test]
    fn daily_work_passes() {
        check("git status --short", &[]);
        check("git --no-pager diff --text HEAD~1", &[]);
        check("git commit -am Some", &[]);
        check("git commit -mSign", &[]);
        check("git checkout -b fix/x", &[]);
        check("git log --oneline -n 5 --format=%H", &[]);
        check("git diff --stat main..fix", &[]);
        check("git log -p --patch", &[]);
        check("git commit --no-edit --amend", &[]);
        check("git --version", &[]);
    }

    #[test]
    fn what_runs_or_writes_elsewhere_asks() {
        check("git -C /x log", &[1, 2]);
        check("git --exec-path=/tmp log", &[1]);
        check("git -c core.pager=id log", &[1, 2]);
        check("git log --output=/x", &[2]);
        check("git log --outp /x", &[2]);
        check("git clone ext::sh x", &[1, 2]);
        check("git grep -nOid x", &[2]);
        check("git fetch --upload-pa=id origin", &[1, 2]);
        check("git commit -S", &[2]);
        check("git commit -aS", &[2]);
        check("git add -e", &[2]);
        check("git add --patch x", &[2]);
        check("git stash push -p", &[3]);
        check("git commit -pm Some", &[2]);
        check("git frobnicate", &[1]);
        check("git config core.hooksPath x", &[1]);
    }
}
