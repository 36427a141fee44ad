//! The dashboard in a real browser: on the recorded incident, with approvals, and with thousands of pods. `tests/run` asks
//! for it where a browser can be had.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

#[path = "ui/approvals.rs"]
mod approvals;
#[path = "ui/desk.rs"]
mod desk;
#[path = "ui/fleet.rs"]
mod fleet;
#[path = "ui/large.rs"]
mod large;
#[path = "ui/redrawn.rs"]
mod redrawn;

/// A dashboard that runs, and the URL that it printed.
struct Dashboard {
    process: Child,
    url: String,
}

impl Dashboard {
    fn start() -> Result<Self> {
        let folder = std::env::var("GUARD_E2E_GUARD").context("GUARD_E2E_GUARD names the folder of the programs")?;
        let mut process = Command::new(format!("{folder}/kubectl-guard"))
            .args(["ui", "--demo", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut url = String::new();
        BufReader::new(process.stdout.take().context("no stdout")?).read_line(&mut url)?;
        ensure!(url.starts_with("http://127.0.0.1:"), "{url:?}");
        Ok(Self { process, url: url.trim().to_owned() })
    }

    /// What a browser makes of the view that `hash` names, and what it has to say about it.
    fn view(&self, hash: &str, width: u32) -> Result<(String, String)> {
        let profile = tempfile::tempdir()?;
        let Output { stdout, stderr, status } = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
            .arg("--virtual-time-budget=5000")
            .arg(format!("--window-size={width},900"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("{}#{hash}", self.url))
            .output()?;
        ensure!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        Ok((String::from_utf8(stdout)?, String::from_utf8_lossy(&stderr).into_owned()))
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// The page of a view of a dashboard of its own, without a complaint of the browser.
fn page(hash: &str, width: u32) -> Result<String> {
    let (page, said) = Dashboard::start()?.view(hash, width)?;
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(page)
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_fleet_shows_the_incident_first_and_every_pod() -> Result<()> {
    for width in [1280, 400] {
        let page = page("/", width)?;
        assert!(page.contains(">A recorded incident<") && page.contains(">1 of 10 pods over their line<"), "{page}");
        assert!(
            page.contains("Incidents, the latest first") && page.contains("Pods, the worst first (10 of 10)"),
            "{page}"
        );
        assert!(page.contains("href=\"#/pod/shop/catalog-56d6c4f556-lpkcb\""), "{page}");
        assert!(page.contains("role=\"alert\" hidden"), "nothing is wrong: {page}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn a_pod_is_shown_in_depth() -> Result<()> {
    let page = page("/pod/shop/catalog-56d6c4f556-lpkcb", 1280)?;
    assert_eq!(page.matches("<path class=\"course\"").count(), 5, "{page}");
    assert!(page.contains("Seen against expected") && page.contains("sent 2.8 MiB/s, expected"), "{page}");
    assert!(page.contains("kubectl guard fix deployment/catalog -n shop"), "{page}");
    // Each chart says what it comes to, and how long that took; the line is that by which the pod is judged.
    assert_eq!(page.matches(" in the last ").count(), 5, "{page}");
    assert!(page.contains("(its line: 0.70)") && page.contains(">at most 2.9 MiB/s in the last "), "{page}");
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn a_workload_has_its_pods_and_no_others() -> Result<()> {
    let page = page("/workload/shop/Deployment%2Fcatalog", 1280)?;
    assert!(page.contains("1 of 2 pods over the line"), "{page}");
    assert!(page.contains("catalog-56d6c4f556-44z66") && !page.contains("frontend-"), "{page}");
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_printed_url_opens_in_one_browser_alone() -> Result<()> {
    let dashboard = Dashboard::start()?;
    assert!(dashboard.view("/", 1280)?.0.contains("catalog-"));
    let (second, _) = dashboard.view("/", 1280)?;
    assert!(second.contains("this URL was used already") && !second.contains("catalog-"), "{second}");
    Ok(())
}
