//! Follows the pods of this node at the API server and keeps, of each, only the facts that scoring needs.
//!
//! Pods that have succeeded are not scored and not asked for; those that failed stay until somebody deletes them, and can be so many
//! that they are left out.
//!
//! While the API server is away the last known pods stay: they still run, and the kubelet still measures them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::{StreamExt, TryStreamExt};
use guard_model::pod;
use guard_model::sample::{Phase, PodFacts};
use guard_model::summary::MAX_PODS;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

/// The pods of the node, shared between the watch that writes and the tick that reads.
#[derive(Clone, Default)]
pub struct Pods(Arc<RwLock<Store>>);

/// The pods by UID: a name may be used again by a later pod, a UID never.
#[derive(Default)]
struct Store {
    known: Option<BTreeMap<String, PodFacts>>,
    /// What a list in progress has brought so far; it replaces `known` only when it is complete.
    listing: BTreeMap<String, PodFacts>,
    failures: u64,
    /// Some pod was left out.
    overfull: bool,
}

impl Pods {
    /// Every pod of the node, ordered by UID; `None` until they have been listed once.
    pub fn all(&self) -> Option<Vec<PodFacts>> {
        let store = self.0.read().unwrap_or_else(PoisonError::into_inner);
        store.known.as_ref().map(|known| known.values().cloned().collect())
    }

    /// Whether the pod of this UID is there, as far as is known: before the first list any may be.
    pub fn has(&self, uid: &str) -> bool {
        let store = self.0.read().unwrap_or_else(PoisonError::into_inner);
        store.known.as_ref().is_none_or(|known| known.contains_key(uid))
    }

    /// How often listing or watching has failed.
    pub fn failures(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).failures
    }

    /// Follows the pods of `node` for as long as it is polled: it starts again, with a growing pause, whatever happens.
    pub async fn follow(&self, client: Client, node: &str) {
        let api: Api<Pod> = Api::all(client);
        // An exact list, in pages. API servers of Kubernetes 1.34 and later have it from their cache; older ones may read every pod of
        // the cluster from etcd for it, for each node. Of version 0 any would have it from the cache, but heeds no limit then: thousands
        // of failed pods would come in one answer. A list as a watch (`sendInitialEvents`) is refused where that is turned off.
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node},status.phase!=Succeeded"));
        let mut events = std::pin::pin!(watcher(api, config).map_ok(reduce).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => self.failed(&error),
            }
        }
    }

    fn take(&self, event: Event<PodFacts>) {
        let mut store = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let was_overfull = store.overfull;
        store.take(event);
        if store.overfull && !was_overfull {
            tracing::warn!("more than {MAX_PODS} pods on this node; the others, failed ones first, are left out");
        }
    }

    fn failed(&self, error: &watcher::Error) {
        let mut store = self.0.write().unwrap_or_else(PoisonError::into_inner);
        store.failures = store.failures.saturating_add(1);
        tracing::warn!(%error, "cannot follow the pods of this node; trying again");
    }
}

impl Store {
    fn take(&mut self, event: Event<PodFacts>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(pod) => self.overfull |= !keep(&mut self.listing, pod),
            Event::InitDone => self.known = Some(std::mem::take(&mut self.listing)),
            Event::Apply(pod) => self.overfull |= !keep(self.known.get_or_insert_default(), pod),
            Event::Delete(pod) => {
                self.known.get_or_insert_default().remove(&pod.uid);
            }
        }
    }
}

/// Keeps the pod, if need be in place of one that has failed: a full node on which something keeps putting pods leaves thousands of
/// those behind. False if a pod was left out.
fn keep(pods: &mut BTreeMap<String, PodFacts>, pod: PodFacts) -> bool {
    let fits = pods.len() < MAX_PODS || pods.contains_key(&pod.uid);
    if !fits {
        let failed = pods.values().find(|kept| kept.phase == Phase::Failed).map(|kept| kept.uid.clone());
        match failed.filter(|_| pod.phase != Phase::Failed) {
            Some(failed) => pods.remove(&failed),
            None => return false,
        };
    }
    pods.insert(pod.uid.clone(), pod);
    fits
}

