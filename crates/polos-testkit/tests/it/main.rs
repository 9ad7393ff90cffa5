//! The simulation finds nothing wrong with the rules as they are, and finds each change of them
//! that docs/concepts/simulation.md lists.

mod mutations;

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
