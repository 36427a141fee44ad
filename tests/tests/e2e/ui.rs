//! The dashboard of a real cluster, with a viewer's rights.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::load;
use serde_json::Value;

/// Killed when the test is over, whatever comes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Head and body of the answer.
fn get(address: &str, path: &str, cookie: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Somebody whom the printed URL has let in.
pub(crate) struct Visit {
    address: String,
    cookie: String,
}

impl Visit {
    /// Opens the URL, which works once.
    pub(crate) fn enter(url: &str) -> Result<Self> {
        let address = url.trim().strip_prefix("http://").and_then(|rest| rest.split_once('/'));
        let (address, entrance) = address.with_context(|| url.to_owned())?;
        let (head, _) = get(address, &format!("/{entrance}"), "")?;
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        Ok(Self { address: address.to_owned(), cookie: cookie.context("no cookie")?.to_owned() })
    }

    /// The document at this path.
    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        let (head, body) = get(&self.address, path, &self.cookie)?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(serde_json::from_str(&body)?)
    }
}

pub(crate) fn the_dashboard_shows_the_cluster(cluster: &mut Cluster) -> Result<()> {
    let mut command = cluster.person("viewer").command("kubectl");
    let child = command.args(["guard", "ui", "--port=0", "-A"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut running = Running(child);
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().context("no stdout")?).read_line(&mut url)?;
    let visit = Visit::enter(&url)?;
    let fleet = visit.json("/api/fleet")?;
    let rows = fleet["items"].as_array().context("no items")?;
    let feed = rows.iter().filter_map(|row| row["name"].as_str()).find(|name| name.starts_with("feed-"));
    let pod = visit.json(&format!("/api/pod/{}/{}", load::NAMESPACE, feed.context("no pod of feed")?))?;
    assert_eq!(pod["report"]["features"].as_array().map(Vec::len), Some(4), "{pod}");
    let (refused, nothing) = get(&visit.address, "/api/fleet", "")?;
    assert!(refused.starts_with("HTTP/1.1 401") && !nothing.contains("feed-"), "{refused}");
    Ok(())
}
