//! Refusals, against an API server that gives the answers of a real one.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use guard_model::report::{PodReport, State};

use crate::connect::{Connection, Environment};
use crate::console::capture;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::KubeFlags;
use crate::rows::tests::{node, report};
use crate::scores::{Scores, portforward};

const ONE_EXPORTER: &str = r#"{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[
    {"metadata":{"name":"guard-exporter-x"},"spec":{"nodeName":"node1","containers":[]},"status":{"phase":"Running"}}]}"#;

fn refusal(verb: &str, resource: &str) -> String {
    status(&format!(
        r#"User \"ann\" cannot {verb} resource \"{resource}\" in API group \"\" in the namespace \"guard-system\""#
    ))
}

fn status(message: &str) -> String {
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"{message}","reason":"Forbidden","code":403}}"#
    )
}

/// Reads scores from a server that answers the list of pods and the port-forward with these.
fn read(list: (u16, String), forward: (u16, String)) -> Result<Scores, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = vec![0; 8192];
            let n = stream.read(&mut head).unwrap();
            let asks_forward = String::from_utf8_lossy(&head[..n]).contains("/portforward");
            let (code, body) = if asks_forward { &forward } else { &list };
            let length = body.len();
            write!(stream, "HTTP/1.1 {code} X\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
                .unwrap();
        }
    });
    let flags = KubeFlags { server: Some(url), ..KubeFlags::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = Connection::open(&flags, &Environment::default()).unwrap();
        portforward::read(&connection, "guard-system", &capture::console(80).0).await
    })
}

#[test]
fn each_right_that_is_missing_is_named() {
    let list = || (200, ONE_EXPORTER.to_owned());
    // As Kubernetes 1.35 answers whoever may `get` and not `create`.
    let unnamed = status(r#"pods \"guard-exporter-x\" is forbidden: "#);
    let cases = [
        (read((403, refusal("list", "pods")), list()), "list pods"),
        (read(list(), (403, refusal("get", "pods/portforward"))), "get pods/portforward"),
        (read(list(), (403, unnamed)), "create pods/portforward"),
    ];
    for (answer, right) in cases {
        let error = answer.unwrap_err();
        assert_eq!(error.process_exit_code(), Exit::NotPermitted);
        assert_eq!(error.to_string(), format!("you may not {right} in namespace guard-system"));
    }
}

#[test]
fn no_exporter_and_no_answer_are_errors_with_a_next_step() {
    let none = (200, r#"{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[]}"#.to_owned());
    let error = read(none, (500, String::new())).unwrap_err();
    assert!(matches!(error, Error::NoExporter { .. }) && error.hint().unwrap().contains("install"), "{error}");
    let error = read((200, ONE_EXPORTER.to_owned()), (500, "{}".to_owned())).unwrap_err();
    assert!(matches!(error, Error::NoScores { exporters: 1, .. }), "{error}");
    assert_eq!(error.process_exit_code(), Exit::Error);
}

#[test]
fn what_a_rollout_made_is_known_by_its_uid() {
    let deployed = PodReport { deploy: true, ..report("cart-1", None, State::Ok) };
    let reports = vec![node("node1", vec![deployed, report("cart-2", None, State::Ok)])];
    assert_eq!(Scores { reports, ..Scores::default() }.deployed(), ["uid-cart-1"].into());
}
