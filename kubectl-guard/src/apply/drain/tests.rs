use std::sync::{Arc, Mutex};

use http::Request;
use http::{Method, Response};
use kube::client::Body;

use super::*;
use crate::apply::dry_run;
use crate::approve::{Way, approve};
use crate::exit::Exit;
use crate::plan::DrainOptions;
use crate::plan::examples::{Typist, drain_plan, now, pod_plan};

/// An API server that answers evictions by this function, given their count; a pod is gone after it was taken.
fn server(answer: impl Fn(usize) -> (u16, &'static str) + Send + Sync + 'static) -> (Client, Arc<Mutex<Vec<String>>>) {
    server_of(move |count, _| answer(count))
}

/// The same, given the path of the eviction too.
fn server_of(
    answer: impl Fn(usize, &str) -> (u16, &'static str) + Send + Sync + 'static,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        async move {
            let (code, body) = if request.method() == Method::POST {
                let mut log = log.lock().unwrap();
                let path = request.uri().path().to_owned();
                log.push(path.clone());
                answer(log.len(), &path)
            } else {
                (404, "{}")
            };
            let response = Response::builder().status(code).header("retry-after", "1");
            Ok::<_, std::convert::Infallible>(response.body(Body::from(body.as_bytes().to_vec())).unwrap())
        }
    });
    (Client::new(service, "default"), seen)
}

/// Writes down what it is told; refuses to record where it shall.
struct Notes {
    client: Client,
    full: bool,
    lines: Mutex<Vec<String>>,
}

impl Notes {
    fn of(client: &Client) -> Self {
        Self { client: client.clone(), full: false, lines: Mutex::default() }
    }
}

impl Witness for Notes {
    fn about_to(&self, step: usize) -> Result<Client, String> {
        self.lines.lock().unwrap().push(format!("about to {step}"));
        if self.full { Err("the disk is full".into()) } else { Ok(self.client.clone()) }
    }

    fn came_to(&self, step: usize, outcome: &StepOutcome) {
        let done = matches!(outcome, StepOutcome::Done { .. });
        self.lines.lock().unwrap().push(format!("came to {step}: {}", if done { "done" } else { "not done" }));
    }

    fn tell(&self, step: usize, stage: &Stage) {
        self.lines.lock().unwrap().push(format!("{step}: {stage}"));
    }
}

async fn run(client: &Client, limit: Duration, notes: &Notes) -> Vec<PodEnd> {
    let approved = approve(drain_plan(DrainOptions::default()), Way::Ask, now(), &Typist("n1")).unwrap();
    let (_stop, stopped) = watch::channel(false);
    drain(client, &approved, &Until::new(limit, stopped), notes).await
}

const BUDGET: &str = r#"{"message":"spent","details":{"causes":[{"reason":"DisruptionBudget"}]}}"#;

#[tokio::test]
async fn each_pod_is_evicted_once_recorded_before_and_after_and_seen_to_go() {
    let (client, seen) = server(|_| (201, "{}"));
    let notes = Notes::of(&client);
    assert_eq!(run(&client, Duration::ZERO, &notes).await, [PodEnd::Gone, PodEnd::Gone]);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["web-a", "web-b"].map(|pod| format!("/api/v1/namespaces/shop/pods/{pod}/eviction")));
    let lines = notes.lines.lock().unwrap();
    let of_first: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.contains('1')).collect();
    assert_eq!(of_first, ["about to 1", "1: evicting", "came to 1: done", "1: ending", "1: gone"]);
}

