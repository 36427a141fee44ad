//! The dashboard of a real cluster: what a viewer sees, and what an operator approves there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::marks::stores_nothing;
use guard_tests::person::Person;
use guard_tests::{load, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Killed when the test is over, whatever comes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Head and body of the answer to these bytes.
fn exchange(address: &str, request: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    Ok((head.to_owned(), body.to_owned()))
}

fn get(address: &str, path: &str, more: &str) -> Result<(String, String)> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n"))
}

/// Somebody whom the printed URL has let in.
pub(crate) struct Visit {
    address: String,
    cookie: String,
    key: String,
}

impl Visit {
    /// Opens the URL, which works once.
    pub(crate) fn enter(url: &str) -> Result<Self> {
        let address = url.trim().strip_prefix("http://").and_then(|rest| rest.split_once('/'));
        let (address, entrance) = address.with_context(|| url.to_owned())?;
        let (head, page) = get(address, &format!("/{entrance}"), "")?;
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        let key = page.split_once("name=\"guard-key\" content=\"").and_then(|(_, rest)| rest.split('"').next());
        let (cookie, key) = (cookie.context("no cookie")?.to_owned(), key.context("no key")?.to_owned());
        Ok(Self { address: address.to_owned(), cookie, key })
    }

    /// The document at this path.
    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        let Self { address, cookie, key } = self;
        let (head, body) = get(address, path, &format!("Cookie: {cookie}\r\nX-Guard: {key}\r\n"))?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// What a browser sends for the dashboard's page, one header a line.
    fn headers(&self) -> Vec<String> {
        let Self { address, cookie, key } = self;
        vec![
            format!("Host: {address}"),
            format!("Cookie: {cookie}"),
            format!("Origin: http://{address}"),
            "Sec-Fetch-Site: same-origin".into(),
            format!("X-Guard: {key}"),
            "Content-Type: application/json".into(),
        ]
    }

    /// Posts a decision, with these headers; the status and what is said.
    fn post(&self, path: &str, headers: &[String], word: &Value) -> Result<(u16, String)> {
        let (body, head) = (word.to_string(), headers.join("\r\n"));
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
        let (head, said) = exchange(&self.address, &request)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((status.with_context(|| head.clone())?, said))
    }

    /// What is carried out, or was.
    fn job(&self) -> Result<Value> {
        Ok(self.json("/api/proposals")?["job"].take())
    }
}

/// A dashboard of this person, and somebody in it.
fn dashboard(person: &Person, words: &[&str]) -> Result<(Running, Visit)> {
    std::fs::create_dir_all(person.home())?;
    let mut command = person.command("kubectl");
    command.args(["guard", "ui", "--port=0"]).args(words).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn()?);
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().context("no stdout")?).read_line(&mut url)?;
    let visit = Visit::enter(&url)?;
    Ok((running, visit))
}

pub(crate) fn the_dashboard_shows_the_cluster(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let (_running, visit) = dashboard(&cluster.person("viewer"), &["-A"])?;
    let fleet = visit.json("/api/fleet")?;
    let rows = fleet["items"].as_array().context("no items")?;
    let feed = rows.iter().filter_map(|row| row["name"].as_str()).find(|name| name.starts_with("feed-"));
    let pod = visit.json(&format!("/api/pod/{}/{}", load::NAMESPACE, feed.context("no pod of feed")?))?;
    let features = pod["report"]["features"].as_array().context("no features")?.iter();
    let names: Vec<&str> = features.filter_map(|feature| feature["name"].as_str()).collect();
    let (learnt, disk) = names.split_at(4.min(names.len()));
    assert_eq!(learnt, ["cpu", "memory", "receive", "transmit"]);
    // Not every node counts it.
    assert!(disk.is_empty() || disk == ["disk"], "{disk:?}");
    let (refused, nothing) = get(&visit.address, "/api/fleet", "")?;
    assert!(refused.starts_with("HTTP/1.1 401") && !nothing.contains("feed-"), "{refused}");
    Ok(())
}

const SHOP: &str = "till";
const TARGET: &str = "deployment/till";
const PLAN: &str = "/api/plan/till/deployment/till";

