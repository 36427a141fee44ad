//! The boards of `manifests/grafana`, without a Grafana: what can be wrong in a file that nobody has opened. The end-to-end tests
//! run their queries.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use guard_tests::dashboards::{Board, Query, boards, filled};
use guard_tests::manifests;
use serde_json::{Value, json};

/// Every series that there is: the exporter's, as its tests hold them, and those that the recording rules make.
fn series() -> Result<BTreeSet<String>> {
    let golden = "guard-exporter/src/snapshots/guard_exporter__metrics__tests__every_family_of_a_tick_is_shown_with_its_help_and_type.snap";
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(golden))?;
    let rules = fs::read_to_string(manifests::folder().join("monitoring/rules.yml"))?;
    let families = golden.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    Ok(families.chain(recorded).chain(["up"]).map(str::to_owned).collect())
}

/// The names in an expression that stand before a selector or alone in a function.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    expression.split(move |c| !inside(c)).filter(|word| {
        word.starts_with("guard_") || word.starts_with("process_") || word.starts_with("namespace_") || *word == "up"
    })
}

#[test]
fn every_series_that_a_board_names_is_one() -> Result<()> {
    let series = series()?;
    assert!(series.len() > 15, "{series:?}");
    for board in boards()? {
        let variables = board.variables();
        let expressions = board.queries().map(|query| query.expression.to_owned());
        for expression in expressions.chain(variables.iter().map(|variable| variable.series.clone())) {
            assert!(names(&expression).count() > 0, "{}: {expression}", board.name);
            for name in names(&expression) {
                assert!(series.contains(name), "{}: {name} of {expression}", board.name);
            }
        }
    }
    Ok(())
}

#[test]
fn boards_show_what_there_is_and_nothing_instead_of_it() -> Result<()> {
    for board in boards()? {
        let text = board.json.to_string();
        for forbidden in ["vector(", "or on()", "or on ()", "[5m]", "[1m]"] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", board.name);
        }
        for rate in text.split("rate(").skip(1) {
            assert!(rate.contains("[$__rate_interval]"), "{}: rate({rate}", board.name);
        }
    }
    Ok(())
}

/// The pods of `cart` are told from those of `cart-db` by the form of their names, as the recording rules do it.
#[test]
fn a_workload_stands_for_its_own_pods() -> Result<()> {
    let rules = fs::read_to_string(manifests::folder().join("monitoring/rules.yml"))?;
    let (_, form) = rules.split_once("\"(.+?)").context("the rules tell no workload by its pods' names")?;
    let (form, _) = form.split_once('"').context("the form has no end")?;
    let mut seen = 0;
    for board in boards()? {
        let variables = board.variables();
        let expressions = board.queries().map(|query| query.expression.to_owned());
        for expression in expressions.chain(variables.iter().map(|variable| variable.series.clone())) {
            for filter in expression.split("pod=~\"$workload").skip(1) {
                // A pod without a controller bears the name alone.
                assert!(filter.starts_with(&format!("({form})?\"")), "{}: {expression}", board.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
    Ok(())
}

fn sources<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("datasource"));
            fields.values().for_each(|value| sources(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| sources(value, found)),
        _ => {}
    }
}

#[test]
fn the_data_source_is_always_the_readers_choice() -> Result<()> {
    for board in boards()? {
        let mut found = Vec::new();
        sources(&board.json, &mut found);
        assert!(found.len() > 10);
        for source in found {
            assert_eq!(source["uid"], "${datasource}", "{}", board.name);
        }
        let names: Vec<&str> = board.variables().iter().map(|variable| variable.name).collect();
        for wanted in ["cluster", "namespace", "workload"] {
            assert!(names.contains(&wanted), "{}: {names:?}", board.name);
        }
        assert_eq!(board.json["templating"]["list"][0]["type"], "datasource");
    }
    Ok(())
}

#[test]
fn names_that_others_rely_on_are_stable_and_links_lead_somewhere() -> Result<()> {
    let boards = boards()?;
    let uids: BTreeSet<&str> = boards.iter().filter_map(|board| board.json["uid"].as_str()).collect();
    assert_eq!(uids, BTreeSet::from(["guard-fleet", "guard-node", "guard-pod"]));
    for board in &boards {
        assert_eq!(board.json["uid"], format!("guard-{}", board.name));
        let text = board.json.to_string();
        let leads: BTreeSet<&str> =
            text.split("\"/d/").skip(1).filter_map(|rest| rest.split(['?', '"']).next()).collect();
        assert!(leads.len() >= 2 && leads.is_subset(&uids), "{}: {leads:?}", board.name);
        for link in text.split("?var-").skip(1).filter_map(|rest| rest.split('"').next()) {
            for kept in ["var-datasource=${datasource}", "${__url_time_range}", "${cluster:queryparam}"] {
                assert!(link.contains(kept), "{link} loses {kept}");
            }
        }
    }
    Ok(())
}

/// Pods and nodes of two clusters may have one name.
#[test]
fn what_is_named_by_a_series_is_told_from_that_of_another_cluster() -> Result<()> {
    let mut seen = 0;
    for board in boards()? {
        for target in board.panels().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
            let expression = target["expr"].as_str().unwrap_or_default();
            let Some(legend) = target["legendFormat"].as_str() else { continue };
            // What is summed has the labels alone that it is summed by.
            let is_of_all = expression.contains(" by (") && !expression.contains(" by (cluster");
            assert_eq!(legend.contains("{{cluster}}"), !is_of_all, "{}: {legend} of {expression}", board.name);
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
    Ok(())
}

fn overlap(a: &Value, b: &Value) -> bool {
    let side = |panel: &Value, name: &str| panel["gridPos"][name].as_i64().unwrap_or(-1);
    let apart = |from: &str, size: &str| {
        side(a, from) + side(a, size) <= side(b, from) || side(b, from) + side(b, size) <= side(a, from)
    };
    !apart("x", "w") && !apart("y", "h")
}

#[test]
fn panels_lie_beside_each_other_and_each_has_a_title() -> Result<()> {
    for board in boards()? {
        let panels = board.json["panels"].as_array().context("no panels")?;
        let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
        assert_eq!(ids.len(), panels.len(), "{}: ids are unique", board.name);
        for (i, panel) in panels.iter().enumerate() {
            let right = panel["gridPos"]["x"].as_i64().zip(panel["gridPos"]["w"].as_i64()).map(|(x, w)| x + w);
            assert!(right.is_some_and(|right| right <= 24), "{}: {}", board.name, panel["title"]);
            assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
            for other in &panels[..i] {
                assert!(!overlap(panel, other), "{}: {} on {}", board.name, panel["title"], other["title"]);
            }
        }
    }
    Ok(())
}

fn check(board: &Board) -> Result<()> {
    let values = [("__rate_interval", "1m"), ("__range", "1h")]
        .into_iter()
        .chain(board.variables().iter().map(|variable| (variable.name, "x")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let rule = |query: Query| json!({"record": "board:query", "expr": filled(query.expression, &values)});
    let rules = json!({"groups": [{"name": "board", "rules": board.queries().map(rule).collect::<Vec<_>>()}]});
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.rules.yml", board.name));
    fs::write(&file, rules.to_string())?;
    let checked = Command::new("promtool").args(["check", "rules"]).arg(&file).output().context("promtool")?;
    ensure!(checked.status.success(), "{}: {}", board.name, String::from_utf8_lossy(&checked.stderr));
    Ok(())
}

#[test]
#[ignore = "needs promtool: tests/run runs it"]
fn every_query_is_one() -> Result<()> {
    boards()?.iter().try_for_each(check)
}
