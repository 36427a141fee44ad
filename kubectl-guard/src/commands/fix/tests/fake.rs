//! An API server that writes down what it is asked, and compares the versions that writes hold.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{in_place, stateful};
use crate::plan;

pub(super) const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
const NODE_VERSION: &str = "7";
pub(super) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

/// What the fake cluster is like, and what it was asked.
#[expect(clippy::struct_excessive_bools, reason = "each is one way in which a cluster can say no")]
pub(super) struct Cluster {
    pub(super) denied: bool,
    pub(super) paused: bool,
    pub(super) autoscaler: bool,
    /// Raised by whoever changes the Deployment behind our back, at the so-manyth read of it.
    pub(super) changes_at_read: Option<usize>,
    /// So many dry runs, and so many writes, find that the Deployment's status was written since it was read.
    pub(super) moves: [usize; 2],
    pub(super) refuses_dry_run: bool,
    /// The login ends right before the write.
    pub(super) expires: bool,
    /// Whoever fixes may not make Events.
    pub(super) no_events: bool,
    /// Node n1 is short of memory; true if it is cordoned already.
    pub(super) pressure: Option<bool>,
    /// A cordoned node bears guard's signature.
    pub(super) signed: bool,
    /// Pod web-a was evicted, and is still there when it is looked at so many times more.
    pub(super) ending: usize,
    /// Pod web-c is on node n1 too.
    pub(super) came: bool,
    pub(super) reads: usize,
    /// How often pods of `cart` were resized.
    pub(super) resizes: usize,
    /// How many pods `cart` has, the memory that its template gives them, and the memory that they have.
    pub(super) carts: usize,
    pub(super) memory: [String; 2],
    /// How the StatefulSet of the same pods brings a new template to them.
    pub(super) strategy: Value,
    /// How it answers a new template: it refuses it, unless it says otherwise.
    pub(super) template: u16,
    /// Guard is paused, and ten minutes are over, once so many were resized.
    pub(super) paused_after: Option<usize>,
    pub(super) late_after: Option<usize>,
    pub(super) version: u32,
    pub(super) generation: u32,
    pub(super) port: Option<u16>,
    pub(super) requests: Vec<String>,
    pub(super) agents: Vec<String>,
}

pub(super) type Shared = Arc<Mutex<Cluster>>;

pub(super) fn cluster(change: impl FnOnce(&mut Cluster)) -> Shared {
    let mut cluster = Cluster {
        denied: false,
        paused: false,
        autoscaler: false,
        changes_at_read: None,
        moves: [0, 0],
        refuses_dry_run: false,
        expires: false,
        no_events: false,
        pressure: None,
        signed: false,
        ending: 0,
        came: false,
        reads: 0,
        resizes: 0,
        carts: 1,
        memory: ["64Mi".into(), "64Mi".into()],
        strategy: json!({}),
        template: 422,
        paused_after: None,
        late_after: None,
        version: 4711,
        generation: 2,
        port: None,
        requests: Vec::new(),
        agents: Vec::new(),
    };
    change(&mut cluster);
    Arc::new(Mutex::new(cluster))
}

