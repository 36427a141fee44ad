//! `explain TYPE/NAME`: one target in depth.

use clap::Args;
use guard_model::report::PodReport;
use guard_model::sample::PodFacts;
use guard_model::{pod, workload::Workload};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{KubeFlags, Selection, SourceFlags};
use crate::llm::LlmArgs;
use crate::render::explain::{Detail, Rollout};
use crate::render::{self, More, Style};
use crate::request::Request;
use crate::rows::{self, Row};
use crate::scores::{Scores, Source};
use crate::{events, logs, nodes, pods, sanitise};

pub(crate) mod opinion;

/// Arguments of `explain`.
#[derive(Args)]
pub struct ExplainArgs {
    /// What to explain, such as pod/cart-0, deployment/cart or node/node1
    #[arg(required = true, num_args = 1..=2, value_name = "TYPE/NAME")]
    target: Vec<String>,
    #[command(flatten)]
    source: SourceFlags,
    /// Also show the last lines that a container logged before it last ended; they can contain anything, secrets too
    #[arg(long)]
    logs: bool,
    #[command(flatten)]
    llm: LlmArgs,
}

/// What is to be explained.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Pod(String),
    Workload(Workload),
    Node(String),
}

/// Kubernetes' kinds by all the names that kubectl knows them by. Any other one may be that of an operator's.
const KINDS: [(&[&str], &str); 7] = [
    (&["deployment", "deployments", "deploy"], "Deployment"),
    (&["statefulset", "statefulsets", "sts"], "StatefulSet"),
    (&["daemonset", "daemonsets", "ds"], "DaemonSet"),
    (&["replicaset", "replicasets", "rs"], "ReplicaSet"),
    (&["job", "jobs"], "Job"),
    (&["cronjob", "cronjobs", "cj"], "CronJob"),
    (&["replicationcontroller", "replicationcontrollers", "rc"], "ReplicationController"),
];

/// Reads `TYPE/NAME`, or `TYPE NAME` as kubectl also takes it.
fn target(words: &[String]) -> Result<Target, Error> {
    let (kind, name) = match words {
        [one] => one.split_once('/').unwrap_or(("pod", one)),
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => ("", ""),
    };
    let kind = kind.to_lowercase();
    let kind = kind.split('.').next().unwrap_or_default();
    let wrong =
        |message: String| Error::Usage { message, hint: "name it as pod/NAME, deployment/NAME or node/NAME".into() };
    if name.is_empty() || name.contains('/') {
        return Err(wrong(format!("{:?} is no TYPE/NAME", sanitise::line(&words.join(" ")))));
    }
    let name = name.to_owned();
    match kind {
        "pod" | "pods" | "po" => Ok(Target::Pod(name)),
        "node" | "nodes" | "no" => Ok(Target::Node(name)),
        "" => Err(wrong(format!("{:?} is no TYPE/NAME", sanitise::line(&words.join(" "))))),
        _ => {
            let known = KINDS.iter().find(|(names, _)| names.contains(&kind)).map(|(_, kind)| *kind);
            Ok(Target::Workload(Workload::new(known.unwrap_or(kind), name)))
        }
    }
}

/// Explains the target.
///
/// # Errors
/// If there is no such target, the user may not see it, or no exporter answers.
pub async fn run(args: &ExplainArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let target = target(&args.target)?;
    if (args.logs || args.llm.asks() || args.llm.shows()) && matches!(target, Target::Node(_)) {
        let message = "--logs and --llm are for pods and workloads".to_owned();
        return Err(Error::Usage { message, hint: "name the pod that you mean".into() });
    }
    let environment = Environment::of_process();
    let connection = Connection::open(kube, &environment)?;
    let source = args.source.open(&connection, &environment)?;
    let everywhere = matches!(target, Target::Node(_));
    let selection = Selection {
        all_namespaces: everywhere,
        field_selector: match &target {
            // Its neighbours tell whether it is the pod or what they share.
            Target::Pod(_) if args.llm.asks() || args.llm.shows() => None,
            Target::Pod(name) => Some(format!("metadata.name={name}")),
            Target::Node(name) => Some(format!("spec.nodeName={name}")),
            Target::Workload(_) => None,
        },
        ..Selection::default()
    };
    let (found, told) = tokio::try_join!(
        pods::list(&connection, &selection),
        source.read(&connection, pods::scope(&connection, &selection), console)
    )?;
    let now = Timestamp::now();
    let scores = told.of(&found.facts, now)?;
    scores.warnings(now).iter().for_each(|warning| console.warn(warning));
    let rows = rows::join(&scores, &found.facts, now);
    let style = Style::of(console, now);
    let seen = Seen {
        connection: &connection,
        source: &source,
        scores: &scores,
        rows: &rows,
        style,
        logs: args.logs,
        console,
    };
    let page = match target {
        Target::Pod(name) => seen.pod(&name).await?,
        Target::Workload(workload) => seen.workload(&workload).await?,
        Target::Node(name) => seen.node(&name).await?,
    };
    if args.llm.shows() {
        return opinion::show_prompt(&args.llm, &page, &rows, console);
    }
    console.print(&page.text)?;
    if args.llm.asks() {
        opinion::add(&args.llm, &page, &rows, console).await?;
    }
    Ok(Exit::Done)
}

