//! The people and programs outside: they start runs, publish, answer, cancel, and ask again when no
//! answer came.

#![expect(clippy::too_many_arguments, reason = "each part comes from another place")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]

use super::program::{self, KEEPS, NAME, NARROW, TOPICS, draw_queue};
use super::random::Random;
use super::world::{World, once_value};
use crate::store::Memory;
use polos_engine::{Error, Request, Response};
use polos_protocol::Kind;
use polos_protocol::record::ApprovalKind;
use polos_protocol::rest::{
    ApprovalState, CancelRequest, DecideRequest, PublishRequest, ResumeRequest, RetryRequest,
    RunFilter, StartRequest, Verb,
};
use polos_protocol::{Json, Namespace, QueueConfig, RunId, StepKey};
use polos_store::Read;
use polos_store::read::PageRequest;
use polos_store::row::RunRow;
use std::collections::BTreeSet;

/// Everyone outside.
#[derive(Debug)]
pub(super) struct Clients {
    wanted: Vec<StartRequest>,
    started: BTreeSet<usize>,
    next_id: u64,
    in_flight: Vec<(u64, usize)>,
    /// Runs that somebody asked to cancel.
    pub(super) cancelled: BTreeSet<RunId>,
    published: u64,
    queues_set: u32,
    /// The most slots that the queue whose runs keep them ever had.
    pub(super) kept_slots: u32,
}

/// How many runs of the narrow queue work at once.
pub(super) const NARROW_RUNS: u32 = 2;
/// How many runs of one of its keys do.
pub(super) const NARROW_RUNS_PER_KEY: u32 = 1;
/// How many slots the queue whose runs keep them has at first.
const KEPT_SLOTS: u32 = 1;

impl Clients {
    /// Draws what they want.
    pub(super) fn new(random: &mut Random, runs: u32) -> Self {
        let wanted = (0..runs)
            .map(|number| {
                let ops = program::draw(random, 0);
                let mut request = StartRequest {
                    workflow: NAME.into(),
                    input: Json::from_serialize(&ops).unwrap_or_default(),
                    key: Some(format!("start-{number}")),
                    ..StartRequest::default()
                };
                if random.chance(700) {
                    let (queue, key) = draw_queue(random);
                    request.options.queue = Some(queue);
                    request.options.concurrency_key = Some(key);
                }
                request
            })
            .collect();
        Self {
            wanted,
            started: BTreeSet::new(),
            next_id: 0,
            in_flight: Vec::new(),
            cancelled: BTreeSet::new(),
            published: 0,
            queues_set: 0,
            kept_slots: KEPT_SLOTS,
        }
    }

    /// True once every start was acknowledged.
    pub(super) fn all_started(&self) -> bool {
        self.started.len() == self.wanted.len()
    }

    /// The server died: answers that were under way are lost, and the questions are asked again.
    pub(super) fn lost_replies(&mut self) {
        self.in_flight.clear();
    }

    /// An answer came.
    pub(super) fn replied(&mut self, id: u64, reply: &Result<Response, Error>) {
        self.queues_set += u32::from(matches!(reply, Ok(Response::Queue(_))));
        let Some(at) = self.in_flight.iter().position(|(of, _)| *of == id) else { return };
        let (_, number) = self.in_flight.remove(at);
        if let Ok(Response::Started(_)) = reply {
            self.started.insert(number);
        }
    }

