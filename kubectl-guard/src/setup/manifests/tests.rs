use super::*;
use crate::version::VERSION;

fn find<'a>(objects: &'a [Object], title: &str) -> &'a Object {
    objects.iter().find(|object| object.title() == title).unwrap()
}

fn rules(objects: &[Object]) -> Vec<(&Object, &Value)> {
    let rules = |object| Some((object, Object::rules(object)?));
    objects.iter().filter_map(rules).flat_map(|(object, rules)| rules.iter().map(move |rule| (object, rule))).collect()
}

impl Object {
    fn rules(&self) -> Option<&Vec<Value>> {
        self.value.get("rules")?.as_array()
    }
}

fn words<'a>(rule: &'a Value, key: &str) -> Vec<&'a str> {
    rule[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// `daemonsets.apps: get list` for each resource of each rule.
fn shown(object: &Object) -> String {
    let mut lines = Vec::new();
    for rule in object.rules().unwrap() {
        let group = words(rule, "apiGroups").join(",");
        let names = rule.get("resourceNames").map(|_| format!(" {:?}", words(rule, "resourceNames")));
        for resource in words(rule, "resources") {
            let dot = if group.is_empty() { "" } else { "." };
            let verbs = words(rule, "verbs").join(" ");
            lines.push(format!("{resource}{dot}{group}{}: {verbs}", names.clone().unwrap_or_default()));
        }
    }
    lines.join("\n")
}

#[test]
fn all_files_of_the_folder_are_embedded_in_the_order_of_kustomize_but_for_the_daemon_set() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests");
    let list = std::fs::read_to_string(format!("{folder}/kustomization.yaml")).unwrap();
    let list = parse(&list);
    let named: std::collections::BTreeSet<String> = words(&list, "resources").into_iter().map(str::to_owned).collect();
    let read = |name: &String| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let contents: std::collections::BTreeSet<String> = named.iter().map(read).collect();
    assert_eq!(contents, FILES.iter().map(|&file| file.to_owned()).collect());
    let there: std::collections::BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        // A folder is something to install beside it.
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    assert_eq!(there, named);
}

