//! Nothing can be appended to a command that passes so that it still passes.

use proptest::prelude::*;

use crate::policy_table::allows;

const PATTERNS: &str = "ls *,git log *,node *,cat *";

fn passing_command() -> impl Strategy<Value = String> {
    let word =
        prop_oneof!["[a-z]{1,6}", "-[a-z]", "'[a-z ;|&$]{0,5}'", "\"[a-z ;|&>]{0,5}\"", "src/\\*"];
    let command = (
        prop_oneof![Just("ls"), Just("git log"), Just("node"), Just("cat")],
        prop::collection::vec(word, 0..4),
    );
    let command = command.prop_map(|(name, words)| format!("{name} {}", words.join(" ")));
    let connector = prop_oneof![Just("&&"), Just("||"), Just("|"), Just(";"), Just("\n")];
    (command.clone(), prop::collection::vec((connector, command), 0..3)).prop_map(
        |(first, more)| {
            more.into_iter().fold(first, |line, (connector, next)| {
                // A line end after the other connectors would be no list of plain commands.
                format!("{line} {connector} {next}")
            })
        },
    )
}

proptest! {
    #[test]
    fn appending_never_stays_allowed(line in passing_command()) {
        prop_assume!(allows(PATTERNS, &line));
        let tails = [
            "; x", ";x", "&& x", "&&x", "|| x", "| x", "|x", "|& x", "& x", "&", "\nx", "\r\nx",
            "$(x)", " $(x)", "`x`", " `x`", "\"$(x)\"", "<(x)", " > x", ">x", ">>x", "2>x", "&>x",
            "< x", "<<<x", "<<x\nx", " ${x}", " $x", " \\\nx", " {x,y}", " ~", " x=~", " (x)", "'",
            "\"", " #x", " !x",
        ];
        for tail in tails {
            prop_assert!(!allows(PATTERNS, &format!("{line}{tail}")), "{line:?} + {tail:?}");
        }
    }

    #[test]
    fn prepending_never_stays_allowed(line in passing_command()) {
        prop_assume!(allows(PATTERNS, &line));
        for head in ["x; ", "x && ", "x | ", "! ", "x=1 ", "(", "$(x) ", "env ", "sudo ", "\\", "# "] {
            prop_assert!(!allows(PATTERNS, &format!("{head}{line}")), "{head:?} + {line:?}");
        }
    }

    #[test]
    fn noise_never_panics(noise in "\\PC{0,80}") {
        let _ = allows(PATTERNS, &noise);
        let _ = allows(PATTERNS, &format!("ls {noise}"));
    }
}