/// A namespace of this name, with a Deployment of this name whose one container is killed for its memory as soon as it is
/// told to leak.
pub(crate) fn open_shop(cluster: &Cluster, name: &str) -> Result<()> {
    let labels = json!({"app": name});
    let container = json!({"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
        "resources": {"limits": {"memory": "32Mi"}}});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}});
    let admin = cluster.admin();
    admin.kubectl(&["create", "namespace", name])?;
    admin.apply(&deployment.to_string())
}

/// How often the Deployment of this shop was changed.
pub(crate) fn generation(cluster: &Cluster, shop: &str) -> Result<String> {
    let target = format!("deployment/{shop}");
    cluster.admin().kubectl(&["get", &target, "-n", shop, "-o", "jsonpath={.metadata.generation}"])
}

/// Has the container of this shop take memory until it is killed.
pub(crate) fn leak(cluster: &Cluster, shop: &str) -> Result<()> {
    let (admin, target, label) = (cluster.admin(), format!("deployment/{shop}"), format!("app={shop}"));
    admin.wait_for_rollout(shop, &target)?;
    let pod = admin.kubectl(&["get", "pods", "-n", shop, "-l", &label, "-o", "jsonpath={.items[0].metadata.name}"])?;
    // It ends with the container.
    admin.try_kubectl(&["-n", shop, "exec", &pod, "--", "/work", "fault", "leak", "60"]).map(drop)
}

/// What the audit log says that this person has stored since then.
fn stored(cluster: &Cluster, mark: u64, person: &str) -> Result<Vec<Value>> {
    let events = cluster.audit_since(mark, person)?;
    ensure!(events.iter().any(|event| event["verb"] == "get"), "the audit log does not show {person} at all");
    Ok(events.into_iter().filter(|event| !stores_nothing(event)).collect())
}

