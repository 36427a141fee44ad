//! A plan as a file: what `fix --dry-run -o yaml` printed, reviewed, and given back by `fix --plan`.
//!
//! Only its target, action and parameters are taken. All else in it - facts, guard rails, patches - is made anew from the cluster by
//! the same road, and must come out the same: so a file cannot carry what guard would not propose. Pure.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::digest::{canonical, hex, without_time};
use super::place::place;
use super::{Action, Plan, Step, Target, TargetName, VERSION, Verdict, is_name};
use crate::error::Failure;
use crate::exit::Exit;
use crate::nearest::nearest;
use crate::sanitise;

/// Bytes of a file; the plan of a drain of 500 pods has a tenth of them.
pub const MAX_BYTES: usize = 4 << 20;

/// What `fix` adds to a plan that it prints.
const ADDED: [&str; 3] = ["digest", "allowed", CHECKSUMS];
/// The key of the checksums: one for each part of the plan, also of what the digest leaves out.
const CHECKSUMS: &str = "checksums";

/// A plan as `fix -o yaml` and `-o json` print it.
pub fn document(plan: &Plan, verdicts: &[Verdict]) -> Value {
    let mut value = json!(plan);
    value["allowed"] = verdicts.iter().map(|verdict| json!(*verdict == Verdict::Allowed)).collect();
    value[CHECKSUMS] = checksums(&value);
    value["digest"] = json!(plan.digest());
    value
}

/// For each part a checksum. It shows what was changed by accident or by hand, and is no proof: whoever edits a file can
/// make them anew.
fn checksums(value: &Value) -> Value {
    let parts = value.as_object().into_iter().flatten();
    parts.map(|(key, part)| (key.clone(), json!(hex(canonical(part).to_string().as_bytes())))).collect()
}

/// A plan that was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanFile {
    plan: Plan,
    digest: String,
}

/// Why a plan of a file is not carried out. Foreign text in it is sanitised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// More than any plan has.
    #[error("it is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// It is no plan.
    #[error("it is no plan: {0}")]
    NoPlan(String),
    /// A key that no plan has.
    #[error("{}a plan has no {path}{}", at(*place), meant(nearest.as_deref()))]
    UnknownKey {
        /// Where it would be, as `steps.0.patchs`.
        path: String,
        /// Line and column, from 1.
        place: Option<(usize, usize)>,
        /// The key that is most like it.
        nearest: Option<String>,
    },
    /// Another version of guard wrote it.
    #[error("it is a plan of version {found}, this guard reads version {VERSION}")]
    Version {
        /// The file's.
        found: u64,
    },
    /// It does not hold what was written.
    #[error("it was changed after it was written: {0}")]
    Edited(String),
    /// Too late.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// The same plan cannot be made from the cluster as it is.
    #[error("it is not what guard would do now: {0}")]
    Differs(String),
}

/// A plan's file that is not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct BadPlanFile {
    path: PathBuf,
    source: PlanFileError,
}

impl PlanFileError {
    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        match self {
            Self::TooLarge | Self::NoPlan(_) | Self::UnknownKey { .. } | Self::Version { .. } => Exit::Error,
            Self::Edited(_) => Exit::Refused,
            Self::Expired(_) | Self::Differs(_) => Exit::Stale,
        }
    }

    /// The same, with the file's name before it.
    pub fn of(self, path: &Path) -> BadPlanFile {
        BadPlanFile { path: path.to_owned(), source: self }
    }
}

impl Failure for BadPlanFile {
    fn exit(&self) -> Exit {
        self.source.exit()
    }

    fn hint(&self) -> Option<&str> {
        Some("nothing was changed; make the plan again: kubectl guard fix ... --dry-run -o yaml")
    }
}

impl PlanFile {
    /// Reads what `fix -o yaml` or `-o json` printed.
    ///
    /// # Errors
    /// It is no plan, one of another version, one that was edited, or too old at `now`.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, PlanFileError> {
        if text.len() > MAX_BYTES {
            return Err(PlanFileError::TooLarge);
        }
        let no_plan = |problem: &dyn ToString| PlanFileError::NoPlan(sanitise::line(&problem.to_string()));
        // JSON is YAML, but for what few files hold. YAML's own values refuse a key that is there twice.
        let value: serde_norway::Value = serde_norway::from_str(text).map_err(|error| no_plan(&error))?;
        let value = serde_json::to_value(value).map_err(|error| no_plan(&error))?;
        match value["version"].as_u64() {
            Some(found) if found != u64::from(VERSION) => return Err(PlanFileError::Version { found }),
            _ => {}
        }
        let plan: Plan = serde_json::from_value(value.clone()).map_err(|error| no_plan(&error))?;
        known(text, &value, &plan)?;
        let digest = value["digest"].as_str().ok_or_else(|| no_plan(&"it has no digest"))?;
        let step = main(&plan).ok_or_else(|| no_plan(&"it has no step"))?;
        if !is_name(&step.target.name) || !(step.target.namespace.is_empty() || is_name(&step.target.namespace)) {
            return Err(no_plan(&"its target cannot be a name in Kubernetes"));
        }
        whole(&value, &plan)?;
        if digest != plan.digest() {
            let (says, makes) = (sanitise::line(digest), plan.digest());
            return Err(PlanFileError::Edited(format!("it says {says}, and its content makes {makes}")));
        }
        if now >= plan.expires || now < plan.created {
            return Err(PlanFileError::Expired(plan.expires));
        }
        Ok(Self { digest: digest.to_owned(), plan })
    }

    /// What it is about.
    pub fn target(&self) -> TargetName {
        let target = &self.main().target;
        TargetName { kind: target.kind, name: target.name.clone() }
    }

    /// The namespace of that; empty for a node.
    pub fn namespace(&self) -> &str {
        &self.main().target.namespace
    }

    /// What is done.
    pub fn action(&self) -> &Action {
        &self.main().action
    }

    /// The running pods are resized before their template is changed.
    pub fn is_in_place(&self) -> bool {
        self.plan.steps.iter().any(is_resize)
    }

    /// The step that the others belong to.
    fn main(&self) -> &Step {
        main(&self.plan).expect("a plan without it is not read")
    }

    /// Compares it with the plan that was made anew.
    ///
    /// # Errors
    /// They differ: in what.
    pub fn fits(&self, again: &Plan) -> Result<(), PlanFileError> {
        if again.answers_to(&self.digest) {
            return Ok(());
        }
        Err(PlanFileError::Differs(difference(&self.plan, again)))
    }
}

