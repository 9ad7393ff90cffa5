//! Dry replays of random programs: the code that recorded a journal agrees with it, wherever it
//! ends, and with every step that is there a new one is seen.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use crate::program::{Node, Trace, code, random};
use crate::world::{Chance, World};
use polos_protocol::Record;
use polos_protocol::frame::{Finding, Replayed};
use polos_sdk::replay::{Need, Rehearsal, Settings};
use polos_sdk::{Ctx, Workflow, workflow};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many records a page brings.
const PAGE: usize = 3;

fn rehearse(journal: &[Record], code: &Arc<dyn Workflow>, build: &str) -> Replayed {
    let mut world = World::new(1);
    world.journal = journal.to_vec();
    world.page = PAGE;
    let start = Box::new(world.start());
    let now = world.now + 1_000_000_000;
    let mut rehearsal = Rehearsal::new(start, code.clone(), Settings::new(build), now);
    for _ in 0..10_000 {
        match rehearsal.go_on() {
            Need::Nothing(replayed) => return *replayed,
            Need::Page(after) => {
                let rest = journal.iter().filter(|record| record.seq > after).take(PAGE);
                let page: Vec<_> = rest.cloned().collect();
                let upto = page.last().unwrap().seq;
                rehearsal.append(world.append(page, upto));
            }
            Need::Value(hash) => panic!("no value is kept apart here: {hash}"),
        }
    }
    panic!("it does not come to an end");
}

fn recorded(program: &Node, seed: u64) -> Vec<Record> {
    let mut world = World::new(seed);
    world.drive(&code(program, &Trace::default()));
    world.journal
}

proptest! {
    #[test]
    fn the_code_agrees_with_its_own_journal(seed in 1_u64..u64::MAX) {
        let mut chance = Chance(seed);
        chance.next();
        let program = Node::Seq((0..=chance.below(3)).map(|_| random(&mut chance, 3)).collect());
        let journal = recorded(&program, seed);
        let same = code(&program, &Trace::default());
        for cut in 0..=journal.len() {
            let found = rehearse(&journal[..cut], &same, "b1");
            let agrees = matches!(found.finding, Finding::Agrees { .. });
            prop_assert!(agrees, "after {cut} records: {found:#?}\n{program:?}\n{journal:#?}");
        }
    }
}

/// Two steps, counted, with something between them.
fn two_steps(between: &'static str, done: &Arc<AtomicU32>) -> Arc<dyn Workflow> {
    let done = done.clone();
    workflow(move |ctx: Ctx, (): ()| {
        let done = done.clone();
        async move {
            let step = |name: &'static str| {
                let done = done.clone();
                // The closure itself counts: a dry replay must not even call it.
                ctx.step(name, move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    async { Ok(1) }
                })
            };
            step("a").await?;
            match between {
                "" => {}
                "sleep" => ctx.sleep(std::time::Duration::from_mins(1)).await?,
                name => drop(step(name).await?),
            }
            step("b").await
        }
    })
}

fn journal_of(code: &Arc<dyn Workflow>) -> Vec<Record> {
    let mut world = World::new(5);
    world.drive(code);
    world.journal
}

#[test]
fn no_step_is_begun_and_the_next_one_is_told() {
    let done = Arc::new(AtomicU32::new(0));
    let code = two_steps("", &done);
    let journal = journal_of(&code);
    assert_eq!(done.swap(0, Ordering::Relaxed), 2);
    let next = |cut: usize| match rehearse(&journal[..cut], &code, "b1").finding {
        Finding::Agrees { next } => next,
        other => panic!("{other:?}"),
    };
    assert_eq!([next(0), next(1), next(2)], ["runs `a`", "runs `b`", "ends with its output"]);
    assert_eq!(done.load(Ordering::Relaxed), 0);
}

#[test]
fn a_new_step_is_inserted_by_another_build_and_differs_in_the_same() {
    let done = Arc::new(AtomicU32::new(0));
    let journal = journal_of(&two_steps("", &done));
    let newer = two_steps("new", &done);
    let Finding::Inserts { steps, unchecked } = rehearse(&journal, &newer, "b2").finding else {
        panic!("it is not inserted");
    };
    let names =
        |keys: &[polos_protocol::StepKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((names(&steps), names(&unchecked)), (vec!["new".into()], vec!["b".into()]));
    let found = rehearse(&journal, &newer, "b1");
    let Finding::Differs { blocked } = found.finding else { panic!("{found:?}") };
    assert_eq!(blocked.code, "nondeterminism");
}

#[test]
fn a_step_that_is_gone_is_noted() {
    let done = Arc::new(AtomicU32::new(0));
    let journal = journal_of(&two_steps("gone", &done));
    let found = rehearse(&journal, &two_steps("", &done), "b2");
    assert!(matches!(found.finding, Finding::Agrees { .. }), "{found:?}");
    assert_eq!(found.notes, ["`gone` is recorded and not asked for any more"]);
}

#[test]
fn a_sleep_that_is_gone_does_not_hide_behind_its_outcome() {
    let done = Arc::new(AtomicU32::new(0));
    let journal = journal_of(&two_steps("sleep", &done));
    let found = rehearse(&journal[..2], &two_steps("sleep", &done), "b1");
    let Finding::Agrees { next } = found.finding else { panic!("{found:?}") };
    assert!(next.starts_with("waits for `sleep"), "{next}");
}