pub(crate) fn a_plan_is_approved_in_the_dashboard(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    open_shop(cluster, SHOP)?;
    leak(cluster, SHOP)?;

    let operator = cluster.person("operator");
    let (mut running, visit) = dashboard(&operator, &["-n", SHOP])?;
    wait::until("the proposal for till", Duration::from_mins(2), || {
        let proposals = visit.json("/api/proposals")?;
        let items = proposals["items"].as_array().context("no items")?;
        ensure!(items.iter().any(|item| item["target"] == TARGET), "{proposals}");
        Ok(Some(()))
    })?;
    let plan = || visit.json(PLAN).map(|mut document| document["plan"].take());
    let (mark, before) = (cluster.audit_mark(), generation(cluster, SHOP)?);
    let shown = plan()?;
    ensure!(shown["action"] == "restart deployment/till" && shown["blocked"].is_null(), "{shown}");

    // Whoever is not this page, and whoever types another name, changes nothing.
    let word = json!({"digest": shown["digest"], "name": "till"});
    for (name, foreign, code) in [
        ("Host", "Host: evil.example:80", 421),
        ("Cookie", "Cookie: nobody=1", 401),
        ("Origin", "Origin: http://evil.example", 403),
        ("Sec-Fetch-Site", "Sec-Fetch-Site: cross-site", 403),
        ("X-Guard", "Accept: */*", 403),
        ("Content-Type", "Content-Type: text/plain", 415),
    ] {
        let swap = |own: String| if own.starts_with(name) { foreign.to_owned() } else { own };
        let headers: Vec<String> = visit.headers().into_iter().map(swap).collect();
        let (status, said) = visit.post("/api/approve", &headers, &word)?;
        ensure!(status == code, "{foreign}: {status} {said}");
    }
    let (status, _) =
        visit.post("/api/approve", &visit.headers(), &json!({"digest": shown["digest"], "name": "tills"}))?;
    ensure!(status == 422, "another name: {status}");
    ensure!(visit.job()?.is_null() && stored(cluster, mark, "operator")?.is_empty());

    // The status of a Deployment may change right now, which makes a plan stale: then it is read again.
    let done = wait::until("a plan to be carried out", Duration::from_mins(2), || {
        let word = json!({"digest": plan()?["digest"], "name": "till"});
        let (status, said) = visit.post("/api/approve", &visit.headers(), &word)?;
        ensure!(status == 202, "{status} {said}");
        let (again, busy) = visit.post("/api/approve", &visit.headers(), &word)?;
        ensure!(again == 409 || visit.job()?["ended"].is_object(), "a second one: {again} {busy}");
        wait::until("it to be written, or refused", Duration::from_mins(1), || {
            let job = visit.job()?;
            let written = job["lines"].as_array().and_then(|lines| {
                lines.iter().find(|line| line.as_str().is_some_and(|line| line.contains(": done (plan ")))
            });
            Ok(match (written, job["ended"]["outcome"].as_str()) {
                (Some(line), _) => Some(Some(line.clone())),
                (None, Some("stale")) => Some(None),
                (None, Some(_)) => anyhow::bail!("{job}"),
                (None, None) => None,
            })
        })
    })?;
    ensure!(generation(cluster, SHOP)? != before, "{TARGET} was not restarted");
    let mut written = stored(cluster, mark, "operator")?;
    // The Event that tells of it is no change.
    written.retain(|event| event["objectRef"]["resource"] != "events");
    ensure!(written.len() == 1 && written[0]["objectRef"]["name"] == "till", "{written:?}");
    let history: Value = serde_json::from_str(&operator.guard(&["history", "-o", "json"])?.out)?;
    let entry = history.as_array().into_iter().flatten().find(|entry| entry["target"] == TARGET).cloned();
    let entry = entry.with_context(|| history.to_string())?;
    ensure!(entry["approval"] == json!({"by": "typed", "name": "till", "on": "dashboard"}), "{entry}");
    ensure!(done.as_str().is_some_and(|line| line.contains(entry["id"].as_str().unwrap_or("?"))), "{done} {entry}");
    let agent = written[0]["userAgent"].as_str().unwrap_or("");
    ensure!(entry["id"].as_str().is_some_and(|id| agent.contains(&format!("plan/{id}"))), "{agent} {entry}");
    let past = visit.json("/api/history")?;
    ensure!(past["items"][0]["id"] == entry["id"] && past["items"][0]["approved"] == "in the dashboard", "{past}");

    // Its scores are still waited for: ^C does not wait for that long.
    kill(Pid::from_raw(i32::try_from(running.0.id())?), Signal::SIGINT)?;
    wait::until("the end of the dashboard", Duration::from_secs(10), || Ok(running.0.try_wait()?))?;
    Ok(())
}

/// Runs after the other: a viewer finds the same target, reads the plan, and is refused with the rule that is missing.
pub(crate) fn a_viewer_approves_nothing_in_the_dashboard(cluster: &mut Cluster) -> Result<()> {
    leak(cluster, SHOP)?;
    let (_running, visit) = dashboard(&cluster.person("viewer"), &["-n", SHOP])?;
    let (mark, before) = (cluster.audit_mark(), generation(cluster, SHOP)?);
    let shown = wait::until("a plan for till", Duration::from_mins(2), || {
        let mut document = visit.json(PLAN)?;
        ensure!(document["plan"].is_object(), "{document}");
        Ok(Some(document["plan"].take()))
    })?;
    ensure!(shown["blocked"] == "you may not patch deployments.apps in namespace till", "{shown}");
    let word = json!({"digest": shown["digest"], "name": "till"});
    let (status, said) = visit.post("/api/approve", &visit.headers(), &word)?;
    ensure!(status == 202, "{status} {said}");
    let job = wait::until("the refusal", Duration::from_mins(1), || {
        let job = visit.job()?;
        Ok(job["ended"].is_object().then_some(job))
    })?;
    ensure!(job["ended"]["outcome"] == "not-permitted", "{job}");
    let words = job["ended"]["words"].as_str().unwrap_or("");
    ensure!(words.contains("you may not patch deployments.apps in namespace till; ask for this rule: "), "{words}");
    ensure!(
        stored(cluster, mark, "viewer")?.is_empty() && generation(cluster, SHOP)? == before,
        "a viewer has written"
    );
    cluster.admin().kubectl(&["delete", "namespace", SHOP, "--wait=false"]).map(drop)
}
