//! What makes an object: the one that an operator makes it from, or what deploys it, by the labels, annotations and writes that
//! Argo CD, Flux and Helm leave on it. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::parse::controller;
use crate::sanitise;

/// Key of a label or annotation, and what it tells.
const SIGNS: [(&str, &str); 5] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("meta.helm.sh/release-name", "Helm release"),
];

/// The name under which each writes, where it leaves no other sign.
const WRITERS: [(&str, &str); 4] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
];

/// `Prometheus k8s`: what controls the object.
pub(super) fn made_from(metadata: &ObjectMeta) -> Option<String> {
    controller(metadata).map(|owner| sanitise::line(&format!("{} {}", owner.kind, owner.name)))
}

/// `Argo CD application shop`, from the first sign that is there.
pub(super) fn deployed_by(metadata: &ObjectMeta) -> Option<String> {
    let value = |key: &str| {
        let of = |map: &Option<std::collections::BTreeMap<String, String>>| map.as_ref()?.get(key).cloned();
        of(&metadata.annotations).or_else(|| of(&metadata.labels))
    };
    let signed = SIGNS.iter().find_map(|(key, what)| {
        let name = value(key)?;
        // Argo CD's tracking id goes on with the object that it tracks.
        let name = name.split(':').next().unwrap_or_default();
        Some(format!("{what} {}", sanitise::line(name)))
    });
    signed.or_else(|| {
        let written = metadata.managed_fields.iter().flatten().filter_map(|fields| fields.manager.as_deref());
        let known = |writer: &str| WRITERS.iter().find(|(name, _)| *name == writer);
        written.filter_map(known).map(|(_, what)| (*what).to_owned()).next()
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference};

    use super::*;

    fn signed(key: &str, value: &str) -> Option<String> {
        let map = Some([(key.to_owned(), value.to_owned())].into());
        let by_label = deployed_by(&ObjectMeta { labels: map.clone(), ..ObjectMeta::default() });
        let by_annotation = deployed_by(&ObjectMeta { annotations: map, ..ObjectMeta::default() });
        assert_eq!(by_label, by_annotation);
        by_label
    }

    #[test]
    fn each_deployer_is_known_by_its_sign() {
        let tracked = signed("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/web");
        assert_eq!(tracked.unwrap(), "Argo CD application shop");
        assert_eq!(signed("kustomize.toolkit.fluxcd.io/name", "apps").unwrap(), "Flux Kustomization apps");
        assert_eq!(signed("helm.toolkit.fluxcd.io/name", "web").unwrap(), "Flux HelmRelease web");
        assert_eq!(signed("meta.helm.sh/release-name", "web").unwrap(), "Helm release web");
        assert_eq!(signed("app", "web"), None);
    }

    #[test]
    fn who_leaves_no_sign_is_known_by_its_writes() {
        let written = |manager: &str| {
            let fields = ManagedFieldsEntry { manager: Some(manager.into()), ..ManagedFieldsEntry::default() };
            deployed_by(&ObjectMeta { managed_fields: Some(vec![fields]), ..ObjectMeta::default() })
        };
        assert_eq!(written("argocd-controller").unwrap(), "Argo CD");
        assert_eq!(written("kustomize-controller").unwrap(), "Flux");
        assert_eq!(written("kubectl-client-side-apply"), None);
    }

    #[test]
    fn what_an_operator_makes_it_from_is_its_controller() {
        let owned = |controller| {
            let owner = OwnerReference {
                kind: "Prometheus".into(),
                name: "k8s\n".into(),
                controller: Some(controller),
                ..OwnerReference::default()
            };
            made_from(&ObjectMeta { owner_references: Some(vec![owner]), ..ObjectMeta::default() })
        };
        assert_eq!(owned(true).unwrap().trim(), "Prometheus k8s");
        assert_eq!(owned(false), None, "it only goes with it");
    }

    #[test]
    fn a_hostile_name_is_harmless() {
        assert!(!signed("meta.helm.sh/release-name", "a\u{1b}[2J\nb").unwrap().contains(['\u{1b}', '\n']));
    }
}
