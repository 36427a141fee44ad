//! The product on a real cluster, from outside: what the people who use it do and see.
//!
//! Run by `tests/run`; a plain `cargo test` only lists these tests. They share one cluster and build on each other:
//! the load learns while rights and broken set-ups are tried, then one fault follows the other.

use std::process::ExitCode;

use anyhow::{Context, Result};
use guard_tests::cluster::Cluster;
use guard_tests::suite::Needs::{Any, Own};
use guard_tests::suite::{self, Test};
use guard_tests::world::{self, Place};

#[path = "e2e/again.rs"]
mod again;
#[path = "e2e/alerts.rs"]
mod alerts;
#[path = "e2e/churn.rs"]
mod churn;
#[path = "e2e/cluster.rs"]
mod cluster;
#[path = "e2e/collect.rs"]
mod collect;
#[path = "e2e/dashboards.rs"]
mod dashboards;
#[path = "e2e/demo.rs"]
mod demo;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/fix.rs"]
mod fix;
#[path = "e2e/helm.rs"]
mod helm;
#[path = "e2e/install.rs"]
mod install;
#[path = "e2e/kills.rs"]
mod kills;
#[path = "e2e/kinds.rs"]
mod kinds;
#[path = "e2e/manifests.rs"]
mod manifests;
#[path = "e2e/marks.rs"]
mod marks;
#[path = "e2e/mutes.rs"]
mod mutes;
#[path = "e2e/nodes.rs"]
mod nodes;
#[path = "e2e/outages.rs"]
mod outages;
#[path = "e2e/plans.rs"]
mod plans;
#[path = "e2e/prometheus.rs"]
mod prometheus;
#[path = "e2e/readme.rs"]
mod readme;
#[path = "e2e/resources.rs"]
mod resources;
#[path = "e2e/rights.rs"]
mod rights;
#[path = "e2e/rollback.rs"]
mod rollback;
#[path = "e2e/run.rs"]
mod run;
#[path = "e2e/scale.rs"]
mod scale;
#[path = "e2e/scrape.rs"]
mod scrape;
#[path = "e2e/setups.rs"]
mod setups;
#[path = "e2e/sink.rs"]
mod sink;
#[path = "e2e/soak.rs"]
mod soak;
#[path = "e2e/status.rs"]
mod status;
#[path = "e2e/survivals.rs"]
mod survivals;
#[path = "e2e/tui.rs"]
mod tui;
#[path = "e2e/ui.rs"]
mod ui;

