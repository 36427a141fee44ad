//! Stand-ins for a kubelet and an API server: the two that an exporter or a `run` hears of the world from, honest or failing
//! in any way that a test asks for. They speak real TLS and HTTP on loopback; only the pods are made up.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::http;

/// The node of all pods.
pub const NODE: &str = "node1";
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a watch looks for news.
const LOOK: Duration = Duration::from_millis(20);
/// More than any kubelet has to say.
const HUGE: usize = 50 << 20;

/// How a stand-in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It hangs up on whoever calls.
    Away,
    /// It takes the call, says nothing for so long, and hangs up.
    Slow(Duration),
    /// It breaks off in the middle.
    Cut,
    /// It answers 200, and nonsense.
    Nonsense,
    /// It answers 200, and 50 MB.
    Huge,
    /// It refuses with this status.
    Refusing(u16),
    /// Its watches end as those of a client that asks for what etcd has compacted; lists are answered.
    Gone,
    /// Its watches stay open and say nothing any more, whatever it is later; new ones are answered.
    Silent,
}

/// What both of them know.
#[derive(Debug)]
struct World {
    mood: Mood,
    /// That of the kubelets behind an API server.
    kubelets: Mood,
    pods: Vec<String>,
    version: u64,
    begun: Instant,
    /// How far its clock is ahead of ours.
    ahead: SignedDuration,
    token: Option<String>,
    tls: Option<Arc<ServerConfig>>,
}

/// One of them; it answers for as long as the process lives.
#[derive(Clone, Debug)]
pub struct StandIn {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl StandIn {
    /// A kubelet that shows this certificate.
    ///
    /// # Errors
    /// If the certificate cannot be used, or there is no free port.
    pub fn kubelet(certificate: &Path, key: &Path) -> Result<Self> {
        Self::start(Some(http::server(certificate, key)?))
    }

    /// An API server, in plain HTTP.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn api_server() -> Result<Self> {
        Self::start(None)
    }

    fn start(tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (mood, kubelets) = (Mood::Well, Mood::Well);
        let (begun, ahead) = (Instant::now(), SignedDuration::ZERO);
        let world = World { mood, kubelets, pods: Vec::new(), version: 1, begun, ahead, token: None, tls };
        let stand_in = Self { address, world: Arc::new(Mutex::new(world)) };
        let to_serve = stand_in.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let to_serve = to_serve.clone();
                // Whoever hangs up early is the caller's own business.
                std::thread::spawn(move || drop(to_serve.answer(stream)));
            }
        });
        Ok(stand_in)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it answers so.
    pub fn be(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// From now on whoever asks a kubelet through this API server is answered so.
    pub fn kubelets_be(&self, mood: Mood) {
        self.lock().kubelets = mood;
    }

    /// From now on these are the pods.
    pub fn have(&self, pods: &[String]) {
        let mut world = self.lock();
        world.pods = pods.to_vec();
        world.version += 1;
    }

    /// From now on its clock is so far ahead of ours.
    pub fn be_ahead(&self, by: SignedDuration) {
        self.lock().ahead = by;
    }

    /// From now on only this token is let in.
    pub fn want_token(&self, token: &str) {
        self.lock().token = Some(token.to_owned());
    }

    /// From now on it shows this certificate.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn show(&self, certificate: &Path, key: &Path) -> Result<()> {
        self.lock().tls = Some(http::server(certificate, key)?);
        Ok(())
    }

    /// A kubeconfig for it, written into this folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn kubeconfig(&self, folder: &Path) -> Result<PathBuf> {
        let file = folder.join("kubeconfig");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "somebody", "user": {}}],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "somebody"}}],
        });
        std::fs::write(&file, kubeconfig.to_string())?;
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if self.lock().mood == Mood::Away {
            return Ok(());
        }
        let tls = self.lock().tls.clone();
        match tls {
            Some(config) => {
                let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
                self.converse(&mut stream)?;
                stream.conn.send_close_notify();
                Ok(stream.flush()?)
            }
            None => self.converse(&mut { stream }),
        }
    }

    fn converse(&self, stream: &mut (impl Read + Write)) -> Result<()> {
        let mut lines = BufReader::new(&mut *stream).lines();
        let first = lines.next().context("no request")??;
        let mut token = None;
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if let Some(bearer) = line.to_ascii_lowercase().strip_prefix("authorization: bearer ") {
                token = Some(bearer.to_owned());
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mood, wanted) = {
            let world = self.lock();
            let is_passed_on = world.mood == Mood::Well && target.contains("/proxy/");
            (if is_passed_on { world.kubelets } else { world.mood }, world.token.clone())
        };
        if wanted.is_some() && wanted != token {
            return say(stream, 401, b"who are you");
        }
        match mood {
            Mood::Slow(long) => {
                std::thread::sleep(long);
                Ok(())
            }
            Mood::Refusing(status) => say(stream, status, b"not now"),
            Mood::Nonsense => say(stream, 200, b"{\"items\": [{\"metadata\": 7}, \"\\ud800\"], \"node\": [}"),
            Mood::Huge => {
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                let block = vec![b'['; 1 << 16];
                (0..HUGE / block.len()).try_for_each(|_| Ok(stream.write_all(&block)?))
            }
            Mood::Cut => {
                let body = self.body(&target)?;
                let half = &body[..body.len() / 2];
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
                Ok(stream.write_all(half)?)
            }
            _ if target.contains("watch=true") => self.watch(stream, &target),
            _ => say(stream, 200, &self.body(&target)?),
        }
    }

    fn body(&self, target: &str) -> Result<Vec<u8>> {
        let world = self.lock();
        let path = target.split('?').next().unwrap_or_default();
        let list = |kind: &str, items: Vec<Value>| {
            json!({"kind": format!("{kind}List"), "apiVersion": "v1",
                "metadata": {"resourceVersion": world.version.to_string()}, "items": items})
        };
        let answer = match path {
            _ if path.ends_with("/stats/summary") => world.summary(),
            _ if path.ends_with("/metrics/cadvisor") => return Ok(b"# nothing\n".to_vec()),
            "/api/v1/nodes" => list("Node", vec![node()]),
            _ if path.ends_with("/pods") => {
                list("Pod", world.pods.iter().map(|name| pod(name, world.version)).collect())
            }
            "/version" => json!({"major": "1", "minor": "35", "gitVersion": "v1.35.4"}),
            _ => list("ConfigMap", Vec::new()),
        };
        Ok(serde_json::to_vec(&answer)?)
    }

    /// Tells of pods that come and go for as long as the mood lasts.
    fn watch(&self, stream: &mut (impl Read + Write), target: &str) -> Result<()> {
        write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
        stream.flush()?;
        let of_pods = target.split('?').next().is_some_and(|path| path.ends_with("/pods"));
        // The list before this watch had the same; what has come since then is told.
        let asked: u64 = target
            .split(['?', '&'])
            .find_map(|part| part.strip_prefix("resourceVersion="))
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let (mut known, mut version, mut silent) = (Vec::new(), 0, false);
        loop {
            std::thread::sleep(LOOK);
            silent |= self.lock().mood == Mood::Silent;
            if silent {
                continue;
            }
            let (mood, pods, now) = {
                let world = self.lock();
                (world.mood, world.pods.clone(), world.version)
            };
            match mood {
                Mood::Gone => {
                    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                        "reason": "Expired", "message": "too old resource version"});
                    event(stream, "ERROR", &status)?;
                    return Ok(stream.write_all(b"0\r\n\r\n")?);
                }
                Mood::Well if of_pods && now != version => {
                    if version == 0 && now != asked {
                        // Older than what is kept.
                        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                            "reason": "Expired", "message": "too old resource version"});
                        event(stream, "ERROR", &status)?;
                        return Ok(stream.write_all(b"0\r\n\r\n")?);
                    }
                    if version != 0 {
                        for name in pods.iter().filter(|name| !known.contains(*name)) {
                            event(stream, "ADDED", &pod(name, now))?;
                        }
                        for name in known.iter().filter(|name| !pods.contains(name)) {
                            event(stream, "DELETED", &pod(name, now))?;
                        }
                        stream.flush()?;
                    }
                    (known, version) = (pods, now);
                }
                Mood::Well | Mood::Silent => {}
                _ => return Ok(()),
            }
        }
    }
}

