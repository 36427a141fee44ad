use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::kubelet::tests::ok;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const AUDIENCE: &str = "guard-exporter.guard-system.svc";

/// An API server that knows the tokens `good`, `renewed` and `another` (whose owner may scrape), `poor` (who may not) and `other` (made out to somebody
/// else), and counts what it is asked.
pub(crate) struct Judge {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) asked: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl Judge {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (path, review) = read(&mut stream).await;
                count.fetch_add(1, Ordering::SeqCst);
                let answer = ok(&judged(&path, review).to_string());
                let _sent = stream.write_all(&answer).await;
                let _closed = stream.shutdown().await;
            }
        });
        Self { address, asked, serving }
    }

    fn gate(&self, lifetimes: Lifetimes) -> Gate {
        let config = kube::Config::new(format!("http://{}", self.address).parse().unwrap());
        Gate::new(kube::Client::try_from(config).unwrap(), AUDIENCE.to_owned(), lifetimes)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> (String, Value) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_slice(&body).unwrap())
}

fn judged(path: &str, mut review: Value) -> Value {
    review["status"] = if path.contains("tokenreviews") {
        assert_eq!(review["spec"]["audiences"], json!([AUDIENCE]));
        match review["spec"]["token"].as_str().unwrap() {
            token @ ("good" | "poor" | "renewed" | "another") => json!({"authenticated": true, "audiences": [AUDIENCE],
                "user": {"username": token.replace("renewed", "good").replace("another", "good"), "groups": ["scrapers"], "uid": "7"}}),
            "other" => json!({"authenticated": true, "user": {"username": "good"}}),
            _ => json!({"authenticated": false, "error": "invalid token"}),
        }
    } else {
        assert!(path.contains("subjectaccessreviews"), "{path}");
        assert_eq!(review["spec"]["nonResourceAttributes"], json!({"path": "/metrics", "verb": "get"}));
        assert_eq!((&review["spec"]["groups"], &review["spec"]["uid"]), (&json!(["scrapers"]), &json!("7")));
        json!({"allowed": review["spec"]["user"] == "good"})
    };
    review
}

fn with(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
}

#[tokio::test]
async fn only_a_token_made_out_to_us_of_somebody_who_may_is_let_in() {
    let judge = Judge::start().await;
    let gate = judge.gate(Lifetimes::default());
    for (value, verdict) in [
        ("Bearer good", Verdict::Allowed),
        ("bearer  good", Verdict::Allowed),
        ("Bearer poor", Verdict::Forbidden),
        ("Bearer other", Verdict::Unauthenticated),
        ("Bearer forged", Verdict::Unauthenticated),
        ("Bearer ", Verdict::Unauthenticated),
        ("Bearer", Verdict::Unauthenticated),
        ("Basic good", Verdict::Unauthenticated),
        ("good", Verdict::Unauthenticated),
    ] {
        assert_eq!(gate.judge(&with(value), HOME).await, verdict, "{value}");
    }
    assert_eq!(gate.judge(&HeaderMap::new(), HOME).await, Verdict::Unauthenticated);
    let mut twice = with("Bearer good");
    twice.append(AUTHORIZATION, "Bearer good".parse().unwrap());
    assert_eq!(gate.judge(&twice, HOME).await, Verdict::Unauthenticated);
}

#[tokio::test]
async fn a_verdict_is_asked_for_once_while_it_holds_and_again_after() {
    let judge = Judge::start().await;
    let keeping = judge.gate(Lifetimes::default());
    for value in ["Bearer good", "Bearer poor", "Bearer good", "Bearer poor"] {
        keeping.judge(&with(value), HOME).await;
    }
    assert_eq!(judge.asked(), 4, "two reviews for each of the two tokens");
    let forgetting = judge.gate(Lifetimes { yes: Duration::ZERO, no: Duration::ZERO });
    for _ in 0..2 {
        assert_eq!(forgetting.judge(&with("Bearer good"), HOME).await, Verdict::Allowed);
    }
    assert_eq!(judge.asked(), 8);
}

#[tokio::test]
async fn without_an_api_server_only_those_let_in_before_are_and_only_for_a_while() {
    let judge = Judge::start().await;
    let (keeping, forgetting) =
        (judge.gate(Lifetimes::default()), judge.gate(Lifetimes { yes: Duration::ZERO, no: Duration::ZERO }));
    for gate in [&keeping, &forgetting] {
        assert_eq!(gate.judge(&with("Bearer good"), HOME).await, Verdict::Allowed);
    }
    judge.serving.abort();
    assert!(judge.serving.await.unwrap_err().is_cancelled());
    assert_eq!(keeping.judge(&with("Bearer good"), HOME).await, Verdict::Allowed);
    assert_eq!(forgetting.judge(&with("Bearer good"), HOME).await, Verdict::Unknown);
    assert_eq!(keeping.judge(&with("Bearer poor"), HOME).await, Verdict::Unknown);
}

#[tokio::test]
async fn strangers_neither_keep_a_scraper_out_nor_cost_a_review_each() {
    let judge = Judge::start().await;
    let gate = judge.gate(Lifetimes { yes: Duration::ZERO, ..Lifetimes::default() });
    assert_eq!(gate.judge(&with("Bearer good"), HOME).await, Verdict::Allowed);
    let strangers = (0..100).map(|stranger| {
        let gate = &gate;
        async move { gate.judge(&with(&format!("Bearer stranger-{stranger}")), ELSEWHERE).await }
    });
    let (refused, known) =
        tokio::join!(futures::future::join_all(strangers), async { gate.judge(&with("Bearer good"), ELSEWHERE).await });
    assert_eq!(known, Verdict::Allowed, "it was let in before");
    assert!(refused.iter().filter(|verdict| **verdict == Verdict::Unknown).count() >= 80, "{refused:?}");
    assert!(judge.asked() < 20, "{} reviews", judge.asked());
    assert_eq!(gate.judge(&with("Bearer renewed"), HOME).await, Verdict::Allowed, "a scraper came from there");
    let new = IpAddr::from([192, 0, 2, 9]);
    assert_eq!(gate.judge(&with("Bearer another"), new).await, Verdict::Allowed, "a scraper that nobody has met");
}