impl Cluster {
    fn answer(&mut self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let failure = |code: u16, message: &str| {
            let reason = if code == 404 { "NotFound" } else { "Invalid" };
            (code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message }))
        };
        if method == "PATCH" && self.is_conflict(path, query, body) {
            return failure(409, "the object has been modified");
        }
        match (method, path) {
            ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews") => {
                (201, json!({ "metadata": {}, "status": { "userInfo": { "username": "alice" } } }))
            }
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
                (201, json!({ "metadata": {}, "spec": {}, "status": { "allowed": !self.denied } }))
            }
            ("GET", "/api/v1/namespaces/guard-system/configmaps/guard-pause")
                if self.paused || self.paused_after.is_some_and(|resizes| self.resizes >= resizes) =>
            {
                (200, json!({ "metadata": { "name": "guard-pause" }, "data": { "reason": "freeze" } }))
            }
            ("GET", "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers") => {
                let hpa = json!({ "metadata": { "name": "web" }, "spec": { "maxReplicas": 5,
                    "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } });
                (200, json!({ "metadata": {}, "items": if self.autoscaler { vec![hpa] } else { vec![] } }))
            }
            ("GET", "/api/v1/nodes") if let Some(cordoned) = self.pressure => {
                (200, json!({ "metadata": {}, "items": [self.first(cordoned), node("n2", false, "False")] }))
            }
            ("GET" | "PATCH", "/api/v1/nodes/n1") if let Some(cordoned) = self.pressure => (200, self.first(cordoned)),
            ("GET", "/api/v1/pods") if query.contains("fieldSelector") => {
                let items = [on("n1", "web-a")].into_iter().chain(self.came.then(|| on("n1", "web-c")));
                (200, json!({ "metadata": {}, "items": items.collect::<Vec<_>>() }))
            }
            ("GET", "/api/v1/pods") => {
                (200, json!({ "metadata": {}, "items": [on("n1", "web-a"), on("n2", "web-b")] }))
            }
            ("GET", "/apis/policy/v1/poddisruptionbudgets" | "/apis/apps/v1/daemonsets") => {
                (200, json!({ "metadata": {}, "items": [] }))
            }
            ("GET", DEPLOYMENT) => {
                self.reads += 1;
                // A pod turns ready or unready between any two reads.
                self.version += 1;
                self.generation += u32::from(self.changes_at_read == Some(self.reads));
                (200, self.deployment())
            }
            ("GET", "/api/v1/namespaces/shop/pods") => {
                self.version += 1;
                let others = [pod("web-a"), pod("web-b"), stateful::pod(0), stateful::pod(1)];
                let items: Vec<Value> = others.into_iter().chain(in_place::pods(self.carts, &self.memory[1])).collect();
                (200, json!({ "metadata": {}, "items": items }))
            }
            ("GET", "/api/v1/namespaces/shop/pods/web-a") if self.ending > 0 => {
                self.ending -= 1;
                let mut pod = on("n1", "web-a");
                pod["metadata"]["deletionTimestamp"] = json!("2026-11-22T13:20:05Z");
                (200, pod)
            }
            ("GET", stateful::SET) => (200, stateful::set()),
            ("GET", stateful::POD) => (200, stateful::pod(1)),
            ("GET", "/api/v1") => {
                let resize = json!({ "name": "pods/resize", "singularName": "", "namespaced": true, "kind": "Pod",
                    "verbs": ["patch"] });
                (200, json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [resize] }))
            }
            ("GET", in_place::CART) => (200, in_place::deployment(self.resizes, &self.memory[0])),
            ("GET", in_place::SET) => (200, in_place::set(self.resizes, &self.memory[0], &self.strategy)),
            ("GET", pod) if pod.starts_with(in_place::POD) => {
                (200, in_place::pod(&pod[in_place::POD.len()..], &self.memory[1]))
            }
            ("PATCH", pod) if pod.starts_with(in_place::POD) && pod.ends_with("/resize") => {
                if !query.contains("dryRun=All") {
                    self.resizes += 1;
                    self.memory[1] = in_place::memory(&body["spec"]);
                }
                LATE.set(self.late_after.is_some_and(|resizes| self.resizes >= resizes));
                (200, json!({}))
            }
            ("PATCH", in_place::CART | in_place::SET) if query.contains("dryRun=All") => (200, json!({})),
            ("PATCH", in_place::CART | in_place::SET) if self.template != 200 => {
                failure(self.template, "denied by a webhook")
            }
            ("PATCH", in_place::CART | in_place::SET) => {
                self.memory[0] = in_place::memory(&body["spec"]["template"]["spec"]);
                (200, in_place::deployment(self.resizes, &self.memory[0]))
            }
            ("PATCH", DEPLOYMENT) if self.refuses_dry_run => failure(422, "denied by a webhook"),
            ("PATCH", DEPLOYMENT) if query.contains("dryRun=All") => (200, self.deployment()),
            ("PATCH", DEPLOYMENT) if self.expires => failure(401, "Unauthorized"),
            ("PATCH", DEPLOYMENT) => {
                self.version += 1;
                self.generation += 1;
                (200, self.deployment())
            }
            ("POST", EVENTS) if self.no_events => failure(403, "forbidden"),
            ("POST", EVENTS | stateful::EVICTION) => (201, json!({})),
            _ => failure(404, "not found"),
        }
    }

    /// The patch holds another version than its object has.
    fn is_conflict(&mut self, path: &str, query: &str, body: &Value) -> bool {
        let now = match path {
            DEPLOYMENT => {
                let moves = &mut self.moves[usize::from(!query.contains("dryRun=All"))];
                self.version += u32::from(*moves > 0);
                *moves = moves.saturating_sub(1);
                self.version.to_string()
            }
            in_place::CART | in_place::SET => in_place::version(self.resizes),
            "/api/v1/nodes/n1" => NODE_VERSION.to_owned(),
            _ => return false,
        };
        body["metadata"]["resourceVersion"].as_str().is_some_and(|held| held != now)
    }

    /// Node n1.
    fn first(&self, cordoned: bool) -> Value {
        let mut node = node("n1", cordoned, "True");
        if self.signed {
            node["metadata"]["annotations"] = json!({ plan::CORDONED: "{}" });
            node["metadata"]["managedFields"] = json!([{ "manager": plan::FIELD_MANAGER, "operation": "Update",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:unschedulable": {} } } }]);
        }
        node
    }

    fn deployment(&self) -> Value {
        json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "uid-web", "generation": self.generation,
                "resourceVersion": self.version.to_string() },
            "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "template": {} },
            "status": { "observedGeneration": self.generation, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 },
        })
    }
}

