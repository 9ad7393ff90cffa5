//! Joins the `recorded` frames of one commit, so that a worker is told once.

use polos_protocol::RunId;
use polos_protocol::frame::FromServer;
use std::collections::HashSet;

/// Joins `recorded` frames where that moves no news of a run past other news of the same run.
pub(super) fn recorded(frames: Vec<FromServer>) -> Vec<FromServer> {
    let several = frames.iter().filter(|f| matches!(f, FromServer::Recorded(_))).nth(1).is_some();
    if !several {
        return frames;
    }
    let mut joined: Vec<FromServer> = Vec::with_capacity(frames.len());
    let mut last: Option<usize> = None;
    let mut since: HashSet<RunId> = HashSet::new();
    for frame in frames {
        let FromServer::Recorded(new) = frame else {
            since.extend(run(&frame));
            joined.push(frame);
            continue;
        };
        let fits = new.runs.iter().all(|(run, ..)| !since.contains(run));
        match last.and_then(|index| joined.get_mut(index)) {
            Some(FromServer::Recorded(old)) if fits && old.at == new.at => {
                old.runs.extend(new.runs);
            }
            _ => {
                last = Some(joined.len());
                since.clear();
                joined.push(FromServer::Recorded(new));
            }
        }
    }
    joined
}

fn run(frame: &FromServer) -> Option<RunId> {
    match frame {
        FromServer::Start(start) => Some(start.run),
        FromServer::Append(append) => Some(append.run),
        FromServer::Done(done) => Some(done.run),
        FromServer::Revoked(revoked) => Some(revoked.run),
        FromServer::Welcome(_)
        | FromServer::Recorded(_)
        | FromServer::Blob(_)
        | FromServer::Stored(_)
        | FromServer::Drain(_)
        | FromServer::Ping(_)
        | FromServer::Error(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::frame::{Empty, Recorded, RunRef};

    fn id(n: u8) -> RunId {
        RunId::from_bytes([n; 16])
    }

    fn record(run: u8, n: u64) -> FromServer {
        FromServer::Recorded(Recorded { at: 1, runs: vec![(id(run), 1, n, n)] })
    }

    fn check(frames: Vec<FromServer>, expect: &[&str]) {
        let shown: Vec<_> = recorded(frames)
            .iter()
            .map(|frame| match frame {
                FromServer::Recorded(r) => format!("recorded {}", r.runs.len()),
                other => other.kind().to_owned(),
            })
            .collect();
        assert_eq!(shown, expect);
    }

    #[test]
    fn news_of_one_run_keep_their_order() {
        let done = |run| FromServer::Done(RunRef { run: id(run), assignment: 1 });
        let ping = || FromServer::Ping(Empty {});
        check(vec![record(1, 1), record(2, 1), record(1, 2)], &["recorded 3"]);
        check(vec![record(1, 1), done(3), ping(), record(2, 1)], &["recorded 2", "done", "ping"]);
        check(
            vec![record(1, 1), done(2), record(2, 1), record(1, 2)],
            &["recorded 1", "done", "recorded 2"],
        );
        check(vec![ping(), record(1, 1)], &["ping", "recorded 1"]);
    }
}
