//! What well-known programs can be talked into by their arguments.
//!
//! An allowlisted program may have options that run another program or write where they are told.
//! Such an argument asks, even under `tool *`, unless the pattern spells it out. In doubt an
//! argument is taken for the dangerous one: GNU abbreviations and clusters of short options count.

use polos_toolbox::message::Word;

use super::{git, stream_editors};

/// An argument that a wildcard does not approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hazard {
    /// Where it stands in the argument vector.
    pub(crate) index: usize,
    pub(crate) why: String,
}

impl Hazard {
    pub(crate) fn new(index: usize, why: impl Into<String>) -> Self {
        Self { index, why: why.into() }
    }
}

/// The last part of a program's path.
pub(crate) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The text of a word, wildcards included.
pub(crate) fn text(word: &Word) -> &str {
    match word {
        Word::Literal(text) => text,
        Word::Glob { glob } => glob,
    }
}

/// Whether the program runs its arguments, or whatever it is told interactively.
pub(crate) fn is_wrapper(name: &str) -> bool {
    let base = base_name(name);
    WRAPPERS.contains(&base) || base.starts_with("ld-linux") || base.starts_with("ld.so")
}

/// Whether the program exists to run code that somebody wrote.
pub(crate) fn runs_code(name: &str) -> bool {
    let base = base_name(name);
    let stem = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    name.starts_with("./") || CODE_RUNNERS.contains(&base) || CODE_RUNNERS.contains(&stem)
}

/// All arguments that a wildcard must not approve.
pub(crate) fn hazards(argv: &[Word]) -> Vec<Hazard> {
    let name = argv.first().map(text).unwrap_or_default();
    let base = base_name(name).strip_prefix('g').filter(|base| GNU_TOOLS.contains(base));
    let base = base.unwrap_or_else(|| base_name(name));
    let mut found = glob_hazards(base, argv);
    match base {
        "git" => found.extend(git::hazards(argv)),
        "sed" => found.extend(stream_editors::sed(argv)),
        "awk" | "gawk" | "mawk" | "nawk" => found.extend(stream_editors::awk(argv)),
        "tar" | "bsdtar" => found.extend(tar(argv)),
        "uniq" | "xxd" => found.extend(second_file(argv)),
        "man" | "apropos" | "whatis" => found.extend(any_option(argv)),
        "curl" => found.extend(unlisted(argv, CURL_SAFE)),
        "wget" => found.extend(unlisted(argv, WGET_SAFE)),
        _ => {}
    }
    if let Some(tool) = TOOLS.iter().find(|tool| tool.names.contains(&base)) {
        let refused = argv.iter().enumerate().skip(1).filter(|(_, word)| tool.refuses(text(word)));
        found.extend(refused.map(|(index, word)| {
            Hazard::new(index, format!("`{}` can run programs or write files", text(word)))
        }));
    }
    found
}

/// A word that begins with a wildcard may expand to anything that lies there, in the place of an
/// option or an output file; only programs that merely read all their arguments take it.
fn glob_hazards(base: &str, argv: &[Word]) -> Vec<Hazard> {
    let starts_wild =
        |word: &Word| matches!(word, Word::Glob { glob } if glob.starts_with(['*', '?']));
    argv.iter()
        .enumerate()
        .filter(|(_, word)| !READERS.contains(&base) && starts_wild(word))
        .map(|(index, word)| {
            let why = format!("`{}` may expand to names that are taken for options", text(word));
            Hazard::new(index, why)
        })
        .collect()
}

/// A program and its options that run programs or write files.
struct Tool {
    names: &'static [&'static str],
    /// Long options; what abbreviates them counts.
    long: &'static [&'static str],
    /// Harmless options that look like an abbreviation of a dangerous one.
    long_safe: &'static [&'static str],
    /// Letters of short options, wherever they stand in a cluster.
    short: &'static str,
    /// Whole arguments, and beginnings of arguments that end in `*`.
    whole: &'static [&'static str],
}

