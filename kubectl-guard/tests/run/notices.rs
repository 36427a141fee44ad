//! Who is told of incidents, over real connections.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::api;

/// What was posted to it: path, `Authorization`, body.
type Posts = Arc<Mutex<Vec<(String, Option<String>, Value)>>>;

/// Somebody who listens, and answers the first posts so.
fn listener(answers: &'static [&'static str]) -> (u16, Posts) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let posts = Posts::default();
    let kept = Arc::clone(&posts);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let told = read(stream.as_ref().unwrap());
            let mut kept = kept.lock().unwrap();
            let answer = answers.get(kept.len()).unwrap_or(&"200 OK");
            kept.push(told);
            write!(stream.unwrap(), "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    (port, posts)
}

fn read(stream: &TcpStream) -> (String, Option<String>, Value) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let value = head.iter().find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        value.map(|(_, value)| value.trim().to_owned())
    };
    let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    (path, header("authorization"), serde_json::from_slice(&body).unwrap())
}

/// A run that proposes from a table, and tells of incidents at once.
fn started<'a>(folder: &'a tempfile::TempDir, sinks: &str) -> Run<'a> {
    started_beside(api::serve().0, folder, sinks)
}

/// The same, beside the cluster at this port.
fn started_beside<'a>(port: u16, folder: &'a tempfile::TempDir, sinks: &str) -> Run<'a> {
    let text = format!("notices:\n  group_wait: 0\n{sinks}agents:\n  watch_interval: 1\n");
    fs::write(folder.path().join("g.yaml"), text).unwrap();
    let server = format!("--server=http://127.0.0.1:{port}");
    Run::start(folder, &["run", "--agent-mode=remediation", "--config-file=g.yaml", &server])
}

#[test]
fn a_webhook_and_a_channel_are_told_once_of_what_begins_and_ends_and_again_if_they_did_not_hear() {
    let (hook, hooked) = listener(&["503 Service Unavailable"]);
    let (channel, channelled) = listener(&[]);
    let folder = folder_with_table(&rows(0..3, 2));
    fs::write(folder.path().join("slack"), format!("http://127.0.0.1:{channel}/services/T0/B0/geheim\n")).unwrap();
    fs::write(folder.path().join("token"), "abc\n").unwrap();
    let mut run = started(
        &folder,
        &format!(
            "  webhook_url: http://127.0.0.1:{hook}/guard?to=us\n  webhook_token_file: token\n  slack_url_file: slack\n"
        ),
    );
    run.until_logged("webhook was told: 1 began, 0 ended");
    assert!(run.stderr().contains("503 Service Unavailable; again in"), "{}", run.stderr());
    // It works again.
    append(&run.path("pod_metrics.csv"), &rows(3..40, -1));
    run.until_logged("webhook was told: 0 began, 1 ended");
    run.until_logged("slack was told: 0 began, 1 ended");
    run.send(Signal::SIGTERM);
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    assert!(!run.stderr().contains("geheim") && !run.stderr().contains("abc"), "{}", run.stderr());

    let hooked = hooked.lock().unwrap();
    assert_eq!(hooked.len(), 3, "{hooked:?}");
    assert!(hooked.iter().all(|(path, token, _)| path == "/guard?to=us" && token.as_deref() == Some("Bearer abc")));
    assert_eq!(hooked[0].2["began"], hooked[1].2["began"]);
    assert_eq!(hooked[1].2["began"][0]["pods"][0]["pod"], "cart");
    assert_eq!(hooked[1].2["began"][0]["id"], hooked[2].2["ended"][0]["id"]);
    let channelled = channelled.lock().unwrap();
    assert_eq!(channelled.len(), 2, "{channelled:?}");
    assert!(channelled.iter().all(|(path, ..)| path == "/services/T0/B0/geheim"), "{channelled:?}");
    let text = channelled[0].2["text"].as_str().unwrap();
    assert!(text.contains(":red_circle: shop/cart, score") && text.contains("pod failed"), "{text}");
}

#[test]
fn a_sink_that_cannot_be_meant_ends_it_at_once_and_its_secret_is_not_told() {
    for (sinks, file, problem) in [
        ("  slack_url_file: slack\n", "http://hooks.example.org/services/geheim", "in the clear"),
        ("  slack_url_file: slack\n", "hooks.example.org/geheim", "begins with http"),
        ("  slack_url_file: none\n", "", "none"),
        ("  webhook_url: http://us:geheim@127.0.0.1/\n", "", "holds a name or a password"),
        ("  webhook_url: http://example.org/\n  webhook_token_file: slack\n", "geheim", "in the clear"),
    ] {
        let folder = folder_with_table(&rows(0..3, -1));
        fs::write(folder.path().join("slack"), file).unwrap();
        let mut run = started(&folder, sinks);
        let code = run.child.wait().unwrap().code();
        assert!(matches!(code, Some(1 | 2)) && run.stderr().contains(problem), "{code:?} {}", run.stderr());
        assert!(!run.stderr().contains("geheim"), "{}", run.stderr());
    }
}

#[test]
fn nobody_is_told_of_what_may_be_muted_before_the_mutes_could_be_read() {
    let there = Arc::new(AtomicBool::new(false));
    let (port, _) = api::serve_while(Arc::clone(&there));
    let (hook, hooked) = listener(&[]);
    let folder = folder_with_table(&rows(0..3, 2));
    let mut run = started_beside(port, &folder, &format!("  webhook_url: http://127.0.0.1:{hook}/\n"));
    run.until_logged("; until they are, nothing new is told or proposed");
    assert!(hooked.lock().unwrap().is_empty(), "{}", run.stderr());
    there.store(true, Ordering::SeqCst);
    // The table does not grow: it is not waited for.
    run.until_logged("webhook was told: 1 began, 0 ended");
}

/// A program that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
#[ignore = "needs prometheus-alertmanager and amtool: tests/run has them"]
fn a_real_alertmanager_has_the_incident_until_it_is_over() {
    // Under the ports that outgoing connections are given: none of them takes it before Alertmanager does.
    let port = (19_000..20_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let folder = folder_with_table(&rows(0..3, 2));
    let settings = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    fs::write(folder.path().join("alertmanager.yml"), settings).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let server = Command::new("prometheus-alertmanager")
        .current_dir(folder.path())
        .args(["--config.file=alertmanager.yml", "--storage.path=alerts", "--cluster.listen-address="])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.path().join("alertmanager.log")).unwrap())
        .spawn();
    let _server = Ended(server.unwrap());
    let alerts = |more: &[&str]| {
        let words = ["alert", "query", "-o", "json", "--alertmanager.url", &url];
        let answer = Command::new("amtool").args(words).args(more).output().unwrap();
        serde_json::from_slice::<Value>(&answer.stdout).ok()
    };
    let mut run = started(&folder, &format!("  alertmanager_url: {url}/\n"));
    let alert = run.until("the alert", |_| alerts(&["alertname=GuardIncident"])?.get(0).cloned());
    assert_eq!(alert["labels"]["pod"], "cart");
    assert_eq!(alert["labels"]["namespace"], "shop");
    assert_eq!(alert["status"]["state"], "active");
    assert!(alert["annotations"]["description"].as_str().unwrap().contains("pod failed"), "{alert}");
    append(&run.path("pod_metrics.csv"), &rows(3..40, -1));
    run.until("its end", |_| alerts(&[])?.as_array()?.is_empty().then_some(()));
}
