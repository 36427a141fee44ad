//! Pods to show, of a context that is called prod.

use guard_model::report::{Severity, State};
use guard_model::workload::Workload;
use jiff::Timestamp;
use kubectl_guard::rows::{Labels, Row};
use kubectl_guard::ui::look::{Look as Fleet, Scope};

/// A look at these pods of all namespaces, made now.
pub(crate) fn fleet(rows: Vec<Row>) -> Fleet {
    let scope = Scope { context: "prod".into(), namespace: None };
    Fleet { at: Timestamp::now(), scope: Some(scope), rows, ..Fleet::default() }
}

/// A pod of a Deployment in shop that is as it should be.
pub(crate) fn well(name: &str, workload: &str) -> Row {
    Row {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid of {name}"),
        node: Some("node-1".into()),
        workload: Some(Workload::new("Deployment", workload)),
        score: Some(0.1),
        state: Some(State::Ok),
        severity: Severity::None,
        since: None,
        reasons: Vec::new(),
        side: None,
        line: None,
        began: None,
        note: None,
        fix: None,
        containers_ready: 1,
        containers_total: 1,
        restarts: 0,
        labels: Labels::new(),
    }
}

/// Such a pod over its line, since now.
pub(crate) fn over(name: &str, workload: &str) -> Row {
    let (state, severity) = (Some(State::Anomalous), Severity::Warning);
    Row { score: Some(0.9), state, severity, since: Some(Timestamp::now()), ..well(name, workload) }
}