const NONE: Tool = Tool { names: &[], long: &[], long_safe: &[], short: "", whole: &[] };

const TOOLS: &[Tool] = &[
    Tool {
        names: &["find"],
        whole: &["-exec*", "-ok*", "-delete", "-fls", "-fprint*", "-files0-from"],
        ..NONE
    },
    Tool { names: &["fd", "fdfind"], long: &["exec", "exec-batch"], short: "xX", ..NONE },
    Tool { names: &["rg"], long: &["pre", "hostname-bin", "search-zip"], short: "z", ..NONE },
    Tool { names: &["ag", "ack", "bat", "batcat"], long: &["pager", "ackrc"], ..NONE },
    Tool {
        names: &["sort"],
        long: &["output", "compress-program", "temporary-directory", "files0-from"],
        short: "oT",
        ..NONE
    },
    Tool { names: &["shuf", "base64", "base32", "tree"], long: &["output"], short: "o", ..NONE },
    Tool { names: &["zip"], long: &["unzip-command", "test"], short: "T", ..NONE },
    Tool { names: &["xxd"], short: "r", whole: &["-revert"], ..NONE },
    Tool { names: &["date"], long: &["set", "file"], short: "sf", ..NONE },
    Tool {
        names: &["file"],
        long: &["compile", "magic-file", "uncompress", "uncompress-noreport", "files-from"],
        short: "CmzZf",
        ..NONE
    },
    Tool {
        names: &["jq", "gojq"],
        long: &["from-file", "library-path", "run-tests"],
        short: "fL",
        ..NONE
    },
    Tool { names: &["yq"], long: &["inplace", "in-place", "split-exp"], short: "is", ..NONE },
    Tool { names: &["split"], long: &["filter"], ..NONE },
    Tool { names: &["diff3", "sdiff"], long: &["diff-program", "output"], short: "o", ..NONE },
    Tool { names: &["patch"], long: &["ed", "output"], short: "eo", ..NONE },
    Tool { names: &["rsync"], long: &["rsh", "rsync-path"], short: "e", ..NONE },
    Tool { names: &["ctags"], long: &["options", "_xformat"], short: "o", ..NONE },
    Tool { names: &["iconv", "pr", "cscope"], long: &["output"], short: "o", ..NONE },
    Tool { names: &["which", "hostname"], short: "F", ..NONE },
    Tool {
        names: &["tar", "bsdtar"],
        long: &[
            "to-command",
            "checkpoint-action",
            "use-compress-program",
            "info-script",
            "new-volume-script",
            "rsh-command",
            "rmt-command",
            "absolute-names",
            "index-file",
        ],
        long_safe: &["checkpoint"],
        short: "IFP",
        ..NONE
    },
];

impl Tool {
    fn refuses(&self, argument: &str) -> bool {
        self.whole.iter().any(|whole| match whole.strip_suffix('*') {
            Some(start) => argument.starts_with(start),
            None => argument == *whole,
        }) || names_long(argument, self.long, self.long_safe)
            || names_short(argument, self.short)
    }
}

/// Whether the argument is one of these long options, or an abbreviation of one.
pub(crate) fn names_long(argument: &str, dangerous: &[&str], safe: &[&str]) -> bool {
    let Some(option) = argument.strip_prefix("--").filter(|option| !option.is_empty()) else {
        return false;
    };
    let name = option.split('=').next().unwrap_or(option);
    !safe.contains(&name) && dangerous.iter().any(|long| long.starts_with(name))
}

/// Whether one of these letters stands in a cluster of short options.
pub(crate) fn names_short(argument: &str, dangerous: &str) -> bool {
    match argument.strip_prefix('-') {
        Some(letters) if !letters.starts_with('-') => letters.contains(|c| dangerous.contains(c)),
        _ => false,
    }
}

