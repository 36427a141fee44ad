use guard_model::report::{KubeletState, ModelInfo, NodeReport, VERSION as REPORT};

use super::*;
use crate::scores::Silent;

fn report(node: &str) -> NodeReport {
    NodeReport {
        version: REPORT,
        node: node.into(),
        at: jiff::Timestamp::UNIX_EPOCH,
        interval_seconds: 15.0,
        threshold: 0.7,
        scored_by: format!("guard-exporter {VERSION}"),
        model: ModelInfo { sha256: "ab".into(), ..ModelInfo::default() },
        kubelet: KubeletState { up: true, verified: true, error: None },
        certificate_ends: None,
        pods: Vec::new(),
    }
}

fn shown(checks: &[Check]) -> String {
    checks
        .iter()
        .map(|check| format!("{:4} {}: {}", check.level, check.name, check.found))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_sound_installation_gives_no_advice() {
    let checks = scores(&Scores { reports: vec![report("a"), report("b")], ..Scores::default() });
    assert!(checks.iter().all(|check| check.level == Level::Ok && check.fix.is_none()), "{}", shown(&checks));
}

#[test]
fn each_fault_is_found_by_its_own_check() {
    let mut a = report("a");
    a.kubelet =
        KubeletState { up: false, verified: true, error: Some("invalid peer certificate: UnknownIssuer".into()) };
    let mut b = report("b");
    b.kubelet.verified = false;
    b.model.error = Some("the model cannot be read as ONNX".into());
    b.scored_by = "guard-exporter 0.0.9".into();
    let silent = vec![Silent { node: "c".into(), problem: "no answer in 5 s".into() }];
    let checks = scores(&Scores { reports: vec![a, b], silent, ..Scores::default() });
    let levels: Vec<(&str, Level)> = checks.iter().map(|check| (check.name, check.level)).collect();
    let wanted = [
        ("exporters", Level::Fail),
        ("kubelets", Level::Fail),
        ("kubelet certificates", Level::Warn),
        ("serving certificates", Level::Ok),
        ("model", Level::Fail),
        ("versions", Level::Warn),
    ];
    assert_eq!(levels, wanted, "{}", shown(&checks));
    assert!(checks[1].fix.as_deref().unwrap().contains("serverTLSBootstrap"));
}

#[test]
fn the_first_certificate_to_end_is_told_a_month_before() {
    let day = |days: i64| Some(jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * days));
    let check = |days: i64| {
        let [mut a, mut b, silent] = ["a", "b", "silent"].map(report);
        (a.certificate_ends, b.certificate_ends) = (day(700), day(days));
        let check = serving(&[a, b, silent]);
        format!("{} {}; {}", check.level, check.found, check.fix.as_deref().unwrap_or("-"))
    };
    insta::assert_snapshot!([30, 29, -1].map(check).join("\n"), @r"
    OK valid until 1970-01-31 and longer; -
    WARN b: ends on 1970-01-30; to renew it, run `kubectl guard install` with all flags of the first time (without them the image and the kubelet's TLS go back to the defaults), or `helm upgrade` if Helm made it; exporters take it up by themselves, within two minutes. One that neither made is renewed by whoever did
    FAIL b: ended on 1969-12-31, so Prometheus gets no metrics; to renew it, run `kubectl guard install` with all flags of the first time (without them the image and the kubelet's TLS go back to the defaults), or `helm upgrade` if Helm made it; exporters take it up by themselves, within two minutes. One that neither made is renewed by whoever did
    ");
    assert_eq!(serving(&[report("silent")]).level, Level::Ok);
}

#[test]
fn only_a_certificate_is_blamed_on_certificates() {
    let mut refused = report("a");
    refused.kubelet = KubeletState { up: false, verified: true, error: Some("connection refused".into()) };
    assert_eq!(certificate_problem(&[refused.clone()]), None);
    refused.kubelet.error = Some("invalid peer certificate: UnknownIssuer".into());
    assert_eq!(certificate_problem(&[refused]).as_deref(), Some("a: invalid peer certificate: UnknownIssuer"));
}

#[test]
fn another_executable_that_takes_a_command_away_is_found() {
    let folder = |path: &str, names: &[&str]| (PathBuf::from(path), names.iter().map(|&n| n.to_owned()).collect());
    let own = folder("/usr/local/bin", &["kubectl-guard"]);
    assert_eq!(plugin_names(std::slice::from_ref(&own)).level, Level::Ok);
    let check = plugin_names(&[own.clone(), folder("/home/ann/bin", &["kubectl-guard-fix"])]);
    assert_eq!((check.level, check.found.contains("/home/ann/bin/kubectl-guard-fix")), (Level::Fail, true));
    assert_eq!(plugin_names(&[own, folder("/usr/bin", &["kubectl-guard"])]).level, Level::Warn);
    assert_eq!(plugin_names(&[]).level, Level::Warn);
}

#[test]
fn names_of_other_plugins_are_no_concern_of_ours() {
    assert_eq!(plugin_name(OsStr::new("kubectl-guardian")), None);
    assert_eq!(plugin_name(OsStr::new("kubectl-guard.exe")).as_deref(), Some("kubectl-guard"));
    assert_eq!(plugin_name(OsStr::new("kubectl-guard-fix")).as_deref(), Some("kubectl-guard-fix"));
}

#[test]
fn a_missing_right_names_verb_resource_and_place() {
    let missing = vec![rights::to_read_scores("guard-system").remove(2)];
    let check = rights::check("rights to read scores", &missing, true, "the Role guard-viewer in guard-system");
    assert_eq!(check.found, "you may not create pods/portforward in guard-system");
    assert_eq!(check.level, Level::Fail);
}