fn main(plan: &Plan) -> Option<&Step> {
    plan.steps.iter().find(|step| !is_resize(step))
}

fn is_resize(step: &Step) -> bool {
    matches!(step.action, Action::ResizePod { .. })
}

/// What differs first, in words.
fn difference(old: &Plan, new: &Plan) -> String {
    if old.place != new.place {
        return format!(
            "it is for context {} ({}), this is {} ({})",
            sanitise::line(&old.place.context),
            sanitise::line(&old.place.server),
            new.place.context,
            new.place.server
        );
    }
    if old.identity != new.identity {
        return format!("it was made for {:?}, you are {:?}", sanitise::line(&old.identity), new.identity);
    }
    for (old, new) in old.steps.iter().zip(&new.steps) {
        if let Some(what) = changed(&old.target, &new.target) {
            return what;
        }
        let (was, is) = (without_time(old), without_time(new));
        let parts = ["action", "patch", "preconditions", "before", "after", "need", "undo"];
        if let Some(part) = parts.into_iter().find(|part| was[part] != is[part]) {
            return format!("{part} of the step on {} is another", new.target);
        }
    }
    if old.steps.len() != new.steps.len() {
        return format!("it has {} steps, now there are {}", old.steps.len(), new.steps.len());
    }
    let rail = old.guard_rails.iter().find(|rail| !new.guard_rails.contains(rail));
    match rail.or_else(|| new.guard_rails.iter().find(|rail| !old.guard_rails.contains(rail))) {
        Some(rail) => format!("guard rail {:?} has another finding", sanitise::line(&rail.name)),
        None => "it is older than ten minutes, or a part of it is another".to_owned(),
    }
}

fn changed(old: &Target, new: &Target) -> Option<String> {
    if (old.kind, &old.namespace, &old.name) != (new.kind, &new.namespace, &new.name) {
        return Some(format!("it is about {}, now it would be {new}", sanitise::line(&old.to_string())));
    }
    if old.uid != new.uid {
        return Some(format!("{new} was deleted and made again since"));
    }
    (!new.is_as_seen(old)).then(|| format!("{new} has changed since"))
}

/// Refuses a file with a part that is not what was written, and names all such parts.
fn whole(value: &Value, plan: &Plan) -> Result<(), PlanFileError> {
    let Some(says) = value[CHECKSUMS].as_object() else {
        return Err(PlanFileError::NoPlan("it has no checksums".into()));
    };
    let mut content = json!(plan);
    content["allowed"] = value["allowed"].clone();
    let makes = checksums(&content);
    let other = |key: &&String| says.get(*key) != makes.get(*key);
    let keys: Vec<&str> =
        makes.as_object().into_iter().flatten().map(|(key, _)| key).filter(other).map(String::as_str).collect();
    match keys.as_slice() {
        [] => Ok(()),
        [key] => Err(PlanFileError::Edited(format!("its part {key} is not what was written"))),
        keys => Err(PlanFileError::Edited(format!("its parts {} are not what was written", keys.join(", ")))),
    }
}

/// Refuses keys that no plan has: a misspelt one would be ignored, and somebody may rely on it.
fn known(text: &str, value: &Value, plan: &Plan) -> Result<(), PlanFileError> {
    let mut whole = json!(plan);
    for key in ADDED {
        whole[key] = value[key].clone();
    }
    match stranger(value, &whole) {
        Some(Stranger { mut path, nearest }) => {
            path.reverse();
            let place = place(text, &path);
            Err(PlanFileError::UnknownKey { path: sanitise::line(&path.join(".")), place, nearest })
        }
        None => Ok(()),
    }
}

/// A key that does not belong: its path from the inside out, and the key beside it that was probably meant.
struct Stranger {
    path: Vec<String>,
    nearest: Option<String>,
}

/// The first key of `value` that `whole` does not have.
fn stranger(value: &Value, whole: &Value) -> Option<Stranger> {
    let within = |part: String, value, whole| {
        stranger(value, whole).map(|mut found| {
            found.path.push(part);
            found
        })
    };
    match (value, whole) {
        (Value::Object(keys), Value::Object(all)) => keys.iter().find_map(|(key, value)| {
            if let Some(whole) = all.get(key) {
                return within(key.clone(), value, whole);
            }
            let nearest = nearest(key, all.keys().map(String::as_str)).map(str::to_owned);
            Some(Stranger { path: vec![key.clone()], nearest })
        }),
        (Value::Array(items), Value::Array(all)) => {
            items.iter().zip(all).enumerate().find_map(|(i, (value, whole))| within(i.to_string(), value, whole))
        }
        _ => None,
    }
}

fn at(place: Option<(usize, usize)>) -> String {
    place.map_or_else(String::new, |(line, column)| format!("line {line}, column {column}: "))
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; is {key:?} meant?"))
}

#[cfg(test)]
mod tests;
