//! The pages of journals that one connection is to be sent: which is read next, how many are under
//! way, and what the worker has answered.
//!
//! Journals can be long, so the engine does not read them: it orders a stretch, and whoever has the
//! connection reads it page by page, beside everything else, and says when the last page leaves. All
//! is durable by then, so that what is read never changes. The pager itself does no I/O.

use polos_protocol::frame::{Append, FromServer, MoreRequest, Start};
use polos_protocol::supersede::Superseded;
use polos_protocol::{Namespace, Record, RunId, limits};
use polos_store::read::Stretch;
use std::collections::VecDeque;

/// How many pages of one connection may be read at once: as many are in memory beside those that the
/// worker's socket has taken.
const READS_MAX: usize = 2;

/// A stretch of a journal for a worker.
#[derive(Debug, Clone)]
pub struct Order {
    /// The run's namespace.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The assignment under which the worker has it.
    pub assignment: u64,
    /// The frame that goes first, if the run is new to the worker; its journal is empty.
    pub start: Option<Box<Start>>,
    /// Records after this one,
    pub after: u64,
    /// up to this one,
    pub upto: u64,
    /// without these.
    pub superseded: Superseded,
}

/// A page to be read from the store.
#[derive(Debug, Clone)]
pub struct PageRead {
    /// The run's namespace.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// Which records.
    pub stretch: Stretch,
}

/// What a page came to.
#[derive(Debug, Default)]
pub struct Page {
    /// The frames to be sent, in order.
    pub frames: Vec<FromServer>,
    /// What the engine is to be told before they are sent: the order has been carried out.
    pub ended: Option<Ended>,
}

/// An order that has been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// The assignment.
    pub assignment: u64,
    /// Up to where the worker then has the journal.
    pub upto: u64,
}

/// A worker has answered a page that it was never sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`more` for run `{run}` speaks of record {seq}; it was sent the journal up to {sent}")]
pub struct OutOfOrder {
    run: RunId,
    seq: u64,
    sent: u64,
}

/// The pages of one connection.
#[derive(Debug)]
pub struct Pager {
    /// How many pages may be under way.
    window: usize,
    page_bytes: usize,
    /// Whose turn it is comes first.
    streams: VecDeque<Stream>,
}

/// The pages of one run.
#[derive(Debug)]
struct Stream {
    run: RunId,
    assignment: u64,
    /// What is still to be read; none while only answers are awaited.
    order: Option<Order>,
    /// Up to where pages have been sent.
    sent: u64,
    is_reading: bool,
    /// Where the pages end that the worker has not answered.
    under_way: VecDeque<u64>,
}

impl Pager {
    /// A pager for a worker that takes so many pages at once.
    pub fn new(pages: u32) -> Self {
        let window = pages.clamp(1, limits::PAGES_UNDER_WAY_MAX) as usize;
        Self { window, page_bytes: limits::JOURNAL_PAGE_BYTES, streams: VecDeque::new() }
    }

    /// Makes the pages smaller or larger than the protocol's.
    #[must_use]
    pub fn with_page_bytes(self, page_bytes: usize) -> Self {
        Self { page_bytes, ..self }
    }

    /// Takes an order. What an older assignment of the run had ordered is dropped.
    pub fn begin(&mut self, order: Order) {
        let (run, assignment) = (order.run, order.assignment);
        self.streams.retain(|stream| stream.run != run || stream.assignment == assignment);
        let sent = order.after;
        match self.find(run, assignment) {
            Some(stream) => {
                stream.sent = sent;
                stream.order = Some(order);
            }
            None => self.streams.push_back(Stream {
                run,
                assignment,
                order: Some(order),
                sent,
                is_reading: false,
                under_way: VecDeque::new(),
            }),
        }
    }

    /// The run is the worker's no more.
    pub fn forget(&mut self, run: RunId, assignment: u64) {
        self.streams.retain(|stream| stream.run != run || stream.assignment != assignment);
    }