fn node(name: &str, cordoned: bool, pressure: &str) -> Value {
    json!({
        "metadata": { "name": name, "uid": format!("uid-{name}"), "resourceVersion": NODE_VERSION },
        "spec": { "unschedulable": cordoned },
        "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" }, "conditions": [
            { "type": "Ready", "status": "True" },
            { "type": "MemoryPressure", "status": pressure, "reason": "KubeletHasInsufficientMemory" }] },
    })
}

/// A pod on a node.
fn on(node: &str, name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"] = json!({ "nodeName": node, "containers": [{ "name": "web" }] });
    pod["status"]["phase"] = json!("Running");
    pod
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "labels": { "app": "web", "pod-template-hash": "5d4" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4", "uid": "uid-rs",
                "controller": true }] },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

/// Serves the cluster on a local port until the test's runtime ends; on the same port when it is run against again.
pub(super) async fn serve(cluster: &Shared) -> u16 {
    let known = cluster.lock().unwrap().port;
    if let Some(port) = known {
        return port;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    cluster.lock().unwrap().port = Some(port);
    let cluster = Arc::clone(cluster);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let cluster = Arc::clone(&cluster);
            let service = hyper::service::service_fn(move |request| respond(Arc::clone(&cluster), request));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

async fn respond(cluster: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let mut cluster = cluster.lock().unwrap();
    if !is_review(path) && head.method != "GET" {
        cluster.requests.push(format!("{} {path}?{query} {}", head.method, String::from_utf8_lossy(&body)));
        cluster.agents.push(head.headers["user-agent"].to_str().unwrap().to_owned());
    }
    let told = serde_json::from_slice(&body).unwrap_or_default();
    let (code, answer) = cluster.answer(head.method.as_str(), path, query, &told);
    let response = Response::builder().status(code).header("content-type", "application/json");
    Ok(response.body(Full::from(answer.to_string())).unwrap())
}

/// The reviews ask, and store nothing.
fn is_review(path: &str) -> bool {
    path.ends_with("selfsubjectreviews") || path.ends_with("selfsubjectaccessreviews")
}

std::thread_local! {
    /// More than ten minutes are over, for a session of this thread.
    pub(super) static LATE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

pub(super) fn clock() -> Timestamp {
    let late = if LATE.get() { jiff::SignedDuration::from_mins(11) } else { jiff::SignedDuration::ZERO };
    Timestamp::now() + late
}