const TESTS: &[Test<Cluster>] = &[
    ("pods_of_two_nodes_reach_each_other", Own, cluster::pods_of_two_nodes_reach_each_other),
    ("a_kubelet_that_signs_for_itself_is_named", Own, install::a_kubelet_that_signs_for_itself_is_named),
    (INSTALLED, Any, install::exporters_run_restricted_on_every_node),
    ("a_certificate_is_made_once", Any, install::a_certificate_is_made_once),
    ("an_upgrade_leaves_nothing_of_before", Any, install::an_upgrade_leaves_nothing_of_before),
    ("a_certificate_that_ends_soon_is_renewed", Own, install::a_certificate_that_ends_soon_is_renewed),
    ("metrics_are_for_those_who_may", Own, scrape::metrics_are_for_those_who_may),
    ("a_real_prometheus_scrapes_with_its_token", Own, prometheus::a_real_prometheus_scrapes_with_its_token),
    ("every_manifest_is_taken_by_a_strict_api_server", Own, manifests::every_manifest_is_taken_by_a_strict_api_server),
    ("every_pod_has_a_row", Any, status::every_pod_has_a_row),
    ("pods_of_every_kind_are_seen_as_they_are", Own, kinds::pods_of_every_kind_are_seen_as_they_are),
    ("a_control_begins_to_learn", Own, faults::a_control_begins_to_learn),
    ("formats_are_kubectls", Any, status::formats_are_kubectls),
    ("explain_shows_why_a_container_ended", Any, status::explain_shows_why_a_container_ended),
    ("a_viewer_sees_and_may_not_fix", Any, rights::a_viewer_sees_and_may_not_fix),
    ("the_dashboard_shows_the_cluster", Any, ui::the_dashboard_shows_the_cluster),
    ("a_mute_is_heeded_until_it_ends", Own, mutes::a_mute_is_heeded_until_it_ends),
    ("whoever_may_nothing_is_told_the_missing_rule", Any, rights::whoever_may_nothing_is_told_the_missing_rule),
    ("metrics_are_collected_and_analyzed", Any, collect::metrics_are_collected_and_analyzed),
    ("run_finds_a_crash_loop_and_changes_nothing", Any, run::run_finds_a_crash_loop_and_changes_nothing),
    ("a_plan_is_approved_in_the_dashboard", Own, ui::a_plan_is_approved_in_the_dashboard),
    ("a_plan_is_approved_on_the_screen", Own, tui::a_plan_is_approved_on_the_screen),
    ("a_viewer_approves_nothing_in_the_dashboard", Own, ui::a_viewer_approves_nothing_in_the_dashboard),
    ("the_demo_runs_restricted_and_its_faults_are_found", Own, demo::the_demo_runs_restricted_and_its_faults_are_found),
    ("an_operator_cannot_read_secrets", Any, rights::an_operator_cannot_read_secrets),
    ("a_dry_run_changes_nothing", Own, fix::a_dry_run_changes_nothing),
    ("the_journal_can_be_verified", Own, fix::the_journal_can_be_verified),
    (
        "a_plan_is_reviewed_as_a_file_and_carried_out_as_it_was",
        Own,
        plans::a_plan_is_reviewed_as_a_file_and_carried_out_as_it_was,
    ),
    (
        "limits_are_changed_in_place_refused_and_taken_back",
        Own,
        resources::limits_are_changed_in_place_refused_and_taken_back,
    ),
    (
        "a_bad_rollout_is_rolled_back_and_the_rollback_too",
        Own,
        rollback::a_bad_rollout_is_rolled_back_and_the_rollback_too,
    ),
    (
        "a_colleague_takes_back_and_goes_on_with_what_the_sink_tells",
        Own,
        sink::a_colleague_takes_back_and_goes_on_with_what_the_sink_tells,
    ),
    ("a_pod_is_restarted_by_its_identity", Own, marks::a_pod_is_restarted_by_its_identity),
    ("a_stateful_set_and_a_daemon_set_are_rolled_back", Own, rollback::a_stateful_set_and_a_daemon_set_are_rolled_back),
    ("a_scale_heeds_autoscalers_quotas_and_room", Own, scale::a_scale_heeds_autoscalers_quotas_and_room),
    ("a_broken_set_up_is_explained", Own, setups::a_broken_set_up_is_explained),
    ("a_kubelet_that_lies_is_reported", Own, outages::a_kubelet_that_lies_is_reported),
    ("a_broken_model_is_told", Own, outages::a_broken_model_is_told),
    ("a_fault_that_no_rule_sees_is_found_by_the_model", Own, faults::a_fault_that_no_rule_sees_is_found_by_the_model),
    ("a_cpu_hog_is_the_top_row", Any, faults::a_cpu_hog_is_the_top_row),
    ("every_panel_shows_a_fault", Own, dashboards::every_panel_shows_a_fault),
    ("a_pod_that_writes_is_found_by_its_disk", Own, faults::a_pod_that_writes_is_found_by_its_disk),
    ("a_crash_loop_is_the_top_row", Any, faults::a_crash_loop_is_the_top_row),
    ("a_fix_is_shown_approved_and_verified", Any, fix::a_fix_is_shown_approved_and_verified),
    ("a_leak_ends_in_an_oom_kill_on_top", Any, faults::a_leak_ends_in_an_oom_kill_on_top),
    ("each_role_does_exactly_its_part", Own, nodes::each_role_does_exactly_its_part),
    (
        "a_node_is_cordoned_and_uncordoned_with_a_signature",
        Own,
        nodes::a_node_is_cordoned_and_uncordoned_with_a_signature,
    ),
    (
        "a_drain_names_what_is_in_its_way_and_then_empties_the_node",
        Own,
        nodes::a_drain_names_what_is_in_its_way_and_then_empties_the_node,
    ),
    (
        "a_drain_that_budgets_forbid_is_refused_and_cordons_nothing",
        Own,
        nodes::a_drain_that_budgets_forbid_is_refused_and_cordons_nothing,
    ),
    (
        "a_pod_that_ignores_sigterm_is_waited_for_or_named",
        Own,
        nodes::a_pod_that_ignores_sigterm_is_waited_for_or_named,
    ),
    ("a_drain_that_is_asked_to_end_sends_nothing_more", Own, nodes::a_drain_that_is_asked_to_end_sends_nothing_more),
    (
        "a_drain_of_a_node_that_dies_half_way_is_told_and_gone_on_with",
        Own,
        nodes::a_drain_of_a_node_that_dies_half_way_is_told_and_gone_on_with,
    ),
    ("a_killed_fix_is_taken_up_and_told_truly", Own, kills::a_killed_fix_is_taken_up_and_told_truly),
    ("a_killed_exporter_costs_a_warning_at_most", Own, outages::a_killed_exporter_costs_a_warning_at_most),
    ("without_its_kubelet_a_node_is_not_guessed_at", Own, outages::without_its_kubelet_a_node_is_not_guessed_at),
    ("an_api_outage_restarts_no_exporter", Own, outages::an_api_outage_restarts_no_exporter),
    ("a_killed_mute_install_or_uninstall_is_run_again", Own, again::a_killed_mute_install_or_uninstall_is_run_again),
    ("every_change_bore_its_marks", Own, marks::every_change_bore_its_marks),
    ("a_short_soak_finds_its_faults", Own, soak::a_short_soak_finds_its_faults),
    // The last ones: they take the installation away.
    ("helm_installs_upgrades_and_leaves_nothing", Own, helm::helm_installs_upgrades_and_leaves_nothing),
    ("the_readmes_installation_works_to_the_letter", Own, readme::the_readmes_installation_works_to_the_letter),
];

