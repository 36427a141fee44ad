use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::desk::Queue;
use crate::desk::fake::FakeDesk;
use crate::desk::{Asked, Proposer, Waiting};
use crate::plan::ActionKind;

async fn served() -> SocketAddr {
    behind(Approvals::none("a recording")).await.0
}

async fn behind(approvals: Approvals<Arc<FakeDesk>>) -> (SocketAddr, Arc<Approvals<Arc<FakeDesk>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Gate::new(address.port(), "token".into(), "session".into(), "key".into());
    let approvals = Arc::new(approvals);
    let pages = Pages { shown: Shown::default(), approvals: Arc::clone(&approvals) };
    tokio::spawn(async move { serve(&listener, gate, pages).await });
    (address, approvals)
}

/// A dashboard with a proposal to restart `deployment/web`.
async fn with_desk(read_only: Option<&'static str>) -> (SocketAddr, Arc<FakeDesk>, Queue) {
    let (desk, queue) = (Arc::new(FakeDesk::default()), Queue::default());
    queue.set(vec![crate::desk::fake::waiting()]);
    let (address, _) = behind(Approvals::new(Arc::clone(&desk), queue.clone(), read_only)).await;
    (address, desk, queue)
}

/// What comes back for these bytes, to the end.
async fn answer(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses may close before it has read everything.
    let _sent = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let cookie = format!("Cookie: guard-session-{}=session\r\nX-Guard: key", address.port());
    let headers = headers.replace("COOKIE", &cookie).replace("HOST", &format!("Host: {address}"));
    answer(address, &format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n")).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

#[tokio::test]
async fn the_printed_url_opens_once_and_its_page_alone_has_the_key() {
    let address = served().await;
    let entered = get(address, "/?token=token", "HOST").await;
    assert_eq!(status(&entered), "200", "{entered}");
    assert!(entered.contains("<head>\n<meta name=\"guard-key\" content=\"key\">\n"), "{entered}");
    assert!(entered.contains("=session; Path=/; HttpOnly; SameSite=Strict\r\n"), "{entered}");
    assert_eq!(status(&get(address, "/?token=token", "HOST").await), "401");
    let page = get(address, "/", "HOST\r\nCOOKIE").await;
    assert!(status(&page) == "200" && !page.contains("guard-key"), "{page}");
}

#[tokio::test]
async fn another_site_another_name_and_nobody_get_nothing() {
    let address = served().await;
    for (headers, wanted) in [
        ("HOST", "401"),
        ("Host: evil.example:5000\r\nCOOKIE", "421"),
        ("HOST\r\nCOOKIE\r\nOrigin: http://evil.example", "403"),
        ("HOST\r\nCOOKIE\r\nSec-Fetch-Site: cross-site", "403"),
        ("COOKIE", "421"),
        ("HOST\r\nCOOKIE", "200"),
    ] {
        let answer = get(address, "/api/fleet", headers).await;
        assert_eq!(status(&answer), wanted, "{headers}: {answer}");
        assert_eq!(answer.contains("counts"), wanted == "200", "{headers}: {answer}");
    }
    let posted = answer(address, &format!("POST /api/fleet HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
    assert_eq!(status(&posted), "405", "{posted}");
}

#[tokio::test]
async fn every_answer_is_hardened_and_every_file_of_the_page_is_there() {
    let address = served().await;
    for (path, kind, _) in FILES {
        let file = get(address, path, "HOST\r\nCOOKIE").await;
        assert_eq!(status(&file), "200", "{path}");
        assert!(file.contains(&format!("content-type: {kind}\r\n")), "{path}");
        assert!(file.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{path}");
        assert!(file.contains("referrer-policy: no-referrer\r\n"), "{path}");
        assert!(!file.contains("https://"), "{path} names another server");
    }
    let missing = get(address, "/../Cargo.toml", "HOST\r\nCOOKIE").await;
    assert_eq!(status(&missing), "404");
    assert!(missing.contains("x-frame-options: DENY"), "{missing}");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let address = served().await;
    let first = get(address, "/api/fleet", "HOST\r\nCOOKIE").await;
    let tag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again = get(address, "/api/fleet", &format!("HOST\r\nCOOKIE\r\nIf-None-Match: {tag}")).await;
    assert_eq!(status(&again), "304", "{again}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let address = served().await;
    let large = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let refused = answer(address, &large).await;
    assert!(refused.is_empty() || matches!(status(&refused), "431" | "400"), "{refused}");
    let nonsense = answer(address, "\u{16}\u{3}\u{1}\u{2}\r\n\r\n").await;
    assert!(nonsense.is_empty() || status(&nonsense) == "400", "{nonsense}");
}

const PLAN: &str = "/api/plan/shop/deployment/web";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn json(answer: &str) -> serde_json::Value {
    assert!(matches!(status(answer), "200" | "202"), "{answer}");
    serde_json::from_str(body(answer)).unwrap()
}

async fn see(address: SocketAddr, path: &str) -> serde_json::Value {
    json(&get(address, path, "HOST\r\nCOOKIE").await)
}

async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nCookie: guard-session-{}=session\r\nOrigin: http://{address}\r\n\
         Sec-Fetch-Site: same-origin\r\nX-Guard: key\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        address.port(),
        body.len()
    );
    answer(address, &format!("{head}{body}")).await
}

fn word(digest: &serde_json::Value, name: &str) -> String {
    serde_json::json!({ "digest": digest, "name": name }).to_string()
}

/// Waits until the plan that is carried out has come to something.
async fn outcome(address: SocketAddr) -> serde_json::Value {
    loop {
        let job = see(address, "/api/proposals").await["job"].take();
        if !job["ended"].is_null() {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_shown_is_approved_by_its_name_and_its_outcome_stays() {
    let (address, desk, _) = with_desk(None).await;
    let plan = see(address, PLAN).await["plan"].take();
    assert_eq!((plan["name"].as_str(), plan["blocked"].as_str()), (Some("web"), None), "{plan}");
    assert!(plan["text"].as_str().unwrap().contains("Guard rails"), "{plan}");
    assert!(plan["steps"][0]["diff"].as_array().unwrap().len() > 2, "{plan}");
    let begun = json(&post(address, "/api/approve", &word(&plan["digest"], "web")).await);
    assert_eq!((begun["action"].as_str(), begun["ended"].is_null()), (Some("restart deployment/web"), true));

    // While it is carried out, nobody else's turn comes, and whoever looks is told.
    let second = post(address, "/api/approve", &word(&plan["digest"], "web")).await;
    assert_eq!(status(&second), "409", "{second}");
    assert!(second.ends_with("restart deployment/web is being carried out: one plan at a time"), "{second}");
    desk.end.notify_one();
    let job = outcome(address).await;
    assert_eq!(job["ended"]["outcome"], "done", "{job}");
    assert!(job["lines"][0].as_str().unwrap().starts_with("restart deployment/web: done (plan "), "{job}");
    assert_eq!(*desk.done.lock().unwrap(), ["web"]);

    desk.end.notify_one();
    assert_eq!(status(&post(address, "/api/approve", &word(&plan["digest"], "web")).await), "202", "the next one");
}

#[tokio::test]
async fn another_name_another_digest_and_another_body_begin_nothing() {
    let (address, desk, queue) = with_desk(None).await;
    let unseen = serde_json::json!(crate::desk::fake::shown().digest);
    let early = post(address, "/api/approve", &word(&unseen, "web")).await;
    assert_eq!(status(&early), "410", "nobody was shown it: {early}");
    let digest = see(address, PLAN).await["plan"]["digest"].take();
    let large = word(&digest, &"w".repeat(BODY));
    let stray = format!(r#"{{"digest": {digest}, "name": "web", "force": true}}"#);
    for (sent, wanted) in [
        (word(&digest, ""), "422"),
        (word(&digest, "Web"), "422"),
        (word(&digest, "web "), "422"),
        (word(&serde_json::json!("sha256:00"), "web"), "410"),
        (word(&serde_json::Value::Null, "web"), "400"),
        (format!(r#"{{"digest": {digest}}}"#), "400"),
        (stray, "400"),
        (format!("[{digest}, \"web\"] trailing"), "400"),
        ("\u{0}\u{1}{{{".to_owned(), "400"),
        (String::new(), "400"),
        (large, "413"),
    ] {
        for path in ["/api/approve", "/api/decline"] {
            let refused = post(address, path, &sent).await;
            assert_eq!(status(&refused), wanted, "{path} {}: {refused}", &sent[..sent.len().min(80)]);
        }
    }
    assert!(see(address, "/api/proposals").await["job"].is_null());
    assert!(desk.done.lock().unwrap().is_empty());
    assert_eq!(queue.waiting().len(), 1, "and nothing is declined");
}

#[tokio::test]
async fn what_an_agent_proposes_is_shown_and_carried_out_as_it_proposed_it() {
    let (address, desk, queue) = with_desk(None).await;
    let own = see(address, PLAN).await["plan"]["action"].take();
    assert_eq!(own, "restart deployment/web");
    let theirs = format!("{PLAN}/by/night-watch");
    let none = get(address, &theirs, "HOST\r\nCOOKIE").await;
    assert_eq!(status(&none), "409", "{none}");
    assert!(none.ends_with("no proposal for deployment/web waits any more by agent night-watch"), "{none}");
    let asked = Some(Asked { action: ActionKind::Scale, replicas: Some(4) });
    let by = Proposer::Agent("night-watch".to_owned());
    queue.set(vec![Waiting { by, asked, ..crate::desk::fake::waiting() }]);
    let plan = see(address, &theirs).await["plan"].take();
    assert!(plan["action"].as_str().unwrap().starts_with("scale deployment/web"), "{plan}");
    assert_eq!(status(&post(address, "/api/approve", &word(&plan["digest"], "web")).await), "202");
    desk.end.notify_one();
    assert_eq!(outcome(address).await["ended"]["outcome"], "done");
}

#[tokio::test]
async fn a_plan_that_no_longer_holds_is_told_as_such() {
    let (address, desk, _) = with_desk(None).await;
    let digest = see(address, PLAN).await["plan"]["digest"].take();
    *desk.stale.lock().unwrap() = true;
    assert_eq!(status(&post(address, "/api/approve", &word(&digest, "web")).await), "202");
    let job = outcome(address).await;
    assert_eq!(job["ended"]["outcome"], "stale", "{job}");
    let words = job["ended"]["words"].as_str().unwrap();
    assert!(words.contains("nothing was changed"), "{words}");
    assert!(desk.done.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_declined_is_put_aside() {
    let (address, desk, queue) = with_desk(None).await;
    let mut shown = see(address, PLAN).await;
    let digest = shown["plan"]["digest"].take();
    assert_eq!(
        see(address, "/api/proposals").await["items"][0]["target"],
        shown["plan"]["of"],
        "by which the page knows it"
    );
    assert_eq!(status(&post(address, "/api/decline", &word(&digest, "web")).await), "200");
    assert!(see(address, "/api/proposals").await["items"].as_array().unwrap().is_empty());
    assert_eq!(queue.take_declined().len(), 1);
    let again = post(address, "/api/decline", &word(&digest, "web")).await;
    assert_eq!(status(&again), "409", "{again}");
    assert!(desk.done.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_approvals_plans_are_shown_and_nothing_is_taken() {
    let (address, desk, queue) = with_desk(Some("only to look at")).await;
    let shown = see(address, PLAN).await;
    assert_eq!(shown["readOnly"], "only to look at");
    for path in ["/api/approve", "/api/decline"] {
        let refused = post(address, path, &word(&shown["plan"]["digest"], "web")).await;
        assert_eq!(status(&refused), "405", "{refused}");
    }
    assert!(desk.done.lock().unwrap().is_empty() && queue.waiting().len() == 1);
    let recording = served().await;
    assert_eq!(see(recording, "/api/proposals").await["readOnly"], "a recording");
    assert_eq!(status(&get(recording, PLAN, "HOST\r\nCOOKIE").await), "409");
    assert_eq!(see(recording, "/api/history").await["of"], 0);
}

#[tokio::test]
async fn a_run_that_became_stricter_takes_nothing_more() {
    let (desk, queue) = (Arc::new(FakeDesk::default()), Queue::default());
    let (address, approvals) = behind(Approvals::new(Arc::clone(&desk), queue, None)).await;
    let digest = see(address, PLAN).await["plan"]["digest"].take();
    approvals.set_read_only(Some("a dry run"));
    let refused = post(address, "/api/approve", &word(&digest, "web")).await;
    assert_eq!(status(&refused), "403", "{refused}");
    assert!(desk.done.lock().unwrap().is_empty());
}

#[tokio::test]
async fn targets_that_are_none_and_plans_that_are_refused_say_so() {
    let (address, _, _) = with_desk(None).await;
    for path in [
        "/api/plan/shop/deployment",
        "/api/plan/shop/deployment/",
        "/api/plan/shop/secret/web",
        "/api/plan/SHOP/deployment/web",
        "/api/plan//deployment/web/x",
        "/api/plan/shop/deployment/we%2Fb",
        "/api/plan/shop/deployment/nobody",
    ] {
        let missing = get(address, path, "HOST\r\nCOOKIE").await;
        assert_eq!(status(&missing), "404", "{path}: {missing}");
    }
    let desk = FakeDesk { nothing: Some("it is well".to_owned()), ..FakeDesk::default() };
    let (address, _) = behind(Approvals::new(Arc::new(desk), Queue::default(), None)).await;
    let nothing = see(address, PLAN).await;
    assert_eq!((nothing["nothing"].as_str(), nothing["plan"].is_null()), (Some("it is well"), true));
}