/// What is shown, and the pod that it is about in the end.
struct Page {
    text: String,
    subject: Option<(Row, Detail)>,
}

/// What was read of the cluster.
struct Seen<'a> {
    connection: &'a Connection,
    source: &'a Source,
    scores: &'a Scores,
    rows: &'a [Row],
    style: Style,
    logs: bool,
    console: &'a Console,
}

impl Seen<'_> {
    fn missing(&self, what: &str) -> Error {
        Error::NotFound { what: format!("{} in namespace {}", sanitise::line(what), self.connection.namespace) }
    }

    async fn pod(&self, name: &str) -> Result<Page, Error> {
        let row = self.rows.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| self.missing(&format!("pod/{name} (not yet succeeded)")))?;
        let detail = self.detail(row).await?;
        let text = render::explain::pod(row, &detail, self.style);
        Ok(Page { text, subject: Some((row.clone(), detail)) })
    }

    async fn workload(&self, workload: &Workload) -> Result<Page, Error> {
        let rows = of_workload(self.rows, workload);
        let worst = rows.first().ok_or_else(|| self.missing(&format!("{workload} with pods")))?;
        let groups = render::groups(&rows::workloads(&rows), "WORKLOAD", false, self.style);
        let table = render::pods(&rows, More::default(), self.style);
        let worst = self.pod(&worst.name).await?;
        Ok(Page { text: format!("{groups}\n{table}\n{}", worst.text), ..worst })
    }

    async fn node(&self, name: &str) -> Result<Page, Error> {
        let facts = match nodes::list(self.connection).await {
            // Without the right to see nodes, their pods still tell.
            Err(Error::Forbidden { .. }) => Vec::new(),
            answer => answer?,
        };
        let facts: Vec<_> = facts.into_iter().filter(|node| node.name == name).collect();
        let groups = rows::nodes(self.rows, &facts);
        if groups.is_empty() {
            return Err(Error::NotFound { what: format!("node/{}", sanitise::line(name)) });
        }
        let groups = render::groups(&groups, "NODE", false, self.style);
        let pods = render::pods(self.rows, More { wide: true, namespaces: true, labels: false }, self.style);
        Ok(Page { text: format!("{groups}\n{pods}"), subject: None })
    }

    async fn detail(&self, row: &Row) -> Result<Detail, Error> {
        let namespace = row.namespace.as_str();
        let detail = look(self.connection, row, self.scores).await?;
        let mut detail = detail.ok_or_else(|| self.missing(&format!("pod/{}", row.name)))?;
        if let Some(report) = &mut detail.report {
            match self.source.history(&detail.facts, self.style.now).await {
                Ok(history) => report.history = history.unwrap_or_else(|| std::mem::take(&mut report.history)),
                Err(error) => self.console.warn(&format!("history not shown: {error}")),
            }
        }
        let ended = detail.facts.terminated.as_ref().map(|end| end.container.as_str());
        let logs =
            if self.logs { Some(logs::previous(self.connection, namespace, &row.name, ended).await) } else { None };
        Ok(Detail { logs, ..detail })
    }
}

/// The rows of the workload; an operator's kind is written as nobody types it.
fn of_workload(rows: &[Row], workload: &Workload) -> Vec<Row> {
    let is_it = |owner: &Workload| owner.name == workload.name && owner.kind.eq_ignore_ascii_case(&workload.kind);
    rows.iter().filter(|row| is_it(&row.owner())).cloned().collect()
}

