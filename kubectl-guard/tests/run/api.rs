//! An API server with one Deployment, as far as a proposal asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Requests that would have changed something.
pub(crate) type Writes = Arc<Mutex<Vec<String>>>;

/// Serves Deployment `cart` of namespace `shop` and its pod `cart` until the test ends; gives the port.
pub(crate) fn serve() -> (u16, Writes) {
    serve_while(Arc::new(AtomicBool::new(true)))
}

/// The same while it is `there`; else it hangs up without a word.
pub(crate) fn serve_while(there: Arc<AtomicBool>) -> (u16, Writes) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let writes = Writes::default();
    let kept = Arc::clone(&writes);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if !there.load(Ordering::SeqCst) {
                continue;
            }
            let kept = Arc::clone(&kept);
            // A connection that fails is the client's matter.
            std::thread::spawn(move || drop(answer_all(&stream.unwrap(), &kept)));
        }
    });
    (port, writes)
}

/// Answers one request after the other on a connection.
fn answer_all(stream: &TcpStream, writes: &Writes) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
        while reader.read_line(&mut line)? > 2 {
            let field = line.to_ascii_lowercase();
            length = field.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
            head.push_str(&line);
            line.clear();
        }
        reader.read_exact(&mut vec![0; length])?;
        let mut words = head.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
        let path = path.split('?').next().unwrap_or_default();
        if method != "GET" && !path.ends_with("reviews") {
            writes.lock().unwrap().push(format!("{method} {path}"));
        }
        let (status, body) = answer(method, path);
        let body = body.to_string();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

fn answer(method: &str, path: &str) -> (u16, Value) {
    match (method, path) {
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews") => {
            (201, json!({"metadata": {}, "status": {"userInfo": {"username": "ann"}}}))
        }
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            (201, json!({"metadata": {}, "spec": {}, "status": {"allowed": true}}))
        }
        ("GET", "/apis/apps/v1/namespaces/shop/deployments/cart") => (200, deployment()),
        ("GET", "/api/v1/namespaces/shop/pods" | "/api/v1/namespaces/default/pods" | "/api/v1/pods") => {
            (200, json!({"metadata": {}, "items": [pod("cart"), pod("cart-2")]}))
        }
        ("GET", "/api/v1/namespaces/shop/pods/cart") => (200, pod("cart")),
        ("GET", "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers" | "/api/v1/namespaces/shop/events") => {
            (200, json!({"metadata": {}, "items": []}))
        }
        _ => (
            404,
            json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"}),
        ),
    }
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "cart", "namespace": "shop", "uid": "uid-cart", "generation": 2, "resourceVersion": "7"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "cart"}}, "template": {}},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
    })
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "labels": {"app": "cart", "pod-template-hash": "5d4"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d4", "uid": "uid-rs",
                "controller": true}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}
