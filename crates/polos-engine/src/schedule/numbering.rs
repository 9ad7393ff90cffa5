//! Which place ready runs have in their queue: a page of them is numbered in one walk over the
//! queue's lanes.

use super::lane::Place;
use std::collections::{BTreeMap, BTreeSet};

/// How many places one walk looks at. Behind so many, "at least" is said.
const STEPS_MAX: usize = 1 << 18;

/// How many ready runs stand before each of the places that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) ahead: BTreeMap<Place, usize>,
    /// False if there was too much to look at: the numbers are the least that there can be.
    pub(crate) are_exact: bool,
}

/// Numbers the places that are asked for, visiting each lane once.
pub(super) fn number<'a>(
    lanes: impl Iterator<Item = &'a BTreeSet<Place>>,
    asked: &BTreeSet<Place>,
) -> Numbers {
    let asked: Vec<Place> = asked.iter().copied().collect();
    let mut walk = Walk { between: vec![0; asked.len()], asked, steps_left: STEPS_MAX };
    let mut lanes = lanes;
    let are_exact = lanes.all(|lane| walk.visit(lane).is_some());
    Numbers { ahead: walk.add_up(), are_exact }
}

struct Walk {
    asked: Vec<Place>,
    /// How many runs stand between each asked place and the one asked before it.
    between: Vec<usize>,
    steps_left: usize,
}

impl Walk {
    /// Counts the runs of one lane. None if there are no steps left for it.
    fn visit(&mut self, lane: &BTreeSet<Place>) -> Option<()> {
        let (first, last) = (*self.asked.first()?, *self.asked.last()?);
        self.between[0] += self.count_before(lane, first)?;
        for place in lane.range(first..last) {
            self.step()?;
            let next = self.asked.partition_point(|asked| asked <= place);
            self.between[next] += 1;
        }
        Some(())
    }

    /// How many runs of a lane stand before a place. Looks from both ends, for the newest runs
    /// stand at the far one, and they are what lists begin with.
    fn count_before(&mut self, lane: &BTreeSet<Place>, place: Place) -> Option<usize> {
        for (seen, (front, back)) in lane.iter().zip(lane.iter().rev()).enumerate() {
            self.step()?;
            if *front >= place {
                return Some(seen);
            }
            if *back < place {
                return Some(lane.len() - seen);
            }
        }
        Some(0)
    }

    fn step(&mut self) -> Option<()> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        Some(())
    }

    fn add_up(self) -> BTreeMap<Place, usize> {
        let mut ahead = 0;
        let sum = |between| {
            ahead += between;
            ahead
        };
        self.asked.into_iter().zip(self.between.into_iter().map(sum)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::RunId;

    fn place(number: u64) -> Place {
        Place::new(false, 0, RunId::from_parts(number, [0; 10]))
    }

    fn lane(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Place> {
        numbers.into_iter().map(place).collect()
    }

    #[test]
    fn a_page_is_numbered_in_one_visit_to_each_lane() {
        let lanes = [lane(0..40), lane([50, 52, 54]), lane([51, 60]), lane((41..200).step_by(7))];
        let asked = lane([3, 52, 60, 62, 199]);
        let mut visits = 0;
        let numbers = number(lanes.iter().inspect(|_| visits += 1), &asked);
        assert_eq!(visits, lanes.len());
        assert!(numbers.are_exact);
        for (place, ahead) in numbers.ahead {
            let one_by_one: usize = lanes.iter().map(|lane| lane.range(..place).count()).sum();
            assert_eq!(ahead, one_by_one, "{place:?}");
        }
    }

    #[test]
    fn the_newest_of_a_long_lane_cost_no_walk_through_it() {
        let lanes = [lane(0..100_000)];
        let asked = lane(99_950..100_000);
        let mut walk = Walk {
            asked: asked.iter().copied().collect(),
            between: vec![0; asked.len()],
            steps_left: 200,
        };
        assert_eq!(walk.visit(&lanes[0]), Some(()));
        let ahead: Vec<usize> = walk.add_up().into_values().collect();
        assert_eq!(ahead, (99_950..100_000).collect::<Vec<usize>>());
    }

    #[test]
    fn a_walk_without_steps_left_ends_and_says_so() {
        let lanes = vec![lane([1]); STEPS_MAX + 1];
        let numbers = number(lanes.iter(), &lane([2]));
        assert!(!numbers.are_exact);
        assert_eq!(numbers.ahead[&place(2)], STEPS_MAX);
        assert!(number(lanes.iter().take(STEPS_MAX), &lane([2])).are_exact);
    }

    #[test]
    fn nothing_asked_is_nothing_numbered() {
        assert_eq!(number([lane(0..9)].iter(), &BTreeSet::new()).ahead, BTreeMap::new());
    }
}
