//! One queue: its lanes, and who holds its slots.

use super::lane::{LaneKey, Place};
use super::numbering::{self, Numbers};
use polos_protocol::{QueueConfig, RunId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A queue in memory.
#[derive(Debug)]
pub(crate) struct Queue {
    config: QueueConfig,
    lanes: BTreeMap<LaneKey, BTreeSet<Place>>,
    /// Lanes that may have a run to place, by their first place.
    open: BTreeSet<(Place, LaneKey)>,
    /// Lanes for which no worker was free, by workflow.
    closed: BTreeMap<Arc<str>, BTreeSet<(Place, LaneKey)>>,
    /// The runs that are in a slot, and the run whose slot it is.
    members: BTreeMap<RunId, RunId>,
    slots: BTreeMap<RunId, Slot>,
    per_key: BTreeMap<Arc<str>, u32>,
    ready: u64,
}

/// What a run of a queue does with its slot while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhileWaiting {
    GivesSlotBack,
    KeepsSlot,
}

/// A slot: a run's own, in which its children may be too.
#[derive(Debug)]
struct Slot {
    key: Option<Arc<str>>,
    members: u32,
}

impl Queue {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            config: QueueConfig { name: name.to_owned(), ..QueueConfig::default() },
            lanes: BTreeMap::new(),
            open: BTreeSet::new(),
            closed: BTreeMap::new(),
            members: BTreeMap::new(),
            slots: BTreeMap::new(),
            per_key: BTreeMap::new(),
            ready: 0,
        }
    }

    pub(crate) fn configure(&mut self, config: QueueConfig) {
        self.config = config;
        self.reopen_all();
    }

    pub(crate) fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// How many slots are taken.
    pub(crate) fn held(&self) -> usize {
        self.slots.len()
    }

    /// How many slots of a concurrency key are taken.
    pub(crate) fn held_by(&self, key: Option<&str>) -> usize {
        key.and_then(|key| self.per_key.get(key)).map_or(0, |count| *count as usize)
    }

    /// True if the run is in a slot.
    pub(crate) fn holds(&self, run: RunId) -> bool {
        self.members.contains_key(&run)
    }

    /// True if the queue has a limit, and it is reached in all or for some key.
    pub(crate) fn is_full(&self) -> bool {
        let in_all = self.config.concurrency.is_some_and(|most| self.slots.len() >= most as usize);
        let of_key = |most: u32| self.per_key.values().any(|count| *count >= most);
        in_all || self.config.concurrency_per_key.is_some_and(of_key)
    }

    /// The runs whose slots a run of this key waits for, when there is no room for it.
    pub(crate) fn in_the_way(&self, key: Option<&str>) -> Vec<RunId> {
        let of_key = self.has_room_for_key(key);
        let slots = self.slots.iter().filter(|(_, slot)| of_key || slot.key.as_deref() == key);
        slots.map(|(owner, _)| *owner).collect()
    }

    /// The runs that are in a slot, in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = RunId> + '_ {
        self.members.keys().copied()
    }

    /// The runs that stand in lanes.
    pub(crate) fn ready(&self) -> impl Iterator<Item = RunId> + '_ {
        self.lanes.values().flatten().map(|place| place.run)
    }

    /// True if the counts agree with the runs that are counted.
    pub(crate) fn adds_up(&self) -> bool {
        let mut slots: BTreeMap<RunId, u32> = BTreeMap::new();
        for owner in self.members.values() {
            *slots.entry(*owner).or_default() += 1;
        }
        let mut per_key: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for key in self.slots.values().filter_map(|slot| slot.key.clone()) {
            *per_key.entry(key).or_default() += 1;
        }
        slots.len() == self.slots.len()
            && self.slots.iter().all(|(owner, slot)| slots.get(owner) == Some(&slot.members))
            && per_key == self.per_key
            && self.ready == self.lanes.values().map(|places| places.len() as u64).sum::<u64>()
    }

    /// True if a run of this concurrency key could have a slot now.
    pub(crate) fn has_room(&self, key: Option<&str>) -> bool {
        let in_all = self.config.concurrency.is_none_or(|limit| self.slots.len() < limit as usize);
        in_all && self.has_room_for_key(key)
    }

    /// True if the limit of this key, if it has one, is not reached.
    pub(crate) fn has_room_for_key(&self, key: Option<&str>) -> bool {
        match (self.config.concurrency_per_key, key) {
            (Some(limit), Some(key)) => self.per_key.get(key).copied().unwrap_or(0) < limit,
            _ => true,
        }
    }

    /// Puts a run into the slot of `owner`, which is taken if nobody is in it yet. A run that is in
    /// a slot stays there.
    pub(crate) fn take(&mut self, run: RunId, owner: RunId, key: Option<&str>) {
        if self.members.contains_key(&run) {
            return;
        }
        self.members.insert(run, owner);
        let per_key = &mut self.per_key;
        let slot = self.slots.entry(owner).or_insert_with(|| {
            let key: Option<Arc<str>> = key.map(Arc::from);
            if let Some(key) = &key {
                *per_key.entry(key.clone()).or_default() += 1;
            }
            Slot { key, members: 0 }
        });
        slot.members += 1;
    }

    /// Takes a run out of its slot, if it is in one. The last one out gives it back.
    pub(crate) fn free(&mut self, run: RunId) {
        let Some(owner) = self.members.remove(&run) else { return };
        let Some(slot) = self.slots.get_mut(&owner) else { return };
        slot.members -= 1;
        if slot.members > 0 {
            return;
        }
        let key = self.slots.remove(&owner).and_then(|slot| slot.key);
        if let Some(key) = key {
            if let Some(count) = self.per_key.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.per_key.remove(&key);
                }
            }
            self.reopen_key(&key);
        }
    }

    /// Adds a ready run.
    pub(crate) fn push(&mut self, lane: LaneKey, place: Place) {
        let places = self.lanes.entry(lane.clone()).or_default();
        let head = places.first().copied();
        if !places.insert(place) {
            return;
        }
        self.ready += 1;
        match head {
            Some(head) if head < place => {}
            Some(head) => {
                if self.open.remove(&(head, lane.clone())) {
                    self.open.insert((place, lane));
                } else if let Some(set) = self.closed.get_mut(&lane.workflow)
                    && set.remove(&(head, lane.clone()))
                {
                    set.insert((place, lane));
                } else {
                    self.open.insert((place, lane));
                }
            }
            None => {
                self.open.insert((place, lane));
            }
        }
    }

    /// Removes a ready run, wherever it stands.
    pub(crate) fn remove(&mut self, lane: &LaneKey, place: Place) {
        let Some(places) = self.lanes.get_mut(lane) else { return };
        let head = places.first().copied();
        if !places.remove(&place) {
            return;
        }
        self.ready -= 1;
        let next = places.first().copied();
        if places.is_empty() {
            self.lanes.remove(lane);
        }
        if head == Some(place) {
            self.unlist(lane, place);
            if let Some(next) = next {
                self.open.insert((next, lane.clone()));
            }
        }
    }

    fn unlist(&mut self, lane: &LaneKey, head: Place) {
        let entry = (head, lane.clone());
        self.open.remove(&entry);
        if let Some(set) = self.closed.get_mut(&lane.workflow) {
            set.remove(&entry);
            if set.is_empty() {
                self.closed.remove(&lane.workflow);
            }
        }
    }

    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Looks again at closed lanes of a workflow.
    pub(crate) fn reopen(&mut self, workflow: &str, most: usize) {
        let Some(set) = self.closed.get_mut(workflow) else { return };
        for _ in 0..most {
            let Some(entry) = set.pop_first() else { break };
            self.open.insert(entry);
        }
        if set.is_empty() {
            self.closed.remove(workflow);
        }
    }

    pub(crate) fn reopen_all(&mut self) {
        self.closed.clear();
        self.open = self
            .lanes
            .iter()
            .filter_map(|(lane, places)| Some((*places.first()?, lane.clone())))
            .collect();
    }

    fn reopen_key(&mut self, key: &Arc<str>) {
        let from = LaneKey {
            concurrency_key: Some(key.clone()),
            workflow: "".into(),
            placement: None,
            build: None,
            alone: false,
            has_slot: false,
        };
        for (lane, places) in
            self.lanes.range(from..).take_while(|(l, _)| l.concurrency_key.as_ref() == Some(key))
        {
            if let Some(head) = places.first() {
                let entry = (*head, lane.clone());
                if !self.closed.get(&lane.workflow).is_some_and(|set| set.contains(&entry)) {
                    self.open.insert(entry);
                }
            }
        }
    }

    /// Places ready runs while slots and workers last. `give` says whether a worker took the run.
    /// A run that was given keeps its slot while it waits if the queue says so.
    pub(crate) fn place(
        &mut self,
        placed: &mut Vec<RunId>,
        mut give: impl FnMut(&LaneKey, RunId, WhileWaiting) -> bool,
    ) {
        if self.config.paused {
            return;
        }
        let keeps =
            if self.config.hold { WhileWaiting::KeepsSlot } else { WhileWaiting::GivesSlotBack };
        let mut passed_over = Vec::new();
        while let Some((head, lane)) = self.open.pop_first() {
            let key = lane.concurrency_key.as_deref();
            if !lane.has_slot && !self.has_room(key) {
                // A lane whose key is full is listed again when a slot of the key comes free.
                if self.has_room_for_key(key) {
                    passed_over.push((head, lane));
                    if self.open.iter().all(|(_, lane)| !lane.has_slot) {
                        break;
                    }
                }
                continue;
            }
            if !give(&lane, head.run, keeps) {
                self.closed.entry(lane.workflow.clone()).or_default().insert((head, lane));
                continue;
            }
            if !lane.has_slot {
                self.take(head.run, head.run, key);
            }
            placed.push(head.run);
            self.pop(&lane, head);
        }
        self.open.extend(passed_over);
    }

    fn pop(&mut self, lane: &LaneKey, head: Place) {
        self.ready -= 1;
        let Some(places) = self.lanes.get_mut(lane) else { return };
        places.remove(&head);
        if let Some(next) = places.first() {
            self.open.insert((*next, lane.clone()));
        } else {
            self.lanes.remove(lane);
        }
    }

    /// True if a run stands at this place.
    pub(crate) fn stands(&self, lane: &LaneKey, place: Place) -> bool {
        self.lanes.get(lane).is_some_and(|places| places.contains(&place))
    }

    /// How many ready runs stand before each of these places: what a person is told.
    pub(crate) fn number(&self, places: &BTreeSet<Place>) -> Numbers {
        numbering::number(self.lanes.values(), places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(key: Option<&str>) -> LaneKey {
        LaneKey {
            concurrency_key: key.map(Arc::from),
            workflow: "w".into(),
            placement: None,
            build: None,
            alone: false,
            has_slot: false,
        }
    }

    fn run(number: u64) -> RunId {
        RunId::from_parts(number, [0; 10])
    }

    fn queue(concurrency: Option<u32>, per_key: Option<u32>) -> Queue {
        let mut queue = Queue::new("q");
        queue.configure(QueueConfig {
            name: "q".into(),
            concurrency,
            concurrency_per_key: per_key,
            ..QueueConfig::default()
        });
        queue
    }

    fn place_all(queue: &mut Queue) -> Vec<RunId> {
        let mut placed = Vec::new();
        queue.place(&mut placed, |_, _, _| true);
        placed
    }

    #[test]
    fn limits_hold_in_all_and_per_key() {
        let mut queue = queue(Some(3), Some(1));
        for number in 1..=4 {
            queue.push(lane(Some("a")), Place::new(false, 0, run(number)));
        }
        queue.push(lane(Some("b")), Place::new(false, 0, run(5)));
        queue.push(lane(None), Place::new(false, 0, run(6)));
        queue.push(lane(None), Place::new(false, 0, run(7)));
        assert_eq!(place_all(&mut queue), vec![run(1), run(5), run(6)]);
        queue.free(run(5));
        assert_eq!(place_all(&mut queue), vec![run(7)]);
        queue.free(run(1));
        assert_eq!(place_all(&mut queue), vec![run(2)]);
        assert_eq!(queue.ready, 2);
    }

    #[test]
    fn resumed_runs_go_first_then_priority_then_age() {
        let mut queue = queue(Some(1), None);
        queue.push(lane(None), Place::new(false, 0, run(1)));
        queue.push(lane(None), Place::new(false, 5, run(2)));
        queue.push(lane(None), Place::new(true, 0, run(3)));
        let mut order = Vec::new();
        while let [one] = place_all(&mut queue)[..] {
            order.push(one);
            queue.free(one);
        }
        assert_eq!(order, vec![run(3), run(2), run(1)]);
    }

    #[test]
    fn a_lane_without_a_worker_blocks_no_other_and_comes_back() {
        let mut queue = queue(None, None);
        queue.push(lane(Some("a")), Place::new(false, 0, run(1)));
        queue.push(lane(Some("b")), Place::new(false, 0, run(2)));
        let mut placed = Vec::new();
        queue.place(&mut placed, |lane, _, _| lane.concurrency_key.as_deref() == Some("b"));
        assert_eq!(placed, vec![run(2)]);
        assert!(place_all(&mut queue).is_empty());
        queue.reopen("w", 8);
        assert_eq!(place_all(&mut queue), vec![run(1)]);
    }

    #[test]
    fn removing_the_head_lists_the_next() {
        let mut queue = queue(None, None);
        let (first, second) = (Place::new(false, 0, run(1)), Place::new(false, 0, run(2)));
        queue.push(lane(None), first);
        queue.push(lane(None), second);
        queue.remove(&lane(None), first);
        assert_eq!(place_all(&mut queue), vec![run(2)]);
    }
}
