//! The command line of the toolbox: the hidden subcommand of `polos`, and the stand-alone program.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::files::Mount;
use crate::server::{self, GRACE_DEFAULT, Options, Peers};
use crate::supervisor;
pub use crate::supervisor::BeforeCommand;

const USAGE: &str = "\
usage: polos-toolbox serve --state DIR [--workspace DIR] [--name NAME] [--read DIR]...
                           [--ledger FILE] [--grace-ms N] [--one-filesystem]
       polos-toolbox attach --state DIR

serve   speaks frames over standard input and output, and on DIR/toolbox.sock
attach  connects standard input and output to a toolbox that serves under DIR

--workspace DIR    the folder that the tools work in (/workspace)
--name NAME        the name under which they address it (the folder itself)
--read DIR         a further folder that the file tools may read
--ledger FILE      gets a line for each command that was really started
--grace-ms N       wait for the next worker before everything ends (600000)
--one-filesystem   the file tools do not enter what is mounted in the workspace
";

/// The word after which this program is the supervisor of one command; for its own use.
const SUPERVISOR: &str = "supervise-command";

/// Runs the toolbox. `prefix` is what must stand before `arguments` when this program is executed
/// again: empty, or the hidden subcommand under which `polos` calls this.
pub fn main(prefix: &[&str], arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let words = words.unwrap_or_default();
    let done = match words.split_first() {
        Some((&SUPERVISOR, [])) => supervisor::run(None).map_err(|error| error.to_string()),
        Some((&"serve", rest)) => serve(prefix, rest),
        Some((&"attach", rest)) => attach(rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

/// Supervises one command, for environments that take something away from each of its processes.
pub fn supervise(before: BeforeCommand) -> io::Result<()> {
    supervisor::run(Some(before))
}

fn serve(prefix: &[&str], arguments: &[&str]) -> Result<(), String> {
    let mut options = Arguments::parse(arguments)?.options()?;
    options.supervisor = prefix.iter().chain(&[SUPERVISOR]).map(OsString::from).collect();
    server::serve(options).map_err(|error| error.to_string())
}

fn attach(arguments: &[&str]) -> Result<(), String> {
    let state = Arguments::parse(arguments)?.state()?;
    server::attach(&state)
        .map_err(|error| format!("no toolbox serves under `{}`: {error}", state.display()))
}

/// Options as they were given.
#[derive(Debug, Default)]
struct Arguments<'a> {
    state: Option<&'a str>,
    workspace: Option<&'a str>,
    name: Option<&'a str>,
    read: Vec<&'a str>,
    ledger: Option<&'a str>,
    grace_ms: Option<u64>,
    one_filesystem: bool,
}

impl<'a> Arguments<'a> {
    fn parse(arguments: &[&'a str]) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            if *option == "--one-filesystem" {
                parsed.one_filesystem = true;
                continue;
            }
            let value = *rest.next().ok_or_else(|| format!("`{option}` needs a value\n{USAGE}"))?;
            match *option {
                "--state" => parsed.state = Some(value),
                "--workspace" => parsed.workspace = Some(value),
                "--name" => parsed.name = Some(value),
                "--read" => parsed.read.push(value),
                "--ledger" => parsed.ledger = Some(value),
                "--grace-ms" => {
                    let number = value.parse().map_err(|_| format!("`{value}` is no number"))?;
                    parsed.grace_ms = Some(number);
                }
                _ => return Err(format!("unknown option `{option}`\n{USAGE}")),
            }
        }
        Ok(parsed)
    }

    fn state(&self) -> Result<PathBuf, String> {
        self.state.map(PathBuf::from).ok_or_else(|| format!("`--state` is missing\n{USAGE}"))
    }

    fn options(&self) -> Result<Options, String> {
        let disk = self.workspace.unwrap_or("/workspace");
        let name = self.name.unwrap_or(disk).trim_end_matches('/').to_owned();
        if !name.starts_with('/') {
            return Err(format!("`{name}` is not absolute: a workspace is named from the root"));
        }
        Ok(Options {
            state: self.state()?,
            workspace: Mount { name, disk: PathBuf::from(disk) },
            read_paths: self.read.iter().map(|path| Mount::itself(path)).collect(),
            cross_mounts: !self.one_filesystem,
            ledger: self.ledger.map(PathBuf::from),
            grace: self.grace_ms.map_or(GRACE_DEFAULT, Duration::from_millis),
            socket: None,
            peers: Peers::Any,
            supervisor: Vec::new(),
        })
    }
}
