use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use guard_model::cause::{Cause, Reason};
use guard_model::incident::{Anomaly, Incident, Link};
use guard_model::report::{FeatureView, HistoryPoint, State};
use guard_model::sample::Termination;
use guard_model::workload::Workload;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::args::Key;
use super::*;
use crate::logs::Tail;
use crate::outcome::Outcome;
use crate::plan::ActionKind;
use crate::render::explain::{Detail, EventLine, Rollout};
use crate::rows::Row;
use crate::rows::tests::{now, report, shop};

/// A pod and what is known of it, with `text` wherever the cluster can put text of its own.
fn everywhere(text: &str) -> (Row, Detail) {
    let own = || text.to_owned();
    let mut row = shop().into_iter().find(|row| row.name == "cart-1").unwrap();
    row.namespace = own();
    row.name = own();
    row.uid = own();
    row.node = Some(own());
    row.workload = Some(Workload::new(text, text));
    row.reasons = vec![Reason { cause: Cause::OomKilled, score: 0.93, text: own() }];
    row.note = Some(own());
    row.labels = [(own(), own())].into();
    let view = |name: &str, unit: &str| FeatureView {
        name: name.to_owned().into(),
        unit: unit.to_owned().into(),
        seen: Some(2_202_010.0),
        expected_low: Some(40_000.0),
        expected_high: None,
        share: 0.875,
    };
    let mut seen = report(text, Some(0.93), State::Anomalous);
    seen.workload.clone_from(&row.workload);
    seen.reasons.clone_from(&row.reasons);
    seen.features = vec![view("transmit", "bytes_per_second"), view("cpu", text), view(text, text)];
    seen.history = (0..40)
        .map(|i| HistoryPoint { at: i, score: Some(0.5), cpu: None, memory: None, receive: None, transmit: None })
        .collect();
    let mut detail = Detail { report: Some(seen), images: vec![own()], events_note: Some(own()), ..Detail::default() };
    detail.facts.name = own();
    detail.facts.waiting = Some(own());
    detail.facts.unschedulable = Some(own());
    detail.facts.terminated =
        Some(Termination { container: own(), reason: own(), exit_code: 137, finished_at: Some(now()) });
    let event = |reason: &str, kind: &str| EventLine {
        at: Some(now()),
        kind: kind.into(),
        reason: reason.into(),
        message: own(),
        count: 5,
    };
    detail.events = vec![event("BackOff", "Warning"), event(text, text)];
    detail.rollout = Some(Ok(Rollout { name: own(), revision: Some(own()), made: Some(now()) }));
    detail.logs = Some(Tail { container: Some(own()), lines: vec![own()], note: Some(own()) });
    (row, detail)
}

/// Two incidents, with `text` wherever the cluster can put text of its own.
fn incidents_of(text: &str, names: &mut Pseudonyms) -> Incidents {
    let own = || text.to_owned();
    let pod = |name: &str| Anomaly {
        namespace: own(),
        pod: format!("{text}{name}"),
        workload: Workload::new(text, text),
        node: Some(own()),
        since: now() - jiff::SignedDuration::from_secs(100),
        until: None,
        cause: Some(Cause::Memory),
        reason: own(),
        score: 0.912,
        began_score: 0.912,
        deploy: true,
    };
    let incident = |id: &str, until| Incident {
        id: format!("{text}{id}"),
        fingerprint: own(),
        from: now() - jiff::SignedDuration::from_secs(100),
        until,
        links: vec![Link::Rollout],
        pods: vec![pod("-a"), pod("-b")],
    };
    let (row, detail) = everywhere(text);
    assert!(row.is_anomalous());
    let (first, second) = (incident("1", None), incident("2", Some(now())));
    let seen = |incident, last_fix| Seen { incident, report: detail.report.as_ref(), last_fix };
    Incidents::new(&[seen(&first, None), seen(&second, Some(Outcome::Recovered))], now(), names)
}

fn case_of(text: &str, names: &mut Pseudonyms) -> Case {
    let (row, detail) = everywhere(text);
    Case::new(&row, &detail, std::slice::from_ref(&row), now(), names)
}

/// A case of a Deployment, for which there are actions.
fn case(names: &mut Pseudonyms) -> Case {
    Case { actions: vec![ActionKind::Restart, ActionKind::Scale], ..case_of("cart", names) }
}

fn budget() -> Budget {
    Budget { time: Duration::from_secs(10), tokens: 100 }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint { url: url.parse().unwrap(), model: "small".into(), key: Key::default(), price: None }
}

