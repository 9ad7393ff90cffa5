//! The simulation finds nothing wrong with the rules as they are, and finds each of five changes
//! of them.

use polos_testkit::sim::{Options, run};

/// So many seeds in every test run; `POLOS_SIM_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("POLOS_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn check(from: u64, to: u64) {
    for seed in from..=to {
        let report = run(&Options::new(seed));
        assert_eq!(
            report.violation, None,
            "seed {seed}: run it with `cargo xtask sim --seed {seed}`"
        );
    }
}

// Halves, so that two processors share the work.
#[test]
fn nothing_is_violated_in_the_first_half() {
    check(1, seeds() / 2);
}

#[test]
fn nothing_is_violated_in_the_second_half() {
    check(seeds() / 2 + 1, seeds());
}

#[test]
fn two_runs_of_a_seed_are_equal() {
    for seed in [3, 4, 31] {
        let options = Options { verbose: true, ..Options::new(seed) };
        assert_eq!(run(&options), run(&options));
    }
}

#[test]
fn two_seeds_differ() {
    assert_ne!(run(&Options::new(1)).hash, run(&Options::new(2)).hash);
}

fn is_found(mutation: &'static str) {
    let found = (1..=400).find(|seed| {
        run(&Options { mutation: Some(mutation), ..Options::new(*seed) }).violation.is_some()
    });
    assert!(found.is_some(), "400 seeds do not notice `{mutation}`");
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    is_found("acknowledge_before_commit");
}

#[test]
fn records_taken_in_twice_are_found() {
    is_found("accept_duplicates");
}

#[test]
fn a_death_without_proof_is_found() {
    is_found("dead_without_proof");
}

#[test]
fn timers_that_are_not_stored_are_found() {
    is_found("timers_in_memory_only");
}

#[test]
fn parked_runs_that_never_wake_are_found() {
    is_found("never_wake");
}
