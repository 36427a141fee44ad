//! The ConfigMap `guard-mutes`: who is silent, until when and why. Read by anybody who sees scores, written here and nowhere
//! else, one entry at a time.
//!
//! A change holds the version of the map that it was made from: of two people who mute at once the second is asked to look again.

use std::collections::BTreeMap;

use guard_model::mute::{self, CONFIG_MAP, Mute, Target};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::error::Error;
use crate::request::Request;
use crate::sanitise;
use crate::setup::NAMESPACE;
use crate::write_point::WritePoint;

/// Who the API server's managed fields say it was.
const FIELD_MANAGER: &str = "kubectl-guard-mute";

/// The map as it was read.
pub struct Mutes {
    data: BTreeMap<String, String>,
    version: Option<String>,
}

impl Mutes {
    /// Reads the map.
    ///
    /// # Errors
    /// If it is not there, may not be read, or the API server does not answer.
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let map = maps(client).get_opt(CONFIG_MAP).await.map_err(|error| request("get").failed(&error))?;
        let Some(map) = map else {
            return Err(Error::NoMutes { namespace: NAMESPACE, name: CONFIG_MAP });
        };
        Ok(Self { data: map.data.unwrap_or_default(), version: map.metadata.resource_version })
    }

    /// Those that hold now, sanitised, by target; and how many entries cannot be understood.
    pub fn holding(&self, now: Timestamp) -> (Vec<Mute>, usize) {
        let (mut mutes, broken) = mute::read(&self.data, now);
        mutes.iter_mut().for_each(sanitised);
        mutes.sort_by(|a, b| a.target.cmp(&b.target));
        (mutes, broken)
    }

    /// The change that adds a mute, and takes away what has ended.
    pub fn with(&self, mute: &Mute, now: Timestamp) -> Value {
        // Its types have string keys and finite numbers, which always serialise.
        let text = serde_json::to_string(mute).unwrap_or_default();
        self.change(mute.target.key(), Value::String(text), now)
    }

    /// The change that takes a mute away; `None` if there is none.
    pub fn without(&self, target: &Target, now: Timestamp) -> Option<Value> {
        let key = target.key();
        self.data.contains_key(&key).then(|| self.change(key, Value::Null, now))
    }

    fn change(&self, key: String, value: Value, now: Timestamp) -> Value {
        let over = |text: &String| text.parse::<Mute>().is_ok_and(|mute| !mute.holds(now));
        let ended = self.data.iter().filter(|(_, text)| over(text)).map(|(key, _)| (key.clone(), Value::Null));
        let mut data: serde_json::Map<String, Value> = ended.collect();
        data.insert(key, value);
        json!({"metadata": {"resourceVersion": self.version}, "data": data})
    }
}

/// Writes a change.
///
/// # Errors
/// If somebody else was faster, the user may not, or the API server does not answer.
pub async fn write(client: &Client, change: &Value, dry_run: bool) -> Result<(), Error> {
    let params = PatchParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let maps = maps(client);
    match WritePoint::Mutes.send(maps.patch(CONFIG_MAP, &params, &Patch::Merge(change))).await {
        Ok(_) => Ok(()),
        Err(error) => Err(request("patch").failed(&error)),
    }
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn request(verb: &'static str) -> Request<'static> {
    Request { verb, resource: "configmaps", group: "", namespace: Some(NAMESPACE) }
}

/// Cleans what somebody else has written.
fn sanitised(mute: &mut Mute) {
    let clean = |text: &mut String| *text = sanitise::line(text);
    clean(&mut mute.silence.reason);
    clean(&mut mute.silence.by);
    match &mut mute.target {
        Target::Pod { namespace, name } => [namespace, name].into_iter().for_each(clean),
        Target::Workload { namespace, workload } => {
            [namespace, &mut workload.kind, &mut workload.name].into_iter().for_each(clean);
        }
        Target::Node { name } => clean(name),
    }
}

#[cfg(test)]
mod tests {
    use guard_model::silence::Silence;

    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn mute(name: &str, until: &str) -> Mute {
        let silence = Silence { until: until.parse().unwrap(), reason: "known \u{1b}[31m".into(), by: "ann".into() };
        Mute { target: Target::Node { name: name.into() }, since: "2026-11-23T10:00:00Z".parse().unwrap(), silence }
    }

    fn mutes() -> Mutes {
        let entries = [mute("a", "2026-11-23T11:00:00Z"), mute("b", "2026-11-23T14:00:00Z")];
        let entry = |mute: &Mute| (mute.target.key(), serde_json::to_string(mute).unwrap());
        let mut data: BTreeMap<String, String> = entries.iter().map(entry).collect();
        data.insert("by-hand".into(), "quiet please".into());
        Mutes { data, version: Some("7".into()) }
    }

    #[test]
    fn a_change_holds_its_version_takes_away_what_ended_and_leaves_the_rest() {
        let now = NOW.parse().unwrap();
        let change = mutes().with(&mute("c", "2026-11-23T13:00:00Z"), now);
        assert_eq!(change["metadata"]["resourceVersion"], "7");
        let keys: Vec<&String> = change["data"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["_.Node.a", "_.Node.c"]);
        assert!(change["data"]["_.Node.a"].is_null() && change["data"]["_.Node.c"].is_string());
        assert_eq!(mutes().without(&mute("z", NOW).target, now), None);
        assert!(mutes().without(&mute("b", NOW).target, now).unwrap()["data"]["_.Node.b"].is_null());
    }

    #[test]
    fn what_holds_is_shown_clean_and_what_is_broken_is_counted() {
        let (holding, broken) = mutes().holding(NOW.parse().unwrap());
        assert_eq!((holding.len(), broken), (1, 1));
        assert!(!holding[0].silence.reason.contains('\u{1b}'), "{holding:?}");
    }
}