/// The same event with the facts alone: a Pod object is some ten kilobytes, most of which nobody here reads.
fn reduce(event: Event<Pod>) -> Event<PodFacts> {
    match event {
        Event::Apply(pod) => Event::Apply(pod::facts(&pod)),
        Event::Delete(pod) => Event::Delete(pod::facts(&pod)),
        Event::InitApply(pod) => Event::InitApply(pod::facts(&pod)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Pods {
        /// Pods of these UIDs, listed.
        pub(crate) fn of<'a>(uids: impl Iterator<Item = &'a str>) -> Self {
            let pods = Self::default();
            pods.take(Event::InitDone);
            uids.for_each(|uid| pods.take(Event::Apply(pod(uid, "a"))));
            pods
        }

        /// One of them goes.
        pub(crate) fn forget(&self, uid: &str) {
            self.take(Event::Delete(pod(uid, "a")));
        }
    }

    fn pod(uid: &str, name: &str) -> PodFacts {
        PodFacts { uid: uid.to_owned(), name: name.to_owned(), ..PodFacts::default() }
    }

    fn names(pods: &Pods) -> Option<Vec<String>> {
        pods.all().map(|pods| pods.into_iter().map(|pod| pod.name).collect())
    }

    #[test]
    fn nothing_is_known_before_the_first_whole_list() {
        let pods = Pods::default();
        pods.take(Event::Init);
        pods.take(Event::InitApply(pod("1", "a")));
        assert_eq!(names(&pods), None);
        pods.take(Event::InitDone);
        assert_eq!(names(&pods), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_new_list_replaces_the_old_one_only_when_it_is_whole() {
        let pods = Pods::default();
        for event in [Event::Init, Event::InitApply(pod("1", "a")), Event::InitDone, Event::Init] {
            pods.take(event);
        }
        pods.take(Event::InitApply(pod("2", "b")));
        assert_eq!(names(&pods), Some(vec!["a".to_owned()]));
        // The list broke off and is begun again.
        pods.take(Event::Init);
        pods.take(Event::InitApply(pod("3", "c")));
        pods.take(Event::InitDone);
        assert_eq!(names(&pods), Some(vec!["c".to_owned()]));
    }

    #[test]
    fn a_pod_that_takes_the_name_of_another_is_another() {
        let pods = Pods::default();
        pods.take(Event::InitDone);
        pods.take(Event::Apply(pod("1", "db-0")));
        pods.take(Event::Apply(pod("2", "db-0")));
        pods.take(Event::Delete(pod("1", "db-0")));
        assert_eq!(pods.all().unwrap()[0].uid, "2");
        assert!(pods.has("2") && !pods.has("1"));
    }

    #[test]
    fn of_too_many_pods_those_that_failed_are_left_out() {
        let pods = Pods::default();
        let failed = |uid: usize| PodFacts { phase: Phase::Failed, ..pod(&format!("failed-{uid}"), "f") };
        pods.take(Event::Init);
        (0..MAX_PODS + 5).for_each(|uid| pods.take(Event::InitApply(failed(uid))));
        pods.take(Event::InitDone);
        for name in ["a", "b", "a"] {
            pods.take(Event::Apply(pod(name, name)));
        }
        pods.take(Event::Apply(failed(MAX_PODS + 6)));
        assert_eq!(pods.all().map(|all| all.len()), Some(MAX_PODS));
        assert!(pods.has("a") && pods.has("b") && !pods.has(&format!("failed-{}", MAX_PODS + 6)));
    }

    #[test]
    fn pods_that_go_leave_nothing_behind() {
        let pods = Pods::default();
        pods.take(Event::InitDone);
        for uid in 0..1000 {
            pods.take(Event::Apply(pod(&uid.to_string(), "a")));
            pods.take(Event::Delete(pod(&uid.to_string(), "a")));
        }
        assert_eq!(names(&pods), Some(Vec::new()));
    }
}