/// The old style of tar, options without a dash, and archives on other hosts.
fn tar(argv: &[Word]) -> Vec<Hazard> {
    let mut found = Vec::new();
    for (index, word) in argv.iter().enumerate().skip(1) {
        let argument = text(word);
        if index == 1 && !argument.starts_with('-') && argument.contains(['I', 'F', 'P']) {
            found.push(Hazard::new(index, format!("`{argument}` can run programs")));
        } else if argument.contains(':') {
            found.push(Hazard::new(index, format!("`{argument}` may name a remote archive")));
        }
    }
    found
}

/// Programs whose second file is written to.
fn second_file(argv: &[Word]) -> Vec<Hazard> {
    let files = argv.iter().enumerate().skip(1).filter(|(_, word)| !text(word).starts_with('-'));
    let (mut seen, mut found) = (0, Vec::new());
    for (index, word) in files {
        seen += if matches!(word, Word::Glob { .. }) { 2 } else { 1 };
        if seen > 1 {
            found.push(Hazard::new(index, format!("it may write to `{}`", text(word))));
        }
    }
    found
}

fn any_option(argv: &[Word]) -> Vec<Hazard> {
    let options = argv.iter().enumerate().skip(1).filter(|(_, word)| text(word).starts_with('-'));
    options
        .map(|(index, word)| Hazard::new(index, format!("`{}` may run programs", text(word))))
        .collect()
}

/// Programs with so many ways to write and run that only listed options pass.
fn unlisted(argv: &[Word], safe: &[&str]) -> Vec<Hazard> {
    argv.iter()
        .enumerate()
        .skip(1)
        .filter(|(_, word)| {
            let argument = text(word);
            let name = argument.split('=').next().unwrap_or(argument);
            argument.starts_with('-') && !safe.contains(&name)
        })
        .map(|(index, word)| {
            Hazard::new(index, format!("`{}` may send, write or run files", text(word)))
        })
        .collect()
}

const CURL_SAFE: &[&str] = &[
    "-s",
    "-S",
    "-f",
    "-L",
    "-I",
    "-i",
    "-v",
    "-G",
    "-sS",
    "-fsS",
    "-fsSL",
    "-sSL",
    "-sL",
    "-sSf",
    "-sSfL",
    "-m",
    "-4",
    "-6",
    "--silent",
    "--show-error",
    "--fail",
    "--location",
    "--head",
    "--include",
    "--verbose",
    "--max-time",
    "--connect-timeout",
    "--retry",
    "--compressed",
    "--http1.1",
    "--http2",
];

const WGET_SAFE: &[&str] =
    &["-q", "-S", "-nv", "--spider", "--quiet", "--no-verbose", "--timeout", "--tries"];

/// Programs that read all their arguments and write to standard output alone; a file name in the
/// place of an option cannot do harm, and the toolbox marks such names with `./`.
const READERS: &[&str] = &[
    "ls",
    "cat",
    "wc",
    "head",
    "tail",
    "stat",
    "grep",
    "egrep",
    "fgrep",
    "du",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "echo",
    "git",
];

/// Programs that some systems call by a leading `g`.
const GNU_TOOLS: &[&str] =
    &["find", "sed", "tar", "sort", "split", "shuf", "date", "uniq", "base64", "awk", "stat"];

