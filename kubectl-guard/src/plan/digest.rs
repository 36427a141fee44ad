//! The digest of a plan: what an approval binds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Action, Plan, RESTARTED_AT, Step};

/// Lower-case hex of the SHA-256 of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

/// The minute of Unix time that `at` is in.
pub(super) fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// `sha256:` and the digest that the plan has if it was made in `minute`.
pub(super) fn of(plan: &Plan, minute: i64) -> String {
    let covered = json!({
        "version": plan.version,
        "minute": minute,
        "context": plan.place.context,
        "cluster": plan.place.cluster,
        "server": plan.place.server,
        "identity": plan.identity,
        "steps": plan.steps.iter().map(without_time).collect::<Vec<_>>(),
        "guard_rails": plan.guard_rails,
    });
    format!("sha256:{}", hex(canonical(&covered).to_string().as_bytes()))
}

/// Twelve hex digits from the digest and the exact time.
pub(super) fn id(plan: &Plan) -> String {
    let mut id = hex(format!("{} {}", of(plan, minute(plan.created)), plan.created.as_nanosecond()).as_bytes());
    id.truncate(12);
    id
}

/// The step without the time of a restart, which differs each time the same plan is made.
fn without_time(step: &Step) -> Value {
    let mut value = json!(step);
    if step.action == Action::RolloutRestart {
        let annotation = RESTARTED_AT.replace('/', "~1");
        for place in ["patch", "after"] {
            let pointer = format!("/{place}/spec/template/metadata/annotations/{annotation}");
            if let Some(time) = value.pointer_mut(&pointer) {
                *time = json!("the plan's time");
            }
        }
    }
    value
}

/// The same value with the keys of every object sorted, whatever map serde_json was built with.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(
                entries.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}