    /// What they ask for now.
    pub(super) fn requests(
        &mut self,
        store: &Memory,
        world: &World,
        random: &mut Random,
        calm: bool,
    ) -> Vec<(u64, Request)> {
        let mut requests = Vec::new();
        if self.queues_set < 2 {
            // Nothing is started before the limits hold.
            let narrow = QueueConfig {
                concurrency_per_key: Some(NARROW_RUNS_PER_KEY),
                ..queue(NARROW, NARROW_RUNS, false)
            };
            let keeps = queue(KEEPS, self.kept_slots, true);
            let config = if self.queues_set == 0 { narrow } else { keeps };
            requests.push((self.id(), Request::PutQueue(config)));
            return requests;
        }
        for number in 0..self.wanted.len() {
            if !self.started.contains(&number) && (calm || random.chance(400)) {
                let id = self.id();
                self.in_flight.push((id, number));
                requests.push((id, Request::Start(Box::new(self.wanted[number].clone()))));
            }
        }
        for topic in 0..TOPICS {
            if calm || random.chance(200) {
                self.published += 1;
                let key = Some(format!("event-{}", self.published));
                let payload = Json::from_serialize(&7).unwrap_or_default();
                let request =
                    PublishRequest { topic: format!("topic-{topic}"), payload, run: None, key };
                requests.push((self.id(), Request::Publish(request)));
            }
        }
        self.about_runs(store, random, calm, &mut requests);
        self.answers(store, world, random, calm, &mut requests);
        requests
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn about_runs(
        &mut self,
        store: &Memory,
        random: &mut Random,
        calm: bool,
        requests: &mut Vec<(u64, Request)>,
    ) {
        let namespace = Namespace::default();
        let page = PageRequest { cursor: None, limit: 500 };
        let Ok(runs) = store.runs(&namespace, &RunFilter::default(), &page) else { return };
        for run in runs.items {
            let (id, status) = (run.row.id, run.status);
            if let Some(blocked) = &status.blocked {
                if blocked.code == "queue_deadlock" {
                    self.kept_slots += 1;
                    let config = queue(KEEPS, self.kept_slots, true);
                    requests.push((self.id(), Request::PutQueue(config)));
                }
                requests
                    .push((self.id(), Request::Verb(id, Verb::Resume(ResumeRequest::default()))));
            }
            if !calm
                && random.chance(12)
                && let Some(retry) = draw_retry(store, &run.row, random)
                && (!status.state.is_ended() || run.row.parent.is_none())
            {
                requests.push((self.id(), Request::Verb(id, Verb::Retry(retry))));
            }
            if status.state.is_ended() {
                continue;
            }
            if calm || random.chance(100) {
                let payload = Json::from_serialize(&8).unwrap_or_default();
                let request =
                    PublishRequest { topic: "go".into(), payload, run: Some(id), key: None };
                requests.push((self.id(), Request::Publish(request)));
            }
            if !calm && run.row.parent.is_none() && random.chance(4) {
                self.cancelled.insert(id);
                let cancel = CancelRequest::default();
                let verb =
                    if random.chance(300) { Verb::Kill(cancel) } else { Verb::Cancel(cancel) };
                requests.push((self.id(), Request::Verb(id, verb)));
            }
        }
    }

    fn answers(
        &mut self,
        store: &Memory,
        world: &World,
        random: &mut Random,
        calm: bool,
        requests: &mut Vec<(u64, Request)>,
    ) {
        let page = PageRequest { cursor: None, limit: 500 };
        let pending =
            store.approvals(&Namespace::default(), Some(ApprovalState::Pending), None, &page);
        for row in pending.map(|page| page.items).unwrap_or_default() {
            if !calm && !random.chance(300) {
                continue;
            }
            let approval = row.approval;
            let mut decision =
                DecideRequest { approved: random.chance(500), ..DecideRequest::default() };
            if approval.question.kind == ApprovalKind::Settle {
                let step = approval
                    .question
                    .subject
                    .get("step")
                    .and_then(|step| step.as_str())
                    .unwrap_or_default();
                let key = StepKey::from_recorded(step);
                decision.approved = world.happened(approval.run, &key);
                decision.value = decision.approved.then(|| once_value(&key).into());
            }
            requests.push((self.id(), Request::Decide(approval.id, decision)));
        }
    }
}

fn queue(name: &str, concurrency: u32, hold: bool) -> QueueConfig {
    let concurrency = Some(concurrency);
    QueueConfig { name: name.into(), concurrency, hold, ..QueueConfig::default() }
}

/// A retry from some step that the run has recorded. The engine refuses it where a `once` step
/// lies in the range.
fn draw_retry(store: &Memory, run: &RunRow, random: &mut Random) -> Option<RetryRequest> {
    let records = store.journal(&run.namespace, run.id, 0, usize::MAX).unwrap_or_default();
    let steps: Vec<_> = records.iter().filter(|record| record.kind() == Kind::Step).collect();
    let number = random.below(steps.len().max(1) as u64) as usize;
    let step = Some(steps.get(number)?.key().clone());
    Some(RetryRequest { step, ..RetryRequest::default() })
}
