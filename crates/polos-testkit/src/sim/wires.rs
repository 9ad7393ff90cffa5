//! Links between workers and the server: each way keeps its order, and a link that is cut loses what
//! is under way.

#![expect(clippy::wrong_self_convention, reason = "the names say which way a text goes")]

use polos_protocol::Millis;
use std::collections::BTreeMap;

/// All links that were ever opened.
#[derive(Debug, Default)]
pub(super) struct Wires {
    links: BTreeMap<u64, Link>,
    last: u64,
}

#[derive(Debug)]
struct Link {
    worker: usize,
    whole: bool,
    server_end: bool,
    worker_end: bool,
    to_server: Millis,
    to_worker: Millis,
}

impl Wires {
    /// Opens a link for a worker.
    pub(super) fn open(&mut self, worker: usize, now: Millis) -> u64 {
        self.last += 1;
        let link = Link {
            worker,
            whole: true,
            server_end: true,
            worker_end: true,
            to_server: now,
            to_worker: now,
        };
        self.links.insert(self.last, link);
        self.last
    }

    /// When something sent to the server now arrives; never, if the link is cut.
    pub(super) fn to_server_at(&mut self, link: u64, at: Millis) -> Option<Millis> {
        let link = self.links.get_mut(&link).filter(|link| link.whole)?;
        link.to_server = link.to_server.max(at);
        Some(link.to_server)
    }

    /// When something sent to the worker now arrives; never, if the link is cut.
    pub(super) fn to_worker_at(&mut self, link: u64, at: Millis) -> Option<Millis> {
        let link = self.links.get_mut(&link).filter(|link| link.whole)?;
        link.to_worker = link.to_worker.max(at);
        Some(link.to_worker)
    }

    /// The link loses what is sent from now on. What was sent before may still arrive, until the
    /// receiver notices.
    pub(super) fn cut(&mut self, link: u64) {
        if let Some(link) = self.links.get_mut(&link) {
            link.whole = false;
        }
    }

    /// True while the server has not noticed that the link is gone.
    pub(super) fn server_has(&self, link: u64) -> bool {
        self.links.get(&link).is_some_and(|link| link.server_end)
    }

    /// The server's end is closed. False if it was before.
    pub(super) fn drop_server_end(&mut self, link: u64) -> bool {
        self.links.get_mut(&link).is_some_and(|link| std::mem::take(&mut link.server_end))
    }

    /// The worker's end is closed. Which worker's, if it was open.
    pub(super) fn drop_worker_end(&mut self, link: u64) -> Option<usize> {
        let link = self.links.get_mut(&link)?;
        std::mem::take(&mut link.worker_end).then_some(link.worker)
    }

    /// The worker at the other end, while its end is open.
    pub(super) fn worker_of(&self, link: u64) -> Option<usize> {
        self.links.get(&link).filter(|link| link.worker_end).map(|link| link.worker)
    }

    /// The links whose server's end is open.
    pub(super) fn server_links(&self) -> Vec<u64> {
        self.links.iter().filter(|(_, link)| link.server_end).map(|(number, _)| *number).collect()
    }
}