#[tokio::test]
async fn a_spent_budget_is_asked_again_and_an_overloaded_server_is_told_from_it() {
    let (client, seen) = server(|count| match count {
        1..=4 => (429, BUDGET),
        5 => (429, r#"{"message":"too many requests"}"#),
        _ => (201, "{}"),
    });
    let notes = Notes::of(&client);
    assert_eq!(run(&client, Duration::ZERO, &notes).await, [PodEnd::Gone, PodEnd::Gone]);
    assert_eq!(seen.lock().unwrap().len(), 7);
    let lines = notes.lines.lock().unwrap().join("\n");
    assert!(
        lines.contains("waits for its disruption budget: spent")
            && lines.contains("waits for the API server, which is overloaded"),
        "{lines}"
    );
    assert_eq!(lines.matches("about to").count(), 2, "one intent a pod: {lines}");
}

const NAMESPACE_ENDS: &str =
    r#"{"message":"it is being terminated","details":{"causes":[{"reason":"NamespaceTerminating"}]}}"#;

/// A pod of a namespace that is being deleted cannot be evicted: it is waited for, and its end is that of any other.
#[tokio::test]
async fn a_pod_that_goes_with_its_namespace_is_waited_for() {
    let reads = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&reads);
    let service = tower::service_fn(move |request: Request<Body>| {
        let counted = Arc::clone(&counted);
        async move {
            let first = request.uri().path().contains("web-a");
            let (code, body) = match *request.method() {
                Method::POST if first => (403, NAMESPACE_ENDS.to_owned()),
                Method::POST => (201, "{}".to_owned()),
                _ if first => {
                    let mut reads = counted.lock().unwrap();
                    *reads += 1;
                    let ending = r#"{"metadata":{"uid":"uid-web-a","deletionTimestamp":"2026-11-22T13:00:00Z"}}"#;
                    match *reads {
                        1 => (200, r#"{"metadata":{"uid":"uid-web-a"}}"#.to_owned()),
                        2 | 3 => (200, ending.to_owned()),
                        _ => (404, "{}".to_owned()),
                    }
                }
                _ => (404, "{}".to_owned()),
            };
            Ok::<_, std::convert::Infallible>(
                Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap(),
            )
        }
    });
    let client = Client::new(service, "default");
    let notes = Notes::of(&client);
    assert_eq!(run(&client, Duration::ZERO, &notes).await, [PodEnd::Gone, PodEnd::Gone]);
    let lines = notes.lines.lock().unwrap();
    let of_first: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.contains('1')).collect();
    let waits = "1: waits for its namespace, which is being deleted";
    assert_eq!(of_first, ["about to 1", "1: evicting", waits, "came to 1: done", "1: ending", "1: gone"]);
    assert_eq!(*reads.lock().unwrap(), 4);
}