impl World {
    /// What a kubelet measures now: every pod does a little all the time.
    fn summary(&self) -> Value {
        let (now, seconds) = ((Timestamp::now() + self.ahead).to_string(), self.begun.elapsed().as_secs());
        let pods: Vec<Value> = self
            .pods
            .iter()
            .map(|name| {
                let cpu =
                    json!({"time": now, "usageNanoCores": 20_000_000, "usageCoreNanoSeconds": seconds * 20_000_000});
                let memory = json!({"time": now, "workingSetBytes": 32 << 20, "rssBytes": 30 << 20});
                json!({"podRef": {"name": name, "namespace": "made", "uid": format!("uid-{name}")},
                    "startTime": "2026-11-29T00:00:00Z", "cpu": cpu, "memory": memory,
                    "containers": [{"name": "main", "startTime": "2026-11-29T00:00:00Z", "cpu": cpu, "memory": memory}],
                    "network": {"time": now, "name": "eth0", "rxBytes": seconds * 4000, "txBytes": seconds * 9000,
                        "rxErrors": 0, "txErrors": 0}})
            })
            .collect();
        json!({"node": {"nodeName": NODE, "startTime": "2026-11-29T00:00:00Z"}, "pods": pods})
    }
}

fn node() -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": NODE, "uid": "uid-node1"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(name: &str, version: u64) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "made", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-11-29T00:00:00Z"},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "made:1"}]},
        "status": {"phase": "Running", "startTime": "2026-11-29T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "ready": true, "started": true, "restartCount": 0, "image": "made:1",
                "imageID": "made", "state": {"running": {"startedAt": "2026-11-29T00:00:00Z"}}}]}})
}

fn event(stream: &mut impl Write, kind: &str, object: &Value) -> Result<()> {
    let line = format!("{}\n", json!({"type": kind, "object": object}));
    Ok(write!(stream, "{:x}\r\n{line}\r\n", line.len())?)
}

fn say(stream: &mut impl Write, status: u16, body: &[u8]) -> Result<()> {
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    Ok(stream.flush()?)
}