/// What the cluster tells of a pod beside its row: its events, and the revision that made it. `None` if it has gone.
///
/// # Errors
/// If the pod cannot be read.
pub async fn look(connection: &Connection, row: &Row, scores: &Scores) -> Result<Option<Detail>, Error> {
    let namespace = row.namespace.as_str();
    let request = Request { verb: "get", resource: "pods", group: "", namespace: Some(namespace) };
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let object = api.get_opt(&row.name).await.map_err(|error| request.failed(&error))?;
    let Some(object) = object else { return Ok(None) };
    let uid = uid_of_events(&object).unwrap_or(&row.uid);
    let (events, events_note) = match events::of_pod(connection, namespace, uid).await {
        Ok(events) => (events, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let rollout = match replica_set(&object) {
        Some(name) => Some(revision(connection, namespace, name).await),
        None => None,
    };
    Ok(Some(Detail { events, events_note, rollout, ..detail(&object, scores, &row.uid) }))
}

/// The UID that events name the pod by. The kubelet's name a static pod by its own, which its mirror in the API bears as an
/// annotation; a row of a table has no UID of the cluster's.
fn uid_of_events(pod: &Pod) -> Option<&str> {
    let meta = &pod.metadata;
    let of_static = meta.annotations.as_ref().and_then(|all| all.get(pod::MIRROR));
    of_static.or(meta.uid.as_ref()).map(String::as_str)
}

/// The revision that the pod was made from.
async fn revision(connection: &Connection, namespace: &str, name: &str) -> Result<Rollout, String> {
    let request = Request { verb: "get", resource: "replicasets", group: "apps", namespace: Some(namespace) };
    let api: Api<ReplicaSet> = Api::namespaced(connection.client.clone(), namespace);
    let object = api.get_opt(name).await.map_err(|error| request.failed(&error).to_string())?;
    Ok(rollout(&object.ok_or("its ReplicaSet is gone")?))
}

/// The ReplicaSet that made the pod.
fn replica_set(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut owner = owners.filter(|owner| owner.controller == Some(true) && owner.kind == "ReplicaSet");
    owner.next().map(|owner| owner.name.as_str())
}

fn rollout(object: &ReplicaSet) -> Rollout {
    let meta = &object.metadata;
    let revision = meta.annotations.as_ref().and_then(|all| all.get("deployment.kubernetes.io/revision"));
    Rollout {
        name: sanitise::line(meta.name.as_deref().unwrap_or_default()),
        revision: revision.map(|revision| sanitise::line(revision)),
        made: meta.creation_timestamp.as_ref().map(|at| at.0),
    }
}

/// What the pod object and its report tell; no events.
pub fn detail(object: &Pod, scores: &Scores, uid: &str) -> Detail {
    let reports = scores.reports.iter().flat_map(|report| &report.pods);
    let report: Option<PodReport> = reports.clone().find(|pod| pod.uid == uid).cloned();
    let facts: PodFacts = pods::sanitised(pod::facts(object));
    let containers = object.spec.iter().flat_map(|spec| &spec.containers);
    let image = |name: &str, image: Option<&String>| sanitise::line(&format!("{name}: {}", image.map_or("?", |i| i)));
    let images = containers.map(|container| image(&container.name, container.image.as_ref())).collect();
    Detail { report, facts, images, ..Detail::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Target, Error> {
        target(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn events_name_a_static_pod_by_the_uid_that_its_kubelet_gave_it() {
        let pod = |annotations: serde_json::Value| -> Pod {
            let meta = serde_json::json!({"name": "etcd-node1", "uid": "of-mirror", "annotations": annotations});
            serde_json::from_value(serde_json::json!({"metadata": meta})).unwrap()
        };
        let mirror = pod(serde_json::json!({"kubernetes.io/config.mirror": "of-kubelet"}));
        assert_eq!(uid_of_events(&mirror), Some("of-kubelet"));
        assert_eq!(uid_of_events(&pod(serde_json::json!({}))), Some("of-mirror"));
    }

    #[test]
    fn targets_are_named_as_in_kubectl() {
        let cart = || Target::Workload(Workload::new("Deployment", "cart"));
        for text in ["deployment/cart", "deploy cart", "Deployment/cart", "deployments.apps/cart"] {
            assert_eq!(read(text).unwrap(), cart(), "{text}");
        }
        assert_eq!(read("cart-0").unwrap(), Target::Pod("cart-0".into()));
        assert_eq!(read("no/node1").unwrap(), Target::Node("node1".into()));
    }

    #[test]
    fn what_has_no_score_is_refused_with_words() {
        for text in ["pod/", "/", "/cart", ".apps/cart", "pod/a/b", ""] {
            assert!(matches!(read(text), Err(Error::Usage { .. })), "{text}");
        }
    }

    #[test]
    fn what_status_lists_can_be_explained_whatever_its_kind() {
        let mut rows = crate::rows::tests::shop();
        rows[0].workload = Some(Workload::new("StrimziPodSet", "kafka"));
        rows[1].workload = Some(Workload::new("StaticPod", "etcd"));
        let found = |text: &str| match read(text).unwrap() {
            Target::Workload(workload) => of_workload(&rows, &workload).into_iter().map(|row| row.name).collect(),
            other => vec![format!("{other:?}")],
        };
        assert_eq!(found("strimzipodset/kafka"), [rows[0].name.clone()]);
        assert_eq!(found("StaticPod/etcd"), [rows[1].name.clone()]);
        assert!(found("service/kafka").is_empty() && found("strimzipodset/other").is_empty());
    }
}
