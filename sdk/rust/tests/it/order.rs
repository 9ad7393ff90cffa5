//! Random programs under crashes: what the code was told once it is told again, in the same order,
//! and nothing recorded is done twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::decimal_bitwise_operands, reason = "a generator of its own")]

use crate::program::{Node, Trace, code, random};
use crate::world::{Chance, End, World};
use polos_protocol::Kind;
use proptest::prelude::*;
use std::collections::HashSet;

fn lines(trace: &Trace) -> Vec<String> {
    std::mem::take(&mut *trace.lock().unwrap())
}

/// Runs a program under crashes until it ends; returns the world and what the last life was told.
fn live(program: &Node, seed: u64, kills: &[usize]) -> (World, Vec<String>, End) {
    let mut world = World::new(seed);
    let trace = Trace::default();
    for kill in kills {
        world.kill_at = world.journal.len() + 1 + kill;
        lines(&trace);
        let end = world.drive(&code(program, &trace));
        if end != End::Killed {
            return (world, lines(&trace), end);
        }
    }
    world.kill_at = usize::MAX;
    lines(&trace);
    let end = world.drive(&code(program, &trace));
    (world, lines(&trace), end)
}

fn check_recorded_once(world: &World) {
    for kind in [Kind::Step, Kind::Open, Kind::Resolved, Kind::Emit, Kind::Lost, Kind::Intent] {
        let keys = world.keys(kind);
        let distinct: HashSet<_> = keys.iter().collect();
        assert_eq!(keys.len(), distinct.len(), "{kind:?} recorded twice: {keys:?}");
    }
}

fn check(program: &Node, seed: u64, kills: &[usize]) {
    let (mut world, told, end) = live(program, seed, kills);
    assert!(matches!(end, End::Completed(_)), "{end:?}\n{program:?}\n{:#?}", world.journal);
    check_recorded_once(&world);

    // The whole journal again: told the same, does nothing, ends the same.
    let trace = Trace::default();
    let length = world.journal.len();
    world.begun.clear();
    world.page = 3;
    let again = world.drive(&code(program, &trace));
    assert_eq!(again, end);
    assert_eq!(lines(&trace), told);
    let added: Vec<_> = world.journal[length..].iter().map(|r| (r.kind(), r.key())).collect();
    assert!(added.is_empty(), "replay has recorded {added:?}\n{program:?}\n{:#?}", world.shape());
    assert!(world.begun.is_empty(), "replay has done something: {:?}", world.begun);

    // Any prefix: what is told up to its end is what was told before.
    let journal = world.journal.clone();
    for cut in 0..length {
        let mut world = World::new(seed ^ 77);
        world.journal = journal[..cut].to_vec();
        world.now = journal.get(cut.wrapping_sub(1)).map_or(world.now, |record| record.at);
        world.assignment = 50;
        let end = world.drive(&code(program, &trace));
        assert!(
            matches!(end, End::Completed(_)),
            "after {cut} records: {end:?}\n{program:?}\n{:#?}\n{:?}",
            world.shape(),
            world.seen
        );
        check_recorded_once(&world);
        let told_again = lines(&trace);
        let same = told.iter().zip(&told_again).take_while(|(a, b)| a == b).count();
        let handed = told_by(&journal[..cut], program, seed);
        let shape = World { journal: journal.clone(), ..World::new(1) }.shape();
        assert!(
            same >= handed.len(),
            "after {cut} records:\n{handed:#?}\n{told:#?}\n{shape:#?}\n{program:?}"
        );
    }
}

/// How many lines a prefix of the journal alone tells, with nothing live after it.
fn told_by(journal: &[polos_protocol::Record], program: &Node, seed: u64) -> Vec<String> {
    let mut world = World::new(seed);
    world.journal = journal.to_vec();
    world.assignment = 99;
    world.kill_at = 0;
    world.now = journal.last().map_or(world.now, |record| record.at);
    let trace = Trace::default();
    world.drive(&code(program, &trace));
    lines(&trace)
}

proptest! {
    #[test]
    fn what_was_told_is_told_again(
        seed in 1_u64..u64::MAX,
        kills in proptest::collection::vec(0_usize..6, 0..5),
    ) {
        let mut chance = Chance(seed);
        chance.next();
        let program = Node::Seq((0..=chance.below(3)).map(|_| random(&mut chance, 3)).collect());
        check(&program, seed, &kills);
    }
}

#[test]
fn two_runs_of_one_seed_record_the_same() {
    for seed in 1..40_u64 {
        let mut chance = Chance(seed * 7919);
        let program = random(&mut chance, 4);
        let (one, ..) = live(&program, seed, &[2, 3]);
        let (two, ..) = live(&program, seed, &[2, 3]);
        assert_eq!(one.keys(Kind::Step), two.keys(Kind::Step));
        assert_eq!(one.keys(Kind::Lost), two.keys(Kind::Lost));
    }
}
