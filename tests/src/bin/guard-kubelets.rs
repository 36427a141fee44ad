//! `guard-kubelets ADDRESS REPORT PODS` is the kubelet of many nodes that there are not, as far as the API server asks it: behind
//! each pod of the file PODS (lines of NAMESPACE, NAME, UID and NODE) is an exporter that tells REPORT, which a real one gave,
//! of its own node, with 30 pods. For `tests/fleet.sh`.

use std::collections::HashMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

use anyhow::{Context, Result, bail};
use guard_tests::http;
use guard_tests::pki::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::{Bytes, Message, WebSocket};

/// What kubelets speak for a port-forward over a websocket: each message is a channel's number and its bytes, first the port.
const PROTOCOL: &str = "v4.channel.k8s.io";
const PORT: u16 = 9466;
const PODS_A_NODE: usize = 30;

type Stream = StreamOwned<ServerConnection, TcpStream>;
/// By namespace and name of an exporter's pod, the HTTP answer.
type Answers = HashMap<(String, String), Vec<u8>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, report, pods] = words.as_slice() else { bail!("usage: guard-kubelets ADDRESS REPORT PODS") };
    let report = serde_json::from_slice(&fs::read(report).with_context(|| report.clone())?)?;
    let answers = Arc::new(answers(&report, &fs::read_to_string(pods).with_context(|| pods.clone())?)?);
    let folder = tempfile::tempdir()?;
    Authority::new(folder.path())?.sign("kubelet", "kubelet", None, &["127.0.0.1"])?;
    let config = http::server(&folder.path().join("kubelet.crt"), &folder.path().join("kubelet.key"))?;
    for stream in TcpListener::bind(address)?.incoming().flatten() {
        let (config, answers) = (Arc::clone(&config), Arc::clone(&answers));
        // Whoever hangs up is the API server's own business.
        std::thread::spawn(move || drop(forward(stream, config, &answers)));
    }
    Ok(())
}

fn answers(report: &Value, pods: &str) -> Result<Answers> {
    let told = report["pods"].as_array().filter(|pods| !pods.is_empty()).context("a report without pods")?;
    pods.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [namespace, name, uid, node] = words[..] else { bail!("{line:?} is no pod") };
            let mut report = report.clone();
            report["node"] = node.into();
            let all = told.iter().cycle().take(PODS_A_NODE).enumerate().map(|(number, pod)| {
                let mut pod = pod.clone();
                pod["uid"] = if number == 0 { uid.to_owned() } else { format!("{uid}-{number}") }.into();
                pod
            });
            report["pods"] = all.collect();
            let body = report.to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            Ok(((namespace.to_owned(), name.to_owned()), answer.into_bytes()))
        })
        .collect()
}

/// One port-forward: the first request on it is answered.
fn forward(stream: TcpStream, config: Arc<ServerConfig>, answers: &Answers) -> Result<()> {
    let stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let (tell, asked) = mpsc::channel();
    #[expect(clippy::result_large_err, reason = "it is what the handshake asks for")]
    let accept = move |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        // It is waited for below.
        tell.send(request.uri().path().to_owned()).unwrap_or_default();
        response.headers_mut().insert("Sec-WebSocket-Protocol", PROTOCOL.parse().expect("a header"));
        Ok(response)
    };
    let mut socket: WebSocket<Stream> = tungstenite::accept_hdr(stream, accept).context("no websocket")?;
    let path = asked.recv()?;
    // /portForward/NAMESPACE/NAME
    let parts: Vec<&str> = path.split('/').collect();
    let [_, _, namespace, name, ..] = parts[..] else { bail!("{path} is no port-forward") };
    let answer =
        answers.get(&(namespace.to_owned(), name.to_owned())).with_context(|| format!("no such pod: {path}"))?;
    let [low, high] = PORT.to_le_bytes();
    for channel in [0, 1] {
        socket.send(Message::binary(vec![channel, low, high]))?;
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if let Message::Binary(message) = socket.read()? {
            request.extend_from_slice(data(&message));
        }
    }
    socket.send(Message::binary([&[0], answer.as_slice()].concat()))?;
    while socket.read().is_ok() {}
    Ok(())
}

/// What a message holds of the port's own channel.
fn data(message: &Bytes) -> &[u8] {
    match message.first() {
        Some(0) => &message[1..],
        _ => &[],
    }
}
