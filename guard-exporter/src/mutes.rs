//! Follows the ConfigMap of mutes, and marks the pods that they cover.
//!
//! While the API server is away the last known mutes hold until they end. An exporter that may not read them, as after an
//! upgrade of the image alone, mutes nobody and says so once.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use guard_model::mute::{self, CONFIG_MAP, Mute};
use guard_model::sample::PodFacts;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

/// The mutes that are known, shared between the watch that writes and the tick that reads.
#[derive(Clone, Default)]
pub struct Mutes(Arc<RwLock<Vec<Mute>>>);

impl Mutes {
    /// Marks those of this node's pods that are muted now.
    pub fn mark(&self, pods: &mut [PodFacts], node: &str, now: Timestamp) {
        let mutes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for pod in pods {
            // Of several the one that lasts longest counts.
            let covering = mutes.iter().filter(|mute| mute.holds(now) && mute.covers(pod, node));
            pod.muted = covering.max_by_key(|mute| mute.silence.until).map(|mute| mute.silence.clone());
        }
    }

    /// Follows the ConfigMap in `namespace` for as long as it is polled.
    pub async fn follow(&self, client: Client, namespace: &str) {
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        let mut seen = std::pin::pin!(watcher::watch_object(api, CONFIG_MAP).default_backoff());
        let mut failing = false;
        while let Some(seen_now) = seen.next().await {
            let failed = seen_now.is_err();
            match seen_now {
                Ok(map) => self.take(map.as_ref()),
                // Once for each time that it begins: it is tried again for as long as it takes.
                Err(error) if !failing => {
                    tracing::warn!(%error, "cannot follow the mutes; those known hold until they end");
                }
                Err(error) => tracing::debug!(%error, "cannot follow the mutes"),
            }
            failing = failed;
        }
    }

    fn take(&self, map: Option<&ConfigMap>) {
        let none = BTreeMap::new();
        let data = map.and_then(|map| map.data.as_ref()).unwrap_or(&none);
        let (mutes, broken) = mute::read(data, Timestamp::now());
        if broken > 0 {
            tracing::warn!(broken, "entries of the ConfigMap {CONFIG_MAP} cannot be understood and mute nobody");
        }
        tracing::info!(mutes = mutes.len(), "mutes are known");
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = mutes;
    }
}

#[cfg(test)]
mod tests {
    use guard_model::mute::Target;
    use guard_model::silence::Silence;

    use super::*;

    fn map(entries: &[(&str, i64)]) -> ConfigMap {
        let since = Timestamp::now();
        let entry = |(name, seconds): &(&str, i64)| {
            let until = Timestamp::from_second(since.as_second() + seconds).unwrap();
            let silence = Silence { until, reason: format!("{seconds} s"), by: "ann".into() };
            let target = Target::Pod { namespace: "shop".into(), name: (*name).into() };
            let mute = Mute { target, since, silence };
            (format!("{name}.{seconds}"), serde_json::to_string(&mute).unwrap())
        };
        ConfigMap { data: Some(entries.iter().map(entry).collect()), ..ConfigMap::default() }
    }

    fn marked(mutes: &Mutes) -> BTreeMap<String, Option<String>> {
        let pod = |name: &str| PodFacts { namespace: "shop".into(), name: name.into(), ..PodFacts::default() };
        let mut pods = ["a", "b"].map(pod);
        mutes.mark(&mut pods, "node1", Timestamp::now());
        pods.into_iter().map(|pod| (pod.name, pod.muted.map(|silence| silence.reason))).collect()
    }

    #[test]
    fn the_longest_of_several_mutes_counts_and_a_deleted_map_ends_all() {
        let mutes = Mutes::default();
        mutes.take(Some(&map(&[("a", 60), ("a", 600), ("b", -1)])));
        let found = marked(&mutes);
        assert_eq!((found["a"].as_deref(), found["b"].as_deref()), (Some("600 s"), None));
        mutes.take(None);
        assert_eq!(marked(&mutes)["a"], None);
    }
}
