//! What an approval is bound to: the hash of exactly what was shown.

use std::collections::BTreeMap;

use polos_toolbox::message::Program;
use sha2::{Digest, Sha256};

use crate::hex;

/// Everything that makes a command the one that was approved.
#[derive(Debug, Clone)]
pub struct Binding<'a> {
    pub tool: &'a str,
    pub program: &'a Program,
    pub cwd: Option<&'a str>,
    pub env: &'a BTreeMap<String, String>,
    pub stdin: Option<&'a str>,
    /// The box it runs in, such as `local:sbx_…`.
    pub environment: &'a str,
    /// [`super::ExecPolicy::version`].
    pub policy_version: &'a str,
}

impl Binding<'_> {
    /// The hash, in hex. It is stored with approvals: its form must not change.
    pub fn hash(&self) -> String {
        let program = serde_json::to_string(self.program).unwrap_or_default();
        let mut hash = Sha256::new();
        let mut add = |part: Option<&str>| {
            // Lengths keep neighbouring parts apart; absent differs from empty.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_le_bytes());
            hash.update(part.unwrap_or_default());
        };
        add(Some("polos binding 1"));
        add(Some(self.tool));
        add(Some(&program));
        add(self.cwd);
        for (name, value) in self.env {
            add(Some(name));
            add(Some(value));
        }
        add(None);
        add(self.stdin);
        add(Some(self.environment));
        add(Some(self.policy_version));
        hex(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let program = Program::Shell { line: "ls".to_owned() };
        let other = Program::Shell { line: "ls ".to_owned() };
        let none = BTreeMap::new();
        let some = BTreeMap::from([("A".to_owned(), String::new())]);
        let base = Binding {
            tool: "exec",
            program: &program,
            cwd: None,
            env: &none,
            stdin: None,
            environment: "local:sbx_1",
            policy_version: "v",
        };
        let others = [
            Binding { tool: "write", ..base.clone() },
            Binding { program: &other, ..base.clone() },
            Binding { cwd: Some(""), ..base.clone() },
            Binding { env: &some, ..base.clone() },
            Binding { stdin: Some(""), ..base.clone() },
            Binding { environment: "local:sbx_2", ..base.clone() },
            Binding { policy_version: "w", ..base.clone() },
        ];
        assert!(others.iter().all(|binding| binding.hash() != base.hash()));
        assert_eq!(base.hash().len(), 64);
    }
}
