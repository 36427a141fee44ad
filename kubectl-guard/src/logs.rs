//! The end of what a container wrote before it last ended, read as the user and only on request: logs can hold
//! anything.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;

use crate::connect::Connection;
use crate::error::Error;
use crate::request::Request;
use crate::sanitise;

/// Lines shown.
const LINES: i64 = 20;
/// Bytes read, however long the lines are.
const BYTES: i64 = 64 << 10;

/// What the kubelet answers, as if it were the log, once the container is removed.
const GONE: &str = "unable to retrieve container logs for ";

/// The last lines of a container that ended, oldest first. Their text is sanitised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The container; `None` if none of the pod's has ended.
    pub container: Option<String>,
    /// Its last lines.
    pub lines: Vec<String>,
    /// Why there are none.
    pub note: Option<String>,
}

/// The tail of the container before its last restart. What cannot be read is told in the tail.
pub async fn previous(connection: &Connection, namespace: &str, pod: &str, container: Option<&str>) -> Tail {
    let Some(container) = container else {
        return Tail { note: Some("none of its containers has ended yet".to_owned()), ..Tail::default() };
    };
    let request = Request { verb: "get", resource: "pods/log", group: "", namespace: Some(namespace) };
    let params = LogParams {
        container: Some(container.to_owned()),
        previous: true,
        tail_lines: Some(LINES),
        limit_bytes: Some(BYTES),
        ..LogParams::default()
    };
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let container = Some(sanitise::line(container));
    match api.logs(pod, &params).await {
        Ok(text) if text.starts_with(GONE) => {
            Tail { container, lines: Vec::new(), note: Some("its node no longer has them".to_owned()) }
        }
        Ok(text) => Tail { container, lines: text.lines().map(sanitise::line).collect(), note: None },
        Err(error) => Tail { container, lines: Vec::new(), note: Some(words(&request.failed(&error))) },
    }
}

/// Where nothing ran before, the API server calls the request a bad one.
fn words(error: &Error) -> String {
    match error {
        Error::Api { code: 400, message, .. } => message.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::server;

    fn refused(code: u16, message: &str) -> (u16, Value) {
        (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}))
    }

    #[tokio::test]
    async fn the_tail_is_asked_for_and_sanitised() {
        let (connection, seen) = server(|_, _| (200, json!("\u{9b}31mout of memory"))).await;
        let tail = previous(&connection, "shop", "cart-0", Some("cart")).await;
        assert_eq!((tail.container.as_deref(), tail.note), (Some("cart"), None));
        assert!(!tail.lines.concat().contains('\u{9b}') && tail.lines.concat().contains("out of memory"));
        let path = "/api/v1/namespaces/shop/pods/cart-0/log?";
        let query = "&container=cart&limitBytes=65536&previous=true&tailLines=20";
        assert_eq!(*seen.lock().unwrap(), [format!("{path}{query}")]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_and_is_no_error() {
        let (connection, _) = server(|_, _| refused(403, "no")).await;
        let tail = previous(&connection, "shop", "cart-0", Some("cart")).await;
        assert_eq!(tail.note.as_deref(), Some("you may not get pods/log in namespace shop"));
        let (connection, _) = server(|_, _| refused(400, "previous terminated container \"cart\" not found")).await;
        let tail = previous(&connection, "shop", "cart-0", Some("cart")).await;
        assert_eq!(tail.note.as_deref(), Some("previous terminated container \"cart\" not found"));
        let (connection, seen) = server(|_, _| refused(500, "")).await;
        let tail = previous(&connection, "shop", "cart-0", None).await;
        assert!(tail.note.unwrap().contains("has ended") && seen.lock().unwrap().is_empty());
    }
}
