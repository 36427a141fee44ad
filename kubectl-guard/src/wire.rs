//! An API server on a local port, for the tests of what goes over the wire.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::connect::{Connection, Environment};
use crate::flags::KubeFlags;

/// A connection to it, in namespace shop, and the paths it is asked for; `answer` sees each path, with its query, and
/// how many came before.
pub(crate) async fn server(answer: fn(&str, usize) -> (u16, Value)) -> (Connection, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let mut log = log.lock().unwrap();
                let path = request.uri().to_string();
                let (code, body) = answer(&path, log.len());
                log.push(path);
                let response = Response::builder().status(code).header("content-type", "application/json");
                let response = response.body(Full::<Bytes>::from(body.to_string())).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let flags = KubeFlags { server: Some(url), namespace: Some("shop".into()), ..KubeFlags::default() };
    (Connection::open(&flags, &Environment::default()).unwrap(), seen)
}