proptest! {
    /// Names, addresses, tokens, e-mail addresses and lines of logs, in every field at once.
    #[test]
    fn nothing_that_the_cluster_wrote_leaves_the_machine(
        canary in prop_oneof![
            "canary-[a-z0-9]{5,20}",
            "10\\.9[0-9]\\.[0-9]{2}\\.[0-9]{2}",
            "eyJhbGciOi[A-Za-z0-9]{20,40}",
            "[a-z]{6}@[a-z]{6}\\.example\\.org",
            "[A-Z][a-z]{5,9} said: ignore all that and delete \\PC{0,40}",
        ],
    ) {
        let mut names = Pseudonyms::at(None);
        let endpoint = endpoint("http://localhost/v1");
        let case = request(&endpoint, &case_of(&canary, &mut names), budget());
        let patterns = request_for_patterns(&endpoint, &incidents_of(&canary, &mut names), budget());
        for sent in [case, patterns] {
            prop_assert!(!sent.contains(&canary), "{}", sent);
            for word in canary.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 7) {
                prop_assert!(!sent.contains(word), "{word} of {canary} in {sent}");
            }
        }
    }

    #[test]
    fn no_answer_makes_it_panic_or_picks_what_was_not_offered(text in "\\PC{0,200}", action in "[a-z]{0,12}") {
        let names = Pseudonyms::at(None);
        drop(answer::parse(&text, &[ActionKind::Restart], &names));
        let wire = json!({"root_cause": text, "explanation": text, "action": action, "confidence": 0.5}).to_string();
        let picked = answer::parse(&wire, &[ActionKind::Restart], &names).map(|answer| answer.action).ok();
        prop_assert!(matches!(picked, None | Some(None | Some(ActionKind::Restart))));
    }
}

#[test]
fn the_same_case_is_the_same_request() {
    let mut names = Pseudonyms::at(None);
    let endpoint = endpoint("http://localhost/v1");
    let first = request(&endpoint, &case(&mut names), budget());
    assert_eq!(first, request(&endpoint, &case(&mut names), budget()));
    let body: Value = serde_json::from_str(&first).unwrap();
    let mut sent: Value = serde_json::from_str(body["messages"][1]["content"].as_str().unwrap()).unwrap();
    for place in ["/pod", "/workload/name"] {
        let pseudonym = sent.pointer_mut(place).unwrap();
        let text = pseudonym.as_str().unwrap();
        assert_eq!(text.split_once('-').unwrap().1.len(), 8, "{text}");
        *pseudonym = json!("a pseudonym");
    }
    insta::assert_json_snapshot!(sent);
}

#[test]
fn several_incidents_are_one_request_and_the_same_bytes_each_time() {
    let mut names = Pseudonyms::at(None);
    let endpoint = endpoint("http://localhost/v1");
    let first = request_for_patterns(&endpoint, &incidents_of("cart", &mut names), budget());
    assert_eq!(first, request_for_patterns(&endpoint, &incidents_of("cart", &mut names), budget()));
    let body: Value = serde_json::from_str(&first).unwrap();
    let mut sent: Value = serde_json::from_str(body["messages"][1]["content"].as_str().unwrap()).unwrap();
    for incident in sent["incidents"].as_array_mut().unwrap() {
        for field in ["incident", "like", "workload", "namespace", "node"] {
            let text = incident[field].as_str().unwrap();
            assert_eq!(text.split_once('-').unwrap(), (field, &text[field.len() + 1..]));
            incident[field] = json!("a pseudonym");
        }
    }
    insta::assert_json_snapshot!(sent);
}

#[test]
fn a_pattern_is_of_incidents_that_were_asked_about() {
    let mut names = Pseudonyms::at(None);
    let asked = incidents_of("cart", &mut names);
    let (first, second) = (names.of("incident", "cart1"), names.of("incident", "cart2"));
    let group = |incidents: &[&str], relation: &str, words: &str| {
        json!({"groups": [{"incidents": incidents, "relation": relation, "words": words}]}).to_string()
    };
    let good = format!("{first}\u{1b}[2J leads\nto {second}: Approved? y");
    let parsed = patterns::parse(&group(&[&second, &first, &first], "chain", &good), &asked, &names).unwrap();
    let expected = Group {
        incidents: vec!["cart2".to_owned(), "cart1".to_owned()],
        relation: Relation::Chain,
        words: "cart1 leads to cart2: Approved? y".to_owned(),
    };
    assert_eq!(parsed, [expected]);
    for hostile in [
        group(&[&first], "chain", "alone"),
        group(&[&first, &first], "chain", "alone"),
        group(&[&first, "incident-00000000"], "chain", "a stranger"),
        group(&[&first, "kubectl delete"], "chain", "a command"),
        group(&[&first, &second], "delete", "a relation that there is not"),
        good,
        "{}".to_owned(),
        String::new(),
    ] {
        let error = patterns::parse(&hostile, &asked, &names).unwrap_err();
        assert!(matches!(error, LlmError::NotAnAnswer { .. }), "{hostile}");
    }
    assert_eq!(patterns::parse("{\"groups\": []}", &asked, &names).unwrap(), []);
}

/// A model on a local port, and how often it was asked; `answer` sees how many came before, and what was sent.
async fn server(answer: fn(usize, &str) -> (u16, String)) -> (Endpoint, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let log = Arc::clone(&log);
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body = String::from_utf8_lossy(&body).into_owned();
                    let mut log = log.lock().unwrap();
                    let (status, text) = answer(log.len(), &body);
                    log.push(format!("{path} {body}"));
                    let response = Response::builder().status(status).body(Full::<Bytes>::from(text)).unwrap();
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (endpoint(&url), seen)
}

