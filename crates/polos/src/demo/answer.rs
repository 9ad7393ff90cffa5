//! The person's word: from the command line, from the terminal, or from elsewhere.

use std::io::BufRead as _;
use std::str::FromStr;

use polos_protocol::rest::DecideRequest;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// An answer to the question at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Take the change.
    Approve,
    /// Send it back, and say why.
    Reject(String),
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "approve" => Ok(Self::Approve),
            Some(("reject", feedback)) if !feedback.trim().is_empty() => {
                Ok(Self::Reject(feedback.trim().to_owned()))
            }
            _ => Err("say `approve` or `reject:FEEDBACK`".to_owned()),
        }
    }
}

impl Answer {
    /// The decision, bound to what was shown.
    pub(crate) fn into_request(self, subject_hash: Option<String>) -> DecideRequest {
        let (approved, feedback) = match self {
            Self::Approve => (true, None),
            Self::Reject(feedback) => (false, Some(feedback)),
        };
        DecideRequest { approved, feedback, subject_hash, ..DecideRequest::default() }
    }
}

/// What a person types when they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    Answer(Answer),
    /// Show all of it.
    Show,
    /// Leave, and answer later.
    Leave,
    /// A rejection without a reason: the reason is asked for.
    Why,
    /// Something else.
    Unclear,
}

impl Typed {
    pub(crate) fn read(line: &str) -> Self {
        let line = line.trim();
        let (word, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
        match (word.to_lowercase().as_str(), rest.trim()) {
            ("a" | "y" | "yes" | "approve", "") => Self::Answer(Answer::Approve),
            ("r" | "n" | "no" | "reject", "") => Self::Why,
            ("r" | "n" | "no" | "reject", why) => Self::Answer(Answer::Reject(why.to_owned())),
            ("d" | "diff" | "show", "") => Self::Show,
            ("q" | "quit" | "later", "") => Self::Leave,
            _ => Self::Unclear,
        }
    }
}

/// Lines as they are typed, from a thread of their own: a read of the terminal cannot be broken off.
/// The channel ends with standard input.
pub(crate) fn lines() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_scripts_are_exact() {
        assert_eq!("approve".parse(), Ok(Answer::Approve));
        assert_eq!("reject: more tests".parse(), Ok(Answer::Reject("more tests".to_owned())));
        for wrong in ["", "yes", "approve:x", "reject", "reject:", "reject: "] {
            assert!(wrong.parse::<Answer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn people_may_be_brief() {
        assert_eq!(Typed::read(" Y "), Typed::Answer(Answer::Approve));
        let why = Answer::Reject("please: tests".to_owned());
        assert_eq!(Typed::read("reject please: tests"), Typed::Answer(why));
        assert_eq!(Typed::read("r"), Typed::Why);
        assert_eq!(Typed::read("d"), Typed::Show);
        assert_eq!(Typed::read("q"), Typed::Leave);
        assert_eq!(Typed::read(""), Typed::Unclear);
        assert_eq!(Typed::read("yes please"), Typed::Unclear);
    }
}
