//! What `analyze` shows of the recorded incident, and writes.

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::cli::{self, Cli};
use crate::console::capture;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/incident.tar.zst");

/// What came of `analyze` with these words behind it, and what it printed on the two streams.
async fn analyzed(words: &[&str]) -> (Result<Exit, Error>, String, String) {
    let typed = Cli::try_parse_from([&["g", "analyze", DEMO], words].concat()).expect("a command line");
    let cli::Command::Analyze(args) = typed.command else { unreachable!("that is what was typed") };
    let (console, captured) = capture::console(200);
    let exit = run(&args, typed.kube.namespace.as_deref(), &console).await;
    (exit, captured.out.text(), captured.err.text())
}

#[tokio::test]
async fn a_namespace_can_be_chosen() {
    let document = async |more: &[&str]| {
        let (exit, out, _) = analyzed(&[&["--output-file=-"], more].concat()).await;
        exit.unwrap();
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let all = document(&[]).await;
    assert!(all["pods"].as_array().is_some_and(|pods| !pods.is_empty()), "{all}");
    assert_eq!(document(&["-n", "shop"]).await["pods"], all["pods"]);
    let other = document(&["-n", "other"]).await;
    assert_eq!((&other["pods"], &other["pods_watched"]), (&serde_json::json!([]), &serde_json::json!(0)));
    let (exit, _, said) = analyzed(&["-n", "other", "--exit-code", "--output-file=/dev/null"]).await;
    assert_eq!(exit.unwrap(), Exit::Done);
    assert!(said.contains("0 pods misbehaved of 0 watched in namespace other"), "{said}");
    let scores = tempfile::NamedTempFile::new().unwrap();
    let file = format!("--scores={}", scores.path().display());
    let (exit, ..) = analyzed(&["-n", "other", &file, "--output-file=/dev/null"]).await;
    assert_eq!(exit.unwrap(), Exit::Done);
    assert_eq!(std::fs::read_to_string(scores.path()).unwrap().lines().count(), 1, "only the titles");
}

#[tokio::test]
async fn what_was_found_is_shown_also_where_it_cannot_be_written() {
    let (exit, out, _) = analyzed(&["--output-file=/nonexistent/x.json"]).await;
    assert!(out.starts_with("NAMESPACE") && out.lines().count() > 1, "{out}");
    assert!(!out.contains("1.00"), "a score must not read as certainty: {out}");
    let error = exit.unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/x.json: cannot be written"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--output-file")));
    assert_eq!(error.process_exit_code(), Exit::Error);
}

#[tokio::test]
async fn whoever_has_no_table_is_told_what_writes_one() {
    for more in [&[][..], &["--follow"], &["--test"]] {
        let words = [&["g", "analyze", "/nonexistent/pod_metrics.csv"], more].concat();
        let cli::Command::Analyze(args) = Cli::try_parse_from(words).unwrap().command else { unreachable!() };
        let error = run(&args, None, &capture::console(200).0).await.unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/pod_metrics.csv: there is no such file");
        assert!(error.hint().is_some_and(|hint| hint.starts_with("`kubectl guard collect` writes one")), "{more:?}");
        assert_eq!(error.process_exit_code(), Exit::Error);
    }
}