    /// Takes an answer. False if no page of this run is under way: then the engine is to see it.
    ///
    /// # Errors
    /// The worker speaks of what it was not sent.
    pub fn more(&mut self, request: &MoreRequest) -> Result<bool, OutOfOrder> {
        let MoreRequest { run, assignment, seq } = *request;
        let Some(stream) = self.find(run, assignment) else { return Ok(false) };
        if seq > stream.sent {
            return Err(OutOfOrder { run, seq, sent: stream.sent });
        }
        while stream.under_way.front().is_some_and(|end| *end <= seq) {
            stream.under_way.pop_front();
        }
        if stream.order.is_none() && stream.under_way.is_empty() {
            self.forget(run, assignment);
        }
        Ok(true)
    }

    /// The page to be read next, if one may be: its records go to [`Self::page`]. Runs take turns.
    pub fn next_read(&mut self) -> Option<PageRead> {
        let reading = self.streams.iter().filter(|stream| stream.is_reading).count();
        let under_way: usize = self.streams.iter().map(|stream| stream.under_way.len()).sum();
        if reading >= READS_MAX || reading + under_way >= self.window {
            return None;
        }
        let ready = |stream: &Stream| stream.order.is_some() && !stream.is_reading;
        let mut stream = self.streams.remove(self.streams.iter().position(ready)?)?;
        stream.is_reading = true;
        let read = stream.read(self.page_bytes);
        self.streams.push_back(stream);
        read
    }

    /// Takes the records of a page that was read.
    pub fn page(&mut self, read: &PageRead, records: Vec<Record>) -> Page {
        let Some(stream) = self.find(read.run, read.assignment) else { return Page::default() };
        stream.is_reading = false;
        if stream.sent != read.stretch.after {
            return Page::default();
        }
        let page = stream.page(records);
        if stream.order.is_none() && stream.under_way.is_empty() {
            self.forget(read.run, read.assignment);
        }
        page
    }

    fn find(&mut self, run: RunId, assignment: u64) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|s| s.run == run && s.assignment == assignment)
    }
}

impl Stream {
    fn read(&self, bytes_max: usize) -> Option<PageRead> {
        let order = self.order.as_ref()?;
        Some(PageRead {
            namespace: order.namespace.clone(),
            run: self.run,
            assignment: self.assignment,
            stretch: Stretch {
                after: self.sent,
                upto: order.upto,
                bytes_max,
                value_bytes_max: limits::VALUE_BY_REFERENCE_BYTES,
            },
        })
    }