/// It was to go, and it has gone: a drain of such pods is done, and its history says so.
#[tokio::test]
async fn a_pod_that_had_gone_by_itself_is_done_with() {
    let (client, _) = server(|_| (404, r#"{"message":"not found"}"#));
    let notes = Notes::of(&client);
    assert_eq!(run(&client, Duration::ZERO, &notes).await, [PodEnd::Gone, PodEnd::Gone]);
    let lines = notes.lines.lock().unwrap().join("\n");
    assert_eq!(lines.matches(": done").count(), 2, "{lines}");
}

#[tokio::test]
async fn a_dry_run_takes_a_namespace_that_ends_for_a_drain_alone() {
    let service = tower::service_fn(|request: Request<Body>| async move {
        let (code, body) = if request.method() == Method::POST { (403, NAMESPACE_ENDS) } else { (200, "{}") };
        let body = Body::from(body.as_bytes().to_vec());
        Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(body).unwrap())
    });
    let client = Client::new(service, "default");
    assert_eq!(dry_run(&client, &drain_plan(DrainOptions::default())).await, Ok(()));
    let alone = dry_run(&client, &pod_plan()).await.unwrap_err();
    assert!(alone.to_string().contains("its namespace is being deleted"), "{alone}");
    assert_eq!(alone.exit(), Exit::Refused);
}

#[tokio::test]
async fn a_budget_that_never_allows_ends_with_the_time_and_says_so() {
    let (client, _) = server(|_| (429, BUDGET));
    let ends = run(&client, Duration::from_millis(20), &Notes::of(&client)).await;
    for end in ends {
        assert!(
            matches!(&end, PodEnd::Stays(why) if why.contains("the time was over") && why.contains("spent")),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn however_many_pods_wait_for_their_budget_they_hold_up_nobody() {
    let (client, _) = server_of(|_, path| if path.contains("/stuck-") { (429, BUDGET) } else { (201, "{}") });
    let mut plan = drain_plan(DrainOptions::default());
    let pod = plan.steps[2].clone();
    let named = |name: &str, number: usize| {
        let mut step = pod.clone();
        step.target.name = format!("{name}-{number}");
        step
    };
    plan.steps.truncate(1);
    plan.steps.extend((0..2 * AT_ONCE).map(|number| named("stuck", number)));
    plan.steps.extend((0..3 * AT_ONCE).map(|number| named("other", number)));
    let approved = approve(plan, Way::Ask, now(), &Typist("n1")).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let until = Until::new(Duration::from_millis(500), stopped);
    let ends = drain(&client, &approved, &until, &Notes::of(&client)).await;
    let (stuck, others) = ends.split_at(2 * AT_ONCE);
    assert!(stuck.iter().all(|end| matches!(end, PodEnd::Stays(why) if why.contains("spent"))), "{stuck:?}");
    assert_eq!(others, vec![PodEnd::Gone; 3 * AT_ONCE]);
}

#[tokio::test]
async fn what_cannot_succeed_is_sent_once() {
    for (code, body) in [
        (
            500,
            r#"{"message":"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}"#,
        ),
        (403, r#"{"message":"no"}"#),
        (422, r#"{"message":"no"}"#),
    ] {
        let (client, seen) = server(move |_| (code, body));
        let ends = run(&client, Duration::ZERO, &Notes::of(&client)).await;
        assert!(ends.iter().all(|end| matches!(end, PodEnd::Stays(_))), "{code} {ends:?}");
        assert_eq!(seen.lock().unwrap().len(), 2, "{code}");
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_sent() {
    let (client, seen) = server(|_| (201, "{}"));
    let notes = Notes { full: true, ..Notes::of(&client) };
    let ends = run(&client, Duration::ZERO, &notes).await;
    assert_eq!(ends, [PodEnd::Stays("the disk is full".into()), PodEnd::Stays("the disk is full".into())]);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stopped_drain_sends_nothing_more() {
    let (client, seen) = server(|_| (201, "{}"));
    let approved = approve(drain_plan(DrainOptions::default()), Way::Ask, now(), &Typist("n1")).unwrap();
    let (stop, stopped) = watch::channel(false);
    stop.send_replace(true);
    let ends = drain(&client, &approved, &Until::new(Duration::ZERO, stopped), &Notes::of(&client)).await;
    assert!(ends.iter().all(|end| matches!(end, PodEnd::Stays(why) if why.contains("stopped"))), "{ends:?}");
    assert!(seen.lock().unwrap().is_empty());
}

/// Its turn comes again only when those before it have their answers, and nobody wants it to be evicted by then.
#[tokio::test]
async fn a_pod_that_waited_for_its_turn_again_is_not_evicted_after_the_stop() {
    let (answers, held) = watch::channel(false);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, mut held) = (Arc::clone(&log), held.clone());
        async move {
            let path = request.uri().path().to_owned();
            let (code, body) = match *request.method() {
                Method::POST if path.contains("/stuck-") => {
                    log.lock().unwrap().push(path);
                    (429, BUDGET)
                }
                Method::POST => {
                    held.wait_for(|answers| *answers).await.unwrap();
                    (201, "{}")
                }
                _ => (404, "{}"),
            };
            let body = Body::from(body.as_bytes().to_vec());
            Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    let client = Client::new(service, "default");
    let mut plan = drain_plan(DrainOptions::default());
    plan.steps.truncate(2);
    plan.steps[1].target.name = "stuck-0".into();
    for number in 0..AT_ONCE {
        let mut slow = plan.steps[1].clone();
        slow.target.name = format!("slow-{number}");
        plan.steps.push(slow);
    }
    let approved = approve(plan, Way::Ask, now(), &Typist("n1")).unwrap();
    let (stop, stopped) = watch::channel(false);
    let stopping = async {
        // It has waited for its budget by then, and waits behind the others.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send_replace(true);
        answers.send_replace(true);
    };
    let (until, notes) = (Until::new(Duration::ZERO, stopped), Notes::of(&client));
    let (ends, ()) = tokio::join!(drain(&client, &approved, &until, &notes), stopping);
    assert_eq!(ends[1..], vec![PodEnd::Gone; AT_ONCE], "what was under way is seen to its answer");
    let why = "the drain was stopped, and it still waits for its disruption budget: spent";
    assert_eq!(ends[0], PodEnd::Stays(why.into()));
    assert_eq!(seen.lock().unwrap().len(), 1, "not a second time");
}
