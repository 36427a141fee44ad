use http::{Method, Response};
use std::sync::{Arc, Mutex};

use super::*;
use crate::approve::{Way, approve};
use crate::outcome::StepOutcome;
use crate::plan::ActionKind;
use crate::plan::examples::{Typist, node_plan, now, plan};

/// An API server that writes down what it is asked and answers by this function.
fn server(
    answer: impl Fn(&Method, usize) -> (u16, String) + Send + Sync + 'static,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        async move {
            let count = {
                let mut log = log.lock().unwrap();
                log.push(format!("{} {}", request.method(), request.uri()));
                log.len()
            };
            let (code, body) = answer(request.method(), count);
            Ok::<_, std::convert::Infallible>(
                Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap(),
            )
        }
    });
    (Client::new(service, "default"), seen)
}

fn approved() -> ApprovedPlan {
    approve(plan(ActionKind::Restart), Way::Ask, now(), &Typist("web")).unwrap()
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

#[tokio::test]
async fn a_dry_run_sends_nothing_without_dry_run_all() {
    let (client, seen) = server(|_, _| (200, "{}".into()));
    dry_run(&client, &plan(ActionKind::Restart)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [format!("PATCH {DEPLOYMENT}?fieldManager=kubectl-guard&dryRun=All")]);
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_the_answer() {
    for code in [400, 403, 404, 409, 422, 429] {
        let (client, seen) = server(move |_, _| (code, r#"{"message":"no"}"#.into()));
        write(&client, &approved(), 0).await.unwrap_err();
        assert_eq!(*seen.lock().unwrap(), [format!("PATCH {DEPLOYMENT}?fieldManager=kubectl-guard")], "{code}");
    }
}

#[tokio::test]
async fn after_a_lost_answer_the_object_is_read_and_nothing_is_sent_again() {
    let (client, seen) = server(|method, _| match *method {
        Method::PATCH => (504, "{}".into()),
        _ => (200, r#"{"metadata":{"uid":"uid-web","resourceVersion":"4711"}}"#.into()),
    });
    let error = write(&client, &approved(), 0).await.unwrap_err();
    assert!(matches!(error, ApplyError::Unknown { .. }), "{error}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], format!("PATCH {DEPLOYMENT}?fieldManager=kubectl-guard"));
    assert_eq!(seen[1..], [format!("GET {DEPLOYMENT}"), format!("GET {DEPLOYMENT}"), format!("GET {DEPLOYMENT}")]);
}

#[tokio::test]
async fn a_lost_answer_to_a_write_that_arrived_counts_as_done() {
    let mut object = plan(ActionKind::Restart).steps[0].after.clone();
    object["metadata"] = serde_json::json!({ "uid": "uid-web", "resourceVersion": "4712", "generation": 8 });
    let (client, seen) = server(move |method, _| match *method {
        Method::PATCH => (504, "{}".into()),
        _ => (200, object.to_string()),
    });
    assert_eq!(write(&client, &approved(), 0).await, Ok(StepOutcome::Done { generation: Some(8) }));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn of_a_node_the_last_look_tells_whether_somebody_else_cordoned_it() {
    let cordon = node_plan(ActionKind::Cordon).steps.remove(0);
    for (spec, untouched) in [("{}", true), (r#"{"unschedulable":true}"#, false)] {
        let node = format!(r#"{{"metadata":{{"uid":"uid-n1","resourceVersion":"4712"}},"spec":{spec}}}"#);
        let (client, _) = server(move |_, _| (200, node.clone()));
        let seen = latest(&client, &cordon).await.unwrap();
        assert_eq!((seen.target.resource_version.as_deref(), seen.untouched), (Some("4712"), untouched));
    }
}
