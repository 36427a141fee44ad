//! The product on a real cluster, from outside: what the people who use it do and see.
//!
//! Run by `tests/run`; a plain `cargo test` only lists these tests.

use std::process::ExitCode;

use anyhow::Result;
use guard_tests::cluster::Cluster;
use guard_tests::suite::{self, Test};
use guard_tests::world::{self, Place};

#[path = "e2e/cluster.rs"]
mod cluster;

const TESTS: &[Test<Cluster>] = &[
    ("both_nodes_take_pods_that_reach_each_other", cluster::both_nodes_take_pods_that_reach_each_other),
    ("a_leak_is_oom_killed_and_a_crash_loops", cluster::a_leak_is_oom_killed_and_a_crash_loops),
];

fn main() -> Result<ExitCode> {
    if std::env::var_os("GUARD_E2E").is_none() {
        return Ok(suite::ignore_all(TESTS, "tests/run runs it"));
    }
    match world::enter()? {
        Place::Done(code) => Ok(code),
        Place::Inside => Ok(suite::run(TESTS, Cluster::start)),
    }
}
