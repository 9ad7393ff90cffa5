//! Each change of the rules is found. The list is the table in docs/concepts/simulation.md.

use polos_testkit::sim::{Options, run};

/// So many seeds are tried; the table says which is the first that bites.
const SEEDS: u64 = 500;

fn is_found(mutation: &'static str) {
    let found = (1..=SEEDS).find(|seed| {
        run(&Options { mutation: Some(mutation), ..Options::new(*seed) }).violation.is_some()
    });
    assert!(found.is_some(), "{SEEDS} seeds do not notice `{mutation}`");
}

macro_rules! mutations {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            is_found(stringify!($name));
        }
    )*

        #[test]
        fn the_documentation_lists_them() {
            let text = include_str!("../../../../docs/concepts/simulation.md");
            for name in [$(stringify!($name)),*] {
                assert!(text.contains(&format!("| `{name}` |")), "`{name}` is not in the table");
            }
        }
    };
}

mutations! {
    accept_duplicates
    acknowledge_before_commit
    all_held_runs_work
    cancel_not_journaled
    dead_without_proof
    deadlock_not_seen
    events_seen_twice
    leak_slot
    never_wake
    parent_not_told
    resume_without_slot
    skip_assignment_check
    superseded_stands
    timers_in_memory_only
}