/// Longer than anybody waits for the others: `tests/run --kills`.
const KILLS: &[Test<Cluster>] = &[
    (INSTALLED, Any, install::exporters_run_restricted_on_every_node),
    ("every_write_point_is_survived", Own, kills::every_write_point_is_survived),
    ("every_command_survives_its_write_points", Own, again::every_command_survives_its_write_points),
];

/// As long as somebody says: `tests/run --soak MINUTES`.
const SOAK: &[Test<Cluster>] = &[("a_soak_is_survived", Own, soak::a_soak_is_survived)];

/// Four minutes of it: `tests/run --soak short`.
const SHORT_SOAK: &[Test<Cluster>] = &[
    (INSTALLED, Any, install::exporters_run_restricted_on_every_node),
    ("a_short_soak_finds_its_faults", Own, soak::a_short_soak_finds_its_faults),
];

/// One fault, and what the boards of Grafana show of it: `tests/run --boards`.
const BOARDS: &[Test<Cluster>] = &[
    (INSTALLED, Any, install::exporters_run_restricted_on_every_node),
    ("every_panel_shows_a_fault", Own, dashboards::every_panel_shows_a_fault),
];

/// Parts of the cluster that fail, three times each: `tests/run --faults`.
const FAULTS: &[Test<Cluster>] = &[
    (INSTALLED, Any, install::exporters_run_restricted_on_every_node),
    ("the_api_server_restarts", Own, survivals::the_api_server_restarts),
    ("the_api_server_is_away", Own, survivals::the_api_server_is_away),
    ("etcd_is_compacted", Own, survivals::etcd_is_compacted),
    ("a_kubelet_restarts", Own, survivals::a_kubelet_restarts),
    ("a_container_runtime_restarts", Own, survivals::a_container_runtime_restarts),
    ("a_node_loses_its_power", Own, survivals::a_node_loses_its_power),
    ("all_pods_of_a_node_are_replaced", Own, churn::all_pods_of_a_node_are_replaced),
];

/// The load, and the exporters that watch it.
const INSTALLED: &str = "exporters_run_restricted_on_every_node";

fn before(test: &str) -> &'static [&'static str] {
    match test {
        INSTALLED
        | "pods_of_two_nodes_reach_each_other"
        | "a_kubelet_that_signs_for_itself_is_named"
        // It installs by itself.
        | "a_soak_is_survived" => &[],
        "a_fix_is_shown_approved_and_verified" => &[INSTALLED, "a_crash_loop_is_the_top_row"],
        "a_viewer_approves_nothing_in_the_dashboard" => &[INSTALLED, "a_plan_is_approved_in_the_dashboard"],
        // A change of each kind.
        "every_change_bore_its_marks" => &[
            "limits_are_changed_in_place_refused_and_taken_back",
            "a_pod_is_restarted_by_its_identity",
            "a_stateful_set_and_a_daemon_set_are_rolled_back",
            "a_scale_heeds_autoscalers_quotas_and_room",
            "a_node_is_cordoned_and_uncordoned_with_a_signature",
        ],
        _ => &[INSTALLED],
    }
}

/// Which tests the environment asks for.
fn tests() -> &'static [Test<Cluster>] {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    if is_set("GUARD_E2E_KILLS") {
        KILLS
    } else if is_set("GUARD_E2E_FAULTS") {
        FAULTS
    } else if is_set("GUARD_BOARDS") {
        BOARDS
    } else if std::env::var("GUARD_SOAK_MINUTES").is_ok_and(|minutes| minutes == "short") {
        SHORT_SOAK
    } else if is_set("GUARD_SOAK_MINUTES") {
        SOAK
    } else {
        TESTS
    }
}

fn main() -> Result<ExitCode> {
    if let Some(listed) = suite::listed(tests()) {
        return Ok(listed);
    }
    if let Ok(context) = std::env::var("GUARD_E2E_CONTEXT") {
        let start = || Cluster::existing(&context).context("GUARD_E2E_CONTEXT");
        return Ok(suite::run(TESTS, before, Any, start));
    }
    if std::env::var_os("GUARD_E2E").is_none() {
        return Ok(suite::ignore_all(TESTS, "tests/run runs it"));
    }
    match world::enter()? {
        Place::Done(code) => Ok(code),
        Place::Inside => Ok(suite::run(tests(), before, Own, Cluster::start)),
    }
}
