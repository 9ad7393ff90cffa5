//! What goes wrong: links break, processes die, freeze and hang, the server dies and comes back.

#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]

use super::server::Server;
use super::{Event, Health, Sim};
use polos_protocol::frame::{Empty, FromServer, FromWorker};

impl Sim {
    pub(super) fn server_down(&mut self) -> Result<(), String> {
        self.note(format_args!("the server dies"));
        self.server.down();
        for link in self.wires.server_links() {
            self.wires.cut(link);
            self.wires.drop_server_end(link);
            let delay = self.random.between(0, 50);
            self.after(delay, Event::WorkerUnlinked(link));
        }
        self.clients.lost_replies();
        let delay = self.random.between(1, 3_000);
        self.after(delay, Event::ServerUp);
        Ok(())
    }

    pub(super) fn server_up(&mut self) {
        self.note(format_args!("the server is up"));
        self.server = Server::new(&self.store, self.now, &self.options);
    }

    pub(super) fn thaw(&mut self, index: usize) -> Result<(), String> {
        self.note(format_args!("worker {index} thaws"));
        let was = std::mem::replace(&mut self.slots[index].health, Health::Well);
        let now = self.now;
        let wants =
            self.slots[index].process.as_mut().map(|process| process.tick(now)).unwrap_or_default();
        self.want(index, wants)?;
        for event in std::mem::take(&mut self.slots[index].mail) {
            match event {
                Event::ToWorker(link, text) => self.catch_up(index, was, (link, &text))?,
                event => self.happen(event)?,
            }
        }
        Ok(())
    }

    /// A frame that came meanwhile. A process that stood still for longer than its lease drops the
    /// connection unread; code that hung is told what its connection's thread has read long ago.
    fn catch_up(
        &mut self,
        index: usize,
        was: Health,
        (link, text): (u64, &str),
    ) -> Result<(), String> {
        let now = self.now;
        let Some(process) = self.slots[index].process.as_mut() else { return Ok(()) };
        if process.link != Some(link) {
            return Ok(());
        }
        if was == Health::Frozen {
            if !process.is_leased(now) {
                self.cut(link);
                return Ok(());
            }
            process.heard(now);
        }
        let Some(process) = self.slots[index].process.as_mut() else { return Ok(()) };
        let wants = process.hear(text, now)?;
        self.want(index, wants)
    }

    /// A worker's process stands still, or its code does.
    fn halt(&mut self, index: usize, health: Health) {
        if self.slots[index].health == Health::Well && self.slots[index].process.is_some() {
            self.note(format_args!("worker {index} is {health:?}"));
            self.slots[index].health = health;
            let delay = self.random.between(100, 30_000);
            self.after(delay, Event::Thaw(index));
        }
    }

    /// What the connection's thread does for code that hangs: it hears, and answers pings. True if
    /// nothing is left for the code.
    pub(super) fn answer_for(&mut self, index: usize, event: &Event) -> bool {
        let Event::ToWorker(link, text) = event else { return false };
        let now = self.now;
        let Some(process) = self.slots[index].process.as_mut() else { return false };
        if process.link != Some(*link) {
            return false;
        }
        process.heard(now);
        if !matches!(FromServer::from_text(text), Ok(FromServer::Ping(_))) {
            return false;
        }
        let delay = self.random.between(0, 30);
        if let Some(at) = self.wires.to_server_at(*link, now + delay) {
            self.at(at, Event::ToServer(*link, FromWorker::Pong(Empty {}).to_text()));
        }
        true
    }

    /// Something goes wrong.
    pub(super) fn trouble(&mut self) -> Result<(), String> {
        if self.trouble_is_over() {
            return Ok(());
        }
        let index = self.random.below(self.slots.len() as u64) as usize;
        match self.random.below(12) {
            0..=2 => {
                if let Some(link) =
                    self.slots[index].process.as_ref().and_then(|process| process.link)
                {
                    self.note(format_args!("link {link} breaks"));
                    self.cut(link);
                }
            }
            3..=5 => self.kill_worker(index),
            6 | 7 => self.halt(index, Health::Frozen),
            8 | 9 => self.halt(index, Health::Wedged),
            _ => {
                if self.server.is_up() {
                    self.server_down()?;
                }
            }
        }
        let delay = self.random.between(10, 6_000);
        self.after(delay, Event::Trouble);
        Ok(())
    }

    pub(super) fn kill_worker(&mut self, index: usize) {
        if self.slots[index].health != Health::Well {
            return;
        }
        let Some(process) = self.slots[index].process.take() else { return };
        self.note(format_args!("worker {index} dies"));
        if let Some(link) = process.link {
            self.wires.cut(link);
            self.wires.drop_worker_end(link);
            let delay = self.random.between(0, 300);
            self.after(delay, Event::ServerUnlinked(link));
        }
        if self.random.chance(500) {
            self.server.worker_dead(process.id);
            self.turn_soon();
        }
        let delay = self.random.between(1, 5_000);
        self.after(delay, Event::WorkerUp(index));
    }
}