#[test]
fn objects_come_in_an_order_in_which_each_finds_what_it_needs() {
    let titles: Vec<String> = objects(&Choices::default()).iter().map(Object::title).collect();
    insta::assert_snapshot!(titles.join("\n"), @r"
    namespace/guard-system
    serviceaccount/guard-exporter
    clusterrole.rbac.authorization.k8s.io/guard-exporter
    clusterrolebinding.rbac.authorization.k8s.io/guard-exporter
    role.rbac.authorization.k8s.io/guard-exporter
    rolebinding.rbac.authorization.k8s.io/guard-exporter
    configmap/guard-mutes
    priorityclass.scheduling.k8s.io/guard-exporter
    clusterrole.rbac.authorization.k8s.io/guard-viewer
    role.rbac.authorization.k8s.io/guard-viewer
    clusterrole.rbac.authorization.k8s.io/guard-operator
    role.rbac.authorization.k8s.io/guard-operator
    clusterrole.rbac.authorization.k8s.io/guard-node-operator
    service/guard-exporter
    daemonset.apps/guard-exporter
    ");
}

#[test]
fn plurals_are_those_of_the_api_server() {
    let plurals: Vec<String> = objects(&Choices::default()).into_iter().map(|o| o.resource.plural).collect();
    for plural in ["priorityclasses", "daemonsets", "namespaces", "roles"] {
        assert!(plurals.iter().any(|found| found == plural), "{plural} in {plurals:?}");
    }
}

#[test]
fn the_exporter_may_read_and_ask_exactly_this() {
    let objects = objects(&Choices::default());
    insta::assert_snapshot!(shown(find(&objects, "clusterrole.rbac.authorization.k8s.io/guard-exporter")), @r"
    nodes/stats: get
    nodes/metrics: get
    pods: list watch
    tokenreviews.authentication.k8s.io: create
    subjectaccessreviews.authorization.k8s.io: create
    ");
    insta::assert_snapshot!(shown(find(&objects, "role.rbac.authorization.k8s.io/guard-exporter")), @r#"configmaps ["guard-mutes"]: list watch"#);
}

#[test]
fn people_may_do_exactly_this() {
    let objects = objects(&Choices::default());
    insta::assert_snapshot!(shown(find(&objects, "clusterrole.rbac.authorization.k8s.io/guard-viewer")), @r"
    pods: get list
    nodes: get list
    events: get list
    deployments.apps: get list
    statefulsets.apps: get list
    daemonsets.apps: get list
    replicasets.apps: get list
    controllerrevisions.apps: get list
    horizontalpodautoscalers.autoscaling: get list
    verticalpodautoscalers.autoscaling.k8s.io: get list
    scaledobjects.keda.sh: get list
    resourcequotas: get list
    poddisruptionbudgets.policy: get list
    ");
    insta::assert_snapshot!(shown(find(&objects, "role.rbac.authorization.k8s.io/guard-viewer")), @r#"
    pods: get list
    pods/portforward: get create
    configmaps ["guard-pause", "guard-mutes"]: get
    daemonsets.apps ["guard-exporter"]: get
    "#);
    let operator = shown(find(&objects, "clusterrole.rbac.authorization.k8s.io/guard-operator"));
    let viewer = shown(find(&objects, "clusterrole.rbac.authorization.k8s.io/guard-viewer"));
    insta::assert_snapshot!(operator.strip_prefix(&viewer).unwrap(), @r"

    deployments.apps: patch
    statefulsets.apps: patch
    daemonsets.apps: patch
    pods/resize: patch
    deployments/scale.apps: patch
    statefulsets/scale.apps: patch
    pods/eviction: create
    events.events.k8s.io: create
    ");
    insta::assert_snapshot!(shown(find(&objects, "role.rbac.authorization.k8s.io/guard-operator")), @r#"configmaps ["guard-mutes"]: get patch"#);
    insta::assert_snapshot!(shown(find(&objects, "clusterrole.rbac.authorization.k8s.io/guard-node-operator")), @r"
    nodes: patch
    events.events.k8s.io: create
    ");
}

#[test]
fn nobody_gets_secrets_the_node_proxy_exec_or_everything() {
    let objects = objects(&Choices::default());
    for (object, rule) in rules(&objects) {
        let all: Vec<&str> = ["apiGroups", "resources", "verbs"].into_iter().flat_map(|key| words(rule, key)).collect();
        let never = ["*", "secrets", "nodes/proxy", "pods/exec", "pods/attach", "escalate", "bind", "impersonate"];
        assert!(never.iter().all(|word| !all.contains(word)), "{}: {rule}", object.title());
    }
}

#[test]
fn the_image_is_that_of_this_version() {
    let objects = objects(&Choices::default());
    let image = &find(&objects, "daemonset.apps/guard-exporter").value["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(image["image"], format!("ghcr.io/kubectl-guard/guard-exporter:{VERSION}"));
}

#[test]
fn the_pod_fits_the_restricted_profile() {
    let objects = objects(&Choices { kubelet: Kubelet::Authority("pem".into()), ..Choices::default() });
    let pod = &find(&objects, "daemonset.apps/guard-exporter").value["spec"]["template"]["spec"];
    for key in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
        assert!(pod.get(key).is_none(), "{key}");
    }
    for volume in pod["volumes"].as_array().unwrap() {
        let kinds: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        assert!(["emptyDir", "projected", "configMap", "secret"].contains(&kinds[0].as_str()), "{volume}");
    }
    let tls = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "tls").unwrap();
    assert_eq!(tls["secret"]["defaultMode"], 0o440);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
    assert!(pod["containers"][0]["ports"][0].get("hostPort").is_none());
}

#[test]
fn choices_change_the_daemon_set_and_nothing_else() {
    let choices = Choices {
        image: Some("registry.test/guard-exporter:7".into()),
        pull_secret: Some("registry".into()),
        pull_policy: Some("Never"),
        interval: Some("5s".into()),
        kubelet: Kubelet::Insecure,
    };
    let (plain, chosen) = (objects(&Choices::default()), objects(&choices));
    let last = plain.len() - 1;
    assert_eq!(plain[..last], chosen[..last]);
    let lines = |objects: &[Object]| yaml(&objects[last..]);
    let (before, after) = (lines(&plain), lines(&chosen));
    let diff = similar::TextDiff::from_lines(&before, &after);
    insta::assert_snapshot!(diff.unified_diff().context_radius(0), @r"
    @@ -51 +51,6 @@
    -        image: ghcr.io/kubectl-guard/guard-exporter:0.1.0
    +        - name: GUARD_INTERVAL
    +          value: 5s
    +        - name: GUARD_KUBELET_INSECURE_TLS
    +          value: 'true'
    +        image: registry.test/guard-exporter:7
    +        imagePullPolicy: Never
    @@ -91,0 +97,2 @@
    +      imagePullSecrets:
    +      - name: registry
    ");
}

#[test]
fn an_authority_of_the_kubelets_is_mounted() {
    let choices = Choices { kubelet: Kubelet::Authority("PEM\n".into()), ..Choices::default() };
    let objects = objects(&choices);
    assert_eq!(find(&objects, "configmap/guard-kubelet-ca").value["data"]["ca.crt"], "PEM\n");
    let pod = &objects.last().unwrap().value["spec"]["template"]["spec"];
    assert!(pod["volumes"].to_string().contains("guard-kubelet-ca"));
    assert!(pod["containers"][0]["env"].to_string().contains("/etc/guard/kubelet/ca.crt"));
    assert!(pod["containers"][0]["volumeMounts"].to_string().contains("/etc/guard/kubelet"));
}

#[test]
fn the_yaml_reads_back_as_the_objects() {
    let objects = objects(&Choices::default());
    let text = yaml(&objects);
    let read: Vec<Value> =
        serde_norway::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect();
    assert_eq!(read, objects.into_iter().map(|object| object.value).collect::<Vec<_>>());
}
