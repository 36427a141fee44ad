//! The wait for an outcome, by a clock that runs as fast as nothing happens.

use std::sync::Mutex;

use guard_model::report::{KubeletState, ModelInfo, PodReport, State};
use http::Response;
use jiff::ToSpan;
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::approve::{Way, approve};
use crate::facts::OwnerRule;
use crate::plan::examples::{Typist, now, resources_plan};

/// Exporters of whose one pod each reading is well.
struct Well(i64);

impl ScoreSource for Well {
    fn kind(&self) -> Source {
        Source::Exporter
    }

    async fn read(&mut self) -> Result<Vec<NodeReport>, Error> {
        self.0 += 1;
        let pod = PodReport { uid: "uid-db-0".into(), score: Some(0.1), state: State::Ok, ..PodReport::default() };
        Ok(vec![NodeReport {
            version: 1,
            node: "n1".into(),
            at: now() + (15 * self.0).seconds(),
            interval_seconds: 15.0,
            threshold: 0.7,
            scored_by: "test".into(),
            model: ModelInfo::default(),
            kubelet: KubeletState::default(),
            certificate_ends: None,
            pods: vec![pod],
        }])
    }
}

/// What it comes to, and what is told, where no new template ever reaches a pod.
async fn waited(rolls: bool) -> (Outcome, String) {
    let service = tower::service_fn(|request: Request<Body>| async move {
        let pod = json!({ "metadata": { "name": "db-0", "uid": "uid-db-0", "ownerReferences": [
            { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "uid-db", "controller": true }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        let list = request.uri().path().ends_with("/pods");
        let answer = if list { json!({ "metadata": {}, "items": [pod] }) } else { json!({}) };
        Response::builder().body(Body::from(answer.to_string().into_bytes()))
    });
    let client = Client::new(service, "shop");
    let owner = Owner { namespace: "shop".into(), rule: OwnerRule::Controller("uid-db".into()), selector: None };
    let approved = approve(resources_plan(true), Way::Ask, now(), &Typist("web")).unwrap();
    let limit = Duration::from_mins(5);
    let wait = Wait { approved: &approved, owner: &owner, rolls, generation: None, written: now(), limit };
    let told = Mutex::new(Vec::new());
    let outcome = super::wait(&client, &mut Well(0), wait, |line| told.lock().unwrap().push(line.to_owned())).await;
    (outcome, told.into_inner().unwrap().join("\n"))
}

#[tokio::test(start_paused = true)]
async fn pods_that_have_it_in_place_are_judged_without_a_rollout() {
    let (outcome, told) = waited(false).await;
    assert_eq!(outcome, Outcome::Recovered, "{told}");
    insta::assert_snapshot!(told, @"resized in place, 1 of 1 pods ready, no pod over its line, not yet sure");
    let (outcome, told) = waited(true).await;
    assert_eq!(outcome, Outcome::Unchanged, "{told}");
    insta::assert_snapshot!(told, @"rolling out, 1 of 1 pods ready, waiting for the new pods");
}
