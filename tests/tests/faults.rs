//! The real exporter and the real `run` beside a kubelet and an API server that fail in every way there is, many times over.
//!
//! Run by `tests/run --faults`, a few times each with all tests; a plain `cargo test` only lists these tests.

use std::process::ExitCode;

use anyhow::Result;
use guard_tests::suite::Needs::Own;
use guard_tests::suite::{self, Test};

#[path = "faults/api.rs"]
mod api;
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/files.rs"]
mod files;
#[path = "faults/kubelet.rs"]
mod kubelet;
#[path = "faults/run.rs"]
mod run;
#[path = "faults/scene.rs"]
mod scene;

use scene::Rounds;

const TESTS: &[Test<Rounds>] = &[
    ("an_exporter_that_is_killed_goes_on_from_what_it_had_learnt", Own, files::an_exporter_that_is_killed),
    ("a_model_of_garbage_changes_nothing", Own, files::a_model_of_garbage),
    ("a_full_disk_costs_what_was_learnt_at_most", Own, files::a_full_disk_of_the_exporter),
    ("a_run_that_is_killed_leaves_whole_files", Own, run::is_killed),
    ("a_run_on_a_full_disk_goes_on_when_there_is_room", Own, run::is_on_a_full_disk),
    ("a_run_whose_kubelet_has_too_much_to_do", Own, run::kubelet_has_too_much_to_do),
    ("a_run_whose_kubelet_breaks_off", Own, run::kubelet_breaks_off),
    ("a_run_whose_kubelet_talks_nonsense", Own, run::kubelet_talks_nonsense),
    ("a_run_whose_kubelet_says_50_megabytes", Own, run::kubelet_says_too_much),
    ("a_run_whose_kubelet_dawdles", Own, run::kubelet_dawdles),
    ("a_run_whose_api_server_has_too_much_to_do", Own, run::api_has_too_much_to_do),
    ("a_run_whose_api_server_breaks_off", Own, run::api_breaks_off),
    ("a_run_whose_api_server_talks_nonsense", Own, run::api_talks_nonsense),
    ("a_run_whose_api_server_says_50_megabytes", Own, run::api_says_too_much),
    ("a_run_whose_api_server_dawdles", Own, run::api_dawdles),
    ("a_journal_on_a_full_disk_is_whole", Own, files::a_full_disk_of_the_journal),
    ("an_api_server_that_hangs_up", Own, api::hangs_up),
    ("an_api_server_that_has_too_much_to_do", Own, api::too_much),
    ("an_api_server_that_fails", Own, api::fails),
    ("an_api_server_that_talks_nonsense", Own, api::nonsense),
    ("an_api_server_that_breaks_off", Own, api::breaks_off),
    ("a_version_that_etcd_has_compacted", Own, api::compacted),
    ("a_kubelet_that_hangs_up", Own, kubelet::hangs_up),
    ("a_kubelet_that_takes_30_seconds", Own, kubelet::slow),
    ("a_kubelet_that_breaks_off", Own, kubelet::breaks_off),
    ("a_kubelet_that_talks_nonsense", Own, kubelet::nonsense),
    ("a_kubelet_that_says_50_megabytes", Own, kubelet::huge),
    ("a_kubelet_whose_certificate_and_token_change", Own, kubelet::rotated),
    ("a_thousand_scrapers_that_dawdle", Own, kubelet::dawdling_scrapers),
    ("five_hundred_pods_replaced_each_minute", Own, kubelet::replaced_pods),
];

/// Whoever waits for these has time, and a build for them alone: `tests/run --faults`.
const LONG: &[Test<Rounds>] =
    &[("a_watch_that_falls_silent", Own, api::silent), ("a_clock_that_steps_by_an_hour", Own, clock::steps)];

fn main() -> Result<ExitCode> {
    if let Some(listed) = suite::listed(&[TESTS, LONG].concat()) {
        return Ok(listed);
    }
    let Ok(rounds) = std::env::var("GUARD_FAULTS_ROUNDS") else {
        return Ok(suite::ignore_all(TESTS, "tests/run --faults runs it"));
    };
    let rounds = Rounds::new(&rounds)?;
    let all = if rounds.is_whole() { [TESTS, LONG].concat() } else { TESTS.to_vec() };
    Ok(suite::run_at_once(&all, || rounds.clone()))
}
