//! The digest of a plan: what an approval binds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{CORDONED, Place, Plan, RESTARTED_AT, Step, Target};

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

/// Twelve hex digits from where, who, what and the exact time: known before the steps, which may carry it.
pub(crate) fn id(created: Timestamp, place: &Place, identity: &str, target: &Target) -> String {
    let made = json!([created.as_nanosecond().to_string(), place.server, identity, target.path(), target.uid]);
    let mut id = hex(made.to_string().as_bytes());
    id.truncate(12);
    id
}

/// The step without what differs each time the same plan is made: the time of a restart, the id and time in a cordon's
/// annotation, and a resourceVersion that moves by itself.
pub(super) fn without_time(step: &Step) -> Value {
    let mut value = json!(step);
    for annotations in ["/spec/template/metadata/annotations", "/metadata/annotations"] {
        for key in [RESTARTED_AT, CORDONED] {
            for place in ["patch", "after"] {
                let pointer = format!("/{place}{annotations}/{}", key.replace('/', "~1"));
                if let Some(time) = value.pointer_mut(&pointer).filter(|time| !time.is_null()) {
                    *time = json!("the plan's");
                }
            }
        }
    }
    if step.target.version_moves() {
        for pointer in ["/target/resource_version", "/patch/metadata/resourceVersion"] {
            if let Some(version) = value.pointer_mut(pointer) {
                *version = json!("the latest");
            }
        }
    }
    value
}

/// The same value with the keys of every object sorted, whatever map serde_json was built with.
pub(super) fn canonical(value: &Value) -> Value {
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