const WRAPPERS: &[&str] = &[
    "env",
    "xargs",
    "sudo",
    "doas",
    "su",
    "nohup",
    "nice",
    "timeout",
    "time",
    "stdbuf",
    "setsid",
    "chroot",
    "unshare",
    "nsenter",
    "watch",
    "parallel",
    "eval",
    "exec",
    "command",
    "builtin",
    "source",
    ".",
    "trap",
    "alias",
    "bash",
    "rbash",
    "sh",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "mksh",
    "fish",
    "csh",
    "tcsh",
    "pwsh",
    "busybox",
    "toybox",
    "script",
    "ssh",
    "scp",
    "sftp",
    "make",
    "gmake",
    "bmake",
    "flock",
    "strace",
    "ltrace",
    "gdb",
    "lldb",
    "perf",
    "valgrind",
    "ionice",
    "chrt",
    "taskset",
    "prlimit",
    "numactl",
    "systemd-run",
    "run-parts",
    "entr",
    "tmux",
    "screen",
    "expect",
    "unbuffer",
    "socat",
    "nc",
    "ncat",
    "netcat",
    "telnet",
    "ftp",
    "less",
    "more",
    "most",
    "pg",
    "vi",
    "vim",
    "view",
    "rvim",
    "vimdiff",
    "nvim",
    "nano",
    "pico",
    "emacs",
    "ed",
    "red",
    "ex",
    "mc",
    "start-stop-daemon",
    "daemonize",
    "at",
    "batch",
    "crontab",
    "runuser",
    "setpriv",
    "capsh",
    "bwrap",
    "firejail",
    "proot",
    "fakeroot",
    "linux32",
    "linux64",
    "setarch",
    "i386",
    "x86_64",
    "catchsegv",
    "rlwrap",
    "xvfb-run",
    "dbus-run-session",
    "ssh-agent",
    "pkexec",
    "machinectl",
    "ip",
    "tsocks",
    "proxychains",
    "torsocks",
    "cpulimit",
    "chpst",
    "setuidgid",
    "choom",
    "uclampset",
    "coreutils",
    "rsh",
    "rlogin",
    "mosh",
    "gdbserver",
    "cscript",
];

const CODE_RUNNERS: &[&str] = &[
    "node",
    "nodejs",
    "deno",
    "bun",
    "bunx",
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "python",
    "pypy",
    "pip",
    "pipx",
    "uv",
    "uvx",
    "poetry",
    "pdm",
    "hatch",
    "tox",
    "nox",
    "pytest",
    "ruby",
    "irb",
    "gem",
    "bundle",
    "rake",
    "rails",
    "perl",
    "php",
    "composer",
    "lua",
    "luajit",
    "java",
    "jshell",
    "mvn",
    "gradle",
    "gradlew",
    "ant",
    "sbt",
    "scala",
    "kotlin",
    "cargo",
    "go",
    "dotnet",
    "swift",
    "zig",
    "cmake",
    "ctest",
    "ninja",
    "meson",
    "bazel",
    "buck",
    "just",
    "task",
    "make",
    "gmake",
    "jest",
    "vitest",
    "mocha",
    "eslint",
    "webpack",
    "vite",
    "tsx",
    "ts-node",
    "Rscript",
    "R",
    "julia",
    "elixir",
    "mix",
    "erl",
    "ghc",
    "cabal",
    "stack",
    "psql",
    "sqlite3",
    "sqlite",
    "mysql",
    "docker",
    "podman",
    "kubectl",
    "helm",
    "terraform",
    "ansible",
    "ansible-playbook",
    "gcc",
    "cc",
    "clang",
    "g++",
    "c++",
    "tcc",
    "ld",
    "osascript",
    "tclsh",
    "wish",
    "guile",
    "racket",
    "sbcl",
    "ocaml",
    "nim",
    "dart",
    "flutter",
    "groovy",
    "jq-lua",
    "nix",
    "nix-shell",
    "nix-build",
    "bpftrace",
];

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
    fn abbreviations_and_clusters_count() {
        check("sort --compress-prog sh f", &[1]);
        check("sort --o=x f", &[1]);
        check("sort -nro x f", &[1]);
        check("sort -n f", &[]);
        check("gsort -o x f", &[1]);
        check("/usr/bin/find . -execdir id", &[2]);
        check("find . -name x", &[]);
        check("tar xf a --to-command=id", &[3]);
        check("tar cIf sh a", &[1]);
        check("tar tf host:a", &[2]);
        check("tar tf a.tar --checkpoint", &[]);
        check("rg --pretty x", &[]);
        check("rg --pre=sh x", &[1]);
        check("uniq a b", &[2]);
        check("uniq -c a", &[]);
        check("curl -fsSL http://x", &[]);
        check("curl -o f http://x", &[1]);
        check("man ls", &[]);
        check("man --html=id ls", &[1]);
    }
}