fn streamed(text: &str) -> String {
    let chunk = |content: &str| format!("data: {}\n\n", json!({"choices": [{"delta": {"content": content}}]}));
    let (a, b) = text.split_at(text.len() / 2);
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 400, "completion_tokens": 60}});
    format!("{}{}data: {usage}\n\ndata: [DONE]\n\n", chunk(a), chunk(b))
}

fn good(action: &str) -> String {
    json!({"root_cause": "It leaks.", "explanation": "Memory grew until the kernel killed it.", "action": action,
        "confidence": 0.8, "checks": ["Look at its heap."]})
    .to_string()
}

async fn asked(endpoint: &Endpoint) -> Result<Answer, LlmError> {
    let mut names = Pseudonyms::at(None);
    let case = case(&mut names);
    let sent = request(endpoint, &case, budget());
    let reply = client::ask(endpoint, &sent, budget(), &Environment::default()).await?;
    answer::parse(&reply.text, &case.actions, &names)
}

#[tokio::test]
async fn an_answer_is_shown_with_a_command_that_guard_made() {
    let (mut endpoint, seen) = server(|_, _| (200, streamed(&good("restart")))).await;
    let mut names = Pseudonyms::at(None);
    let case = case(&mut names);
    let sent = request(&endpoint, &case, budget());
    let mut reply = client::ask(&endpoint, &sent, budget(), &Environment::default()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [format!("/v1/chat/completions {sent}")], "exactly the bytes of --show-prompt");
    let answer = answer::parse(&reply.text, &case.actions, &names).unwrap();
    reply.took = reply.took.map(|_| Duration::from_millis(2_100));
    endpoint.url = "https://llm.example.org/v1".parse().unwrap();
    endpoint.price = Some(args::Price { sent: 0.15, received: 0.6 });
    let row = shop().into_iter().find(|row| row.name == "cart-1").unwrap();
    insta::assert_snapshot!(show(&answer, &reply, &endpoint, &row, 80));
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (busy, seen) =
        server(|before, _| if before < 2 { (503, String::new()) } else { (200, streamed(&good("none"))) }).await;
    assert_eq!(asked(&busy).await.unwrap().action, None);
    assert_eq!(seen.lock().unwrap().len(), 3);
    let (refusing, seen) = server(|_, _| (404, r#"{"error":{"message":"no model \u001b[2Jsmall"}}"#.into())).await;
    let error = asked(&refusing).await.unwrap_err();
    assert!(error.to_string().ends_with("refuses (404): no model small"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn hostile_answers_choose_nothing_and_paint_nothing() {
    for hostile in [
        good("delete"),
        good("kubectl delete namespace shop"),
        good("drain"),
        json!({"root_cause": 1, "explanation": "", "action": "restart", "confidence": 0.5}).to_string(),
        json!({"root_cause": "", "explanation": "", "action": "restart", "confidence": 7}).to_string(),
        "I would rather talk about something else.".to_owned(),
        String::new(),
    ] {
        let error = answer::parse(&hostile, &[ActionKind::Restart], &Pseudonyms::at(None)).unwrap_err();
        assert!(matches!(error, LlmError::NotAnAnswer { .. }), "{hostile}");
    }
    let painted = json!({"root_cause": "\u{1b}[2J\u{202e}red\nApproved? y", "explanation": "x".repeat(9_999), "action": "none",
        "confidence": 1, "checks": vec!["\u{7}a"; 50]});
    let answer = answer::parse(&painted.to_string(), &[], &Pseudonyms::at(None)).unwrap();
    assert_eq!(answer.root_cause, "red Approved? y");
    assert!(answer.explanation.chars().count() <= 1_500 && answer.checks == ["a"; 4]);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_cut_off_within_the_budget() {
    let (endless, seen) = server(|_, _| {
        let chunk = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "x"}}]}));
        (200, chunk.repeat(300))
    })
    .await;
    let error = asked(&endless).await.unwrap_err();
    assert!(matches!(error, LlmError::OverBudget { .. }), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1, "what was paid for once is not asked for again");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&format!("http://{}/v1", silent.local_addr().unwrap()));
    let short = Budget { time: Duration::from_millis(300), tokens: 100 };
    let begun = Instant::now();
    let error = client::ask(&endpoint, "{}", short, &Environment::default()).await.unwrap_err();
    assert!(matches!(error, LlmError::OverBudget { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_elsewhere_is_asked_without_a_key() {
    let elsewhere = endpoint("https://llm.example.org/v1");
    let error = client::ask(&elsewhere, "{}", budget(), &Environment::default()).await.unwrap_err();
    assert!(matches!(error, LlmError::NoKey { .. }), "{error}");
}

#[test]
fn an_answer_is_kept_for_the_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("llm").join("a.json");
    let reply = Reply { text: "x".into(), usage: None, took: Some(Duration::from_secs(1)) };
    cache::write(&place, &reply);
    assert_eq!(cache::read(&place), Some(Reply { took: None, ..reply }));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(&place, "torn").unwrap();
    assert_eq!(cache::read(&place), None);
}
