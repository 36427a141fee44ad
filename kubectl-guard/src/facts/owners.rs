//! What deploys an object, by the labels and annotations that Argo CD, Flux and Helm leave on it. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::sanitise;

/// Key of a label or annotation, and what it tells.
const SIGNS: [(&str, &str); 5] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("meta.helm.sh/release-name", "Helm release"),
];

/// `Argo CD application shop`, from the first sign that is there.
pub(super) fn deployed_by(metadata: &ObjectMeta) -> Option<String> {
    let value = |key: &str| {
        let of = |map: &Option<std::collections::BTreeMap<String, String>>| map.as_ref()?.get(key).cloned();
        of(&metadata.annotations).or_else(|| of(&metadata.labels))
    };
    SIGNS.iter().find_map(|(key, what)| {
        let name = value(key)?;
        // Argo CD's tracking id goes on with the object that it tracks.
        let name = name.split(':').next().unwrap_or_default();
        Some(format!("{what} {}", sanitise::line(name)))
    })
}

#[cfg(test)]
mod tests {
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
    fn a_hostile_name_is_harmless() {
        assert!(!signed("meta.helm.sh/release-name", "a\u{1b}[2J\nb").unwrap().contains(['\u{1b}', '\n']));
    }
}
