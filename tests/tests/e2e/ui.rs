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

pub(crate) fn the_dashboard_shows_the_cluster(cluster: &mut Cluster) -> Result<()> {
    let mut command = cluster.person("viewer").command("kubectl");
    let child = command.args(["guard", "ui", "--port=0", "-A"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut running = Running(child);
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().context("no stdout")?).read_line(&mut url)?;
    let address = url.trim().strip_prefix("http://").and_then(|rest| rest.split_once('/'));
    let (address, entrance) = address.with_context(|| url.clone())?;

    let (head, _) = get(address, &format!("/{entrance}"), "")?;
    let cookie =
        head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next()).context("no cookie")?;
    let (head, body) = get(address, "/api/fleet", cookie)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    let fleet: Value = serde_json::from_str(&body)?;
    let rows = fleet["items"].as_array().context("no items")?;
    let feed = rows.iter().filter_map(|row| row["name"].as_str()).find(|name| name.starts_with("feed-"));
    let pod = get(address, &format!("/api/pod/{}/{}", load::NAMESPACE, feed.context("no pod of feed")?), cookie)?.1;
    let pod: Value = serde_json::from_str(&pod)?;
    assert_eq!(pod["report"]["features"].as_array().map(Vec::len), Some(4), "{pod}");
    let (refused, nothing) = get(address, "/api/fleet", "")?;
    assert!(refused.starts_with("HTTP/1.1 401") && !nothing.contains("feed-"), "{refused}");
    Ok(())
}