    fn page(&mut self, mut records: Vec<Record>) -> Page {
        let Some(order) = self.order.as_mut() else { return Page::default() };
        // No record at all: the run was deleted meanwhile, and the worker will hear of it.
        let seq = records.last().map_or(order.upto, |record| record.seq);
        let is_last = seq >= order.upto;
        self.sent = seq;
        records.retain(|record| !order.superseded.contains(record.seq));
        if records.is_empty() && !is_last {
            return Page::default();
        }
        let mut frames = Vec::new();
        match order.start.take() {
            Some(mut start) if is_last => {
                start.journal = records;
                frames.push(FromServer::Start(start));
            }
            start => {
                frames.extend(start.map(FromServer::Start));
                let (run, assignment) = (self.run, self.assignment);
                frames.push(FromServer::Append(Append {
                    run,
                    assignment,
                    records,
                    seq,
                    more: !is_last,
                }));
            }
        }
        if is_last {
            self.order = None;
            let (run, assignment) = (self.run, self.assignment);
            return Page { frames, ended: Some(Ended { run, assignment, upto: seq }) };
        }
        self.under_way.push_back(seq);
        Page { frames, ended: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::{Kind, NewRecord, StepKey};

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn order(number: u8, after: u64, upto: u64) -> Order {
        Order {
            namespace: Namespace::default(),
            run: run(number),
            assignment: 1,
            start: None,
            after,
            upto,
            superseded: Superseded::default(),
        }
    }

    fn more(number: u8, seq: u64) -> MoreRequest {
        MoreRequest { run: run(number), assignment: 1, seq }
    }

    /// Reads a page of two records, and says `run:last record`, with `+` if more follow.
    fn turn(pager: &mut Pager) -> Option<String> {
        let read = pager.next_read()?;
        let after = read.stretch.after;
        let seqs = (after + 1..=read.stretch.upto).take(2);
        let record = NewRecord::new(0, Kind::Step, StepKey::run(), 0);
        let records = seqs.map(|seq| Record {
            seq,
            at: 0,
            assignment: 0,
            worker: None,
            build: None,
            record: record.clone(),
        });
        let page = pager.page(&read, records.collect());
        let [FromServer::Append(append)] = &page.frames[..] else { panic!("another frame") };
        assert_eq!(page.ended.is_none(), append.more);
        let plus = if append.more { "+" } else { "" };
        Some(format!("{}:{}{plus}", append.run.bytes()[0], append.seq))
    }

    fn turns(pager: &mut Pager) -> Vec<String> {
        std::iter::from_fn(|| turn(pager)).collect()
    }

    #[test]
    fn so_many_pages_are_under_way_as_the_worker_takes() {
        let mut pager = Pager::new(2);
        pager.begin(order(1, 0, 9));
        assert_eq!(turns(&mut pager), ["1:2+", "1:4+"]);
        assert_eq!(pager.more(&more(1, 2)), Ok(true));
        assert_eq!(turns(&mut pager), ["1:6+"]);
        assert_eq!(pager.more(&more(1, 6)), Ok(true));
        assert_eq!(turns(&mut pager), ["1:8+", "1:9"]);
        assert_eq!(pager.more(&more(1, 8)), Ok(true));
        assert_eq!(pager.more(&more(1, 9)), Ok(false), "nothing is under way any more");
    }

    #[test]
    fn runs_take_turns() {
        let mut pager = Pager::new(16);
        pager.begin(order(1, 0, 5));
        pager.begin(order(2, 2, 4));
        pager.begin(order(3, 0, 4));
        assert_eq!(turns(&mut pager), ["1:2+", "2:4", "3:2+", "1:4+", "3:4", "1:5"]);
    }

    #[test]
    fn only_two_pages_are_read_at_once() {
        let mut pager = Pager::new(16);
        for number in 1..=3 {
            pager.begin(order(number, 0, 9));
        }
        let first = pager.next_read().unwrap();
        assert!(pager.next_read().is_some());
        assert!(pager.next_read().is_none());
        pager.forget(first.run, 1);
        assert!(pager.page(&first, Vec::new()).frames.is_empty(), "it was forgotten");
        assert!(pager.next_read().is_some());
    }

    #[test]
    fn an_answer_to_what_was_not_sent_is_refused() {
        let mut pager = Pager::new(4);
        pager.begin(order(1, 3, 9));
        assert_eq!(turn(&mut pager).unwrap(), "1:5+");
        assert!(pager.more(&more(1, 6)).is_err());
        assert_eq!(pager.more(&more(1, 0)), Ok(true), "what is older says nothing");
        assert_eq!(pager.more(&more(2, 6)), Ok(false));
        assert_eq!(turns(&mut pager), ["1:7+", "1:9"]);
    }

    #[test]
    fn a_newer_assignment_takes_the_place_of_an_older() {
        let mut pager = Pager::new(1);
        pager.begin(order(1, 0, 9));
        assert_eq!(turns(&mut pager), ["1:2+"]);
        pager.begin(Order { assignment: 2, ..order(1, 0, 2) });
        assert_eq!(turns(&mut pager), ["1:2"]);
        assert_eq!(pager.more(&more(1, 2)), Ok(false));
    }
}
