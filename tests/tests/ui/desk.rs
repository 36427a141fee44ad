//! The dashboard's own server and page, in front of a desk that carries out what it is told to and writes nowhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use kubectl_guard::approve::NotApproved;
use kubectl_guard::desk::{Asked, Desk, Look, Proposer, Queue, Shown, Waiting};
use kubectl_guard::error::Error;
use kubectl_guard::exit::Exit;
use kubectl_guard::plan::{Plan, TargetName, Verdict};
use kubectl_guard::ui::approvals::Approvals;
use kubectl_guard::ui::gate::Gate;
use kubectl_guard::ui::look::Look as Fleet;
use kubectl_guard::ui::server::{self, Pages, Shown as Page};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// What the desk is like, and what it has done.
#[derive(Default)]
pub(crate) struct Told {
    /// The user may not.
    pub(crate) denied: bool,
    /// The target has changed since it was shown.
    pub(crate) stale: bool,
    /// What was asked for in the last look.
    pub(crate) asked: Option<Asked>,
    /// The names that were typed.
    pub(crate) done: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) told: Mutex<Told>,
    pub(crate) end: Notify,
}

#[derive(Clone)]
struct Front(Arc<Fake>);

impl Desk for Front {
    async fn look(&self, _: &str, _: &TargetName, asked: Option<&Asked>) -> Result<Look, Error> {
        let denied = {
            let mut told = self.0.told.lock().expect("the desk");
            told.asked = asked.cloned();
            told.denied
        };
        let verdict = if denied { Verdict::Denied(String::new()) } else { Verdict::Allowed };
        Ok(Look::Plan(Box::new(Shown::new(plan(), vec![verdict], asked.cloned()))))
    }

    async fn carry_out(&self, _: &Shown, typed: &str, said: &(dyn Fn(&str) + Sync)) -> Result<Exit, Error> {
        if self.0.told.lock().expect("the desk").stale {
            return Err(NotApproved::Stale("deployment/catalog has changed since".into()).into());
        }
        said("restart deployment/catalog: done (plan 5f0c1a2b3c4d)");
        said("rolling out, 1 of 2 pods ready, waiting for the new pods");
        self.0.end.notified().await;
        said("restart deployment/catalog: recovered");
        self.0.told.lock().expect("the desk").done.push(typed.to_owned());
        Ok(Exit::Done)
    }
}

/// A dashboard that serves until it is dropped.
pub(crate) struct Served {
    pub(crate) desk: Arc<Fake>,
    pub(crate) queue: Queue,
    pub(crate) url: String,
    page: Page,
    _runtime: Runtime,
}

impl Served {
    /// Shows this fleet, with a proposal to restart `deployment/catalog`.
    pub(crate) fn start(fleet: Fleet, read_only: Option<&'static str>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (desk, queue) = (Arc::new(Fake::default()), Queue::default());
        queue.set(vec![proposal()]);
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let port = listener.local_addr()?.port();
        let approvals = Arc::new(Approvals::new(Front(Arc::clone(&desk)), queue.clone(), read_only));
        let page = Arc::new(RwLock::new(Arc::new(fleet)));
        let shown = Arc::clone(&page);
        let gate = Gate::new(port, "token".into(), "session".into(), "key".into());
        runtime.spawn(async move { server::serve(&listener, gate, Pages { shown, approvals }).await });
        Ok(Self { desk, queue, url: format!("http://127.0.0.1:{port}/?token=token"), page, _runtime: runtime })
    }

    /// Shows this fleet from now on.
    pub(crate) fn show(&self, fleet: Fleet) {
        *self.page.write().expect("the page") = Arc::new(fleet);
    }
}

/// The proposal that waits, as guard makes it.
pub(crate) fn proposal() -> Waiting {
    Waiting {
        namespace: "shop".into(),
        target: "deployment/catalog".into(),
        action: "restart deployment/catalog".into(),
        score: Some(0.93),
        reason: Some("memory 412 MiB, expected 180 to 240 MiB".into()),
        at: Timestamp::now() - SignedDuration::from_mins(4),
        command: "kubectl guard fix deployment/catalog -n shop".into(),
        by: Proposer::Guard,
        asked: None,
    }
}

/// A plan as `fix` makes one.
fn plan() -> Plan {
    let now = Timestamp::now();
    let before = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-20T08:00:00Z"}}}}});
    let mut after = before.clone();
    after["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!(now);
    let held = |name: &str, detail: &str| json!({"name": name, "state": "held", "detail": detail});
    let plan = json!({
        "version": 1, "id": "5f0c1a2b3c4d", "created": now, "expires": now + SignedDuration::from_mins(10),
        "context": "prod", "cluster": "eu-1", "server": "https://10.0.0.1:6443", "identity": "alice",
        "evidence": {
            "source": "exporter", "at": now, "interval_seconds": 15.0, "threshold": 0.7, "model_sha256": "", "score": 0.93,
            "over": 1, "pods": [],
            "reasons": [{"cause": "memory", "score": 0.93, "text": "memory 412 MiB, expected 180 to 240 MiB"}],
        },
        "steps": [{
            "action": {"type": "rollout_restart"},
            "target": {"kind": "Deployment", "namespace": "shop", "name": "catalog", "uid": "1b9d", "resource_version": "4711"},
            "patch": {}, "before": before, "after": after,
            "preconditions": ["it is the same object (uid)", "nothing of it has changed (resourceVersion)"],
            "need": {"verb": "patch", "group": "apps", "resource": "deployments", "subresource": "", "namespace": "shop", "name": "catalog"},
            "undo": {"type": "irreversible", "why": "pods that have ended cannot be brought back"},
        }],
        "guard_rails": [
            held("protected namespace", "shop is none"),
            held("pause", "guard is not paused in this cluster"),
            held("cool-down", "nothing else was done to it in the last 10 minutes"),
            held("last ready replica", "2 of 2 pods are ready, and a new one comes before an old one goes"),
        ],
        "advice": ["memory grows without end: a restart frees it for a while, and the leak stays"],
    });
    serde_json::from_value(plan).expect("a plan")
}
