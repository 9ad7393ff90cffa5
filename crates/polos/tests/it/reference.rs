//! What is generated from the program is current.

use crate::polos::Polos;
use std::path::Path;

#[test]
fn the_reference_of_the_command_line_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let current = Polos::new().ok(&["__reference"]);
    assert!(committed == current, "docs/reference/cli.md is not current: `cargo xtask generate`");
}

#[test]
fn completions_are_scripts_for_their_shell() {
    let polos = Polos::new();
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef polos"), ("fish", "complete -c polos")]
    {
        let script = polos.ok(&["completions", shell]);
        assert!(script.contains(sign), "{shell}");
        let mut words = script.split(|c: char| !c.is_alphanumeric() && c != '_');
        assert!(
            words.all(|word| word != "__sandbox"),
            "{shell}: entries for boxes are no commands"
        );
    }
}
